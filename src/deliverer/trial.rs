//! Trials: one event sent to an endpoint for a person to see what comes of it. Nothing is kept, and the endpoint's condition
//! stays as it is.

use super::Deliverer;
use super::attempt::Sent;
use crate::core::endpoint::Endpoint;
use crate::core::event::Event;
use crate::core::fault::Fault;
use crate::core::http::{is_credential, shown_receiver};
use crate::core::report::{ShownRequest, TrialReport};
use crate::core::sink::content::make_late;
use crate::core::sink::{self, Outbound, Parcel};

impl Deliverer {
    /// Sends an event as a delivery of it would be sent, whatever `where` says.
    pub(crate) async fn try_out(&self, endpoint: &Endpoint, event: &Event) -> TrialReport {
        let began = self.ports.clock.now();
        let wanting = Endpoint { where_: None, ..endpoint.clone() };
        let made = match make_late(event, &wanting) {
            Ok(made) => made,
            Err(fault) => return unsent(event, fault),
        };
        let parcel = Parcel { event, made: Some(&made), is_replay: false };
        let outbound = sink::outbound(parcel, &wanting, self.ports.clock.wall());
        if let Outbound::Unready(fault) = outbound {
            return unsent(event, fault);
        }
        let request = self.shown_request(&outbound);
        let Sent { result, status, answer } = self.send(outbound, endpoint.timeout).await;
        TrialReport {
            event_id: event.id.clone(),
            request,
            body: self.ports.redactor.clean(&made.body),
            status,
            fault: result.fault().cloned(),
            answer,
            took: self.ports.clock.now().since(began),
        }
    }

    /// Signatures are shown: whoever sees them has been told the event, too.
    fn shown_request(&self, outbound: &Outbound) -> Option<ShownRequest> {
        let Outbound::Http(request) = outbound else { return None };
        let shown = request.headers.iter().map(|(name, value)| {
            let text = if is_credential(name.as_str()) {
                String::from("…")
            } else {
                self.ports.redactor.clean(&String::from_utf8_lossy(value.as_bytes()))
            };
            (name.to_string(), text)
        });
        Some(ShownRequest {
            method: request.method.clone(),
            url: shown_receiver(&request.url),
            headers: shown.collect(),
        })
    }
}

fn unsent(event: &Event, fault: Fault) -> TrialReport {
    TrialReport {
        event_id: event.id.clone(),
        request: None,
        body: String::new(),
        status: None,
        fault: Some(fault),
        answer: String::new(),
        took: std::time::Duration::ZERO,
    }
}
