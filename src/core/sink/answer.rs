//! What a receiver's answer means: the only reader of its status codes.

use http::StatusCode;
use http::header::RETRY_AFTER;

use crate::core::delivery::AttemptResult;
use crate::core::fault::{Fault, Whose};
use crate::core::http::{Response, TransportFault, parse_retry_after};
use crate::core::time::Timestamp;

/// What an attempt came to. A 2xx is the only success; 410 asks never to be sent to again; a redirect is not followed,
/// because where events go is the operator's to say; `Retry-After` is read from any refusal.
pub(crate) fn judge(exchange: Result<&Response, &TransportFault>, now: Timestamp) -> AttemptResult {
    let response = match exchange {
        Ok(response) => response,
        Err(TransportFault::Interrupted) => return AttemptResult::Interrupted,
        Err(fault) => {
            return AttemptResult::Refused {
                status: None,
                fault: fault.to_fault(Whose::Endpoint),
                retry_after: None,
                gone: false,
            };
        }
    };
    let status = response.status;
    if (200..300).contains(&status) {
        return AttemptResult::Accepted { status };
    }
    let retry_after =
        response.header(RETRY_AFTER.as_str()).and_then(|text| parse_retry_after(text, now));
    AttemptResult::Refused {
        status: Some(status),
        fault: refusal(status),
        retry_after,
        gone: status == StatusCode::GONE.as_u16(),
    }
}

/// What writing a line, to standard output or a file, came to.
pub(crate) fn judge_line(written: Result<(), TransportFault>) -> AttemptResult {
    match written {
        Ok(()) => AttemptResult::Accepted { status: StatusCode::OK.as_u16() },
        Err(TransportFault::Interrupted) => AttemptResult::Interrupted,
        Err(fault) => AttemptResult::Refused {
            status: None,
            fault: fault.to_fault(Whose::Endpoint),
            retry_after: None,
            gone: false,
        },
    }
}

/// The sentence names the status alone: an answer may quote anything, also a secret.
fn refusal(status: u16) -> Fault {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let words = reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"));
    match status {
        300..400 => Fault::endpoint(
            "redirect",
            format!(
                "the receiver answered {words}; redirects are not followed: `url` needs the final address"
            ),
        ),
        410 => Fault::endpoint("http_410", format!("the receiver answered {words}: it is no more")),
        _ => Fault::endpoint(&format!("http_{status}"), format!("the receiver answered {words}")),
    }
}
