//! What an error of the HTTP library means, told by the types of its causes and never by its text.
//!
//! The library's own sentences hold the whole URL, so they are never shown: only its innermost causes speak here.

use std::error::Error;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};
use url::Url;

use crate::core::http::TransportFault;

/// Where a request goes, shown without anything secret: host and port.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    url: Option<&'a Url>,
}

impl Place<'_> {
    fn is_encrypted(self) -> bool {
        self.url.is_some_and(|url| url.scheme() == "https")
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.and_then(Url::host_str);
        out.write_str(host.unwrap_or("the other side"))?;
        match self.url.and_then(Url::port) {
            Some(port) => write!(out, ":{port}"),
            None => Ok(()),
        }
    }
}

/// A fault on its way through the library's errors, from the resolver or the guard to [`before_headers`].
#[derive(Debug)]
pub(super) struct Carried(pub(super) TransportFault);

impl fmt::Display for Carried {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("there is no address to connect to")
    }
}

impl Error for Carried {}

/// An error that came before the answer's headers.
pub(super) fn before_headers(error: &reqwest::Error) -> TransportFault {
    let place = Place { url: error.url() };
    let causes = Causes::of(error);
    if let Some(fault) = causes.carried {
        return fault.clone();
    }
    if let Some(fault) = causes.tls(place).or_else(|| causes.local()) {
        return fault;
    }
    if error.is_builder() {
        let detail = String::from("the URL or a header cannot be sent");
        return TransportFault::Local { detail };
    }
    if error.is_connect() {
        return causes.connect(place);
    }
    causes.broken_off(place, "before its headers")
}

/// An error that came while the body of an answer from `url` was read: of the connection or of the decompression.
pub(super) fn in_body(error: &(dyn Error + 'static), url: &Url) -> TransportFault {
    let place = Place { url: Some(url) };
    let causes = Causes::of(error);
    if let Some(fault) = causes.tls(place).or_else(|| causes.local()) {
        return fault;
    }
    if causes.hyper.is_some() || causes.system.is_some() {
        return causes.broken_off(place, "in the middle of the body");
    }
    TransportFault::Decode { detail: causes.innermost }
}

/// The innermost cause in its own words.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The causes that tell faults apart.
struct Causes<'a> {
    carried: Option<&'a TransportFault>,
    tls: Option<&'a rustls::Error>,
    hyper: Option<&'a hyper::Error>,
    /// The innermost error of the operating system or of a stream.
    io: Option<&'a io::Error>,
    /// The same if it has an error number.
    system: Option<&'a io::Error>,
    innermost: String,
}

impl<'a> Causes<'a> {
    fn of(error: &'a (dyn Error + 'static)) -> Self {
        let mut found = Self {
            carried: None,
            tls: None,
            hyper: None,
            io: None,
            system: None,
            innermost: String::from("for no stated reason"),
        };
        for cause in causes(error) {
            let mut wraps = cause.is::<reqwest::Error>();
            if let Some(Carried(fault)) = cause.downcast_ref::<Carried>() {
                found.carried = Some(fault);
            } else if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                found.tls = Some(tls);
            } else if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
                found.hyper = Some(hyper);
            } else if let Some(io) = cause.downcast_ref::<io::Error>() {
                found.io = Some(io);
                found.system = io.raw_os_error().map(|_| io).or(found.system);
                wraps = io.get_ref().is_some();
            }
            // The library's own error shows the URL, and an error around it shows the same.
            if !wraps {
                found.innermost = cause.to_string();
            }
        }
        found
    }

    fn tls(&self, place: Place<'_>) -> Option<TransportFault> {
        let fault = self.tls?;
        let detail = format!("{place}: {fault}");
        Some(TransportFault::Tls { detail, is_final: is_final(fault) })
    }

    /// Trouble that would have met a request to anybody.
    fn local(&self) -> Option<TransportFault> {
        let system = self.system?;
        is_local(system).then(|| TransportFault::Local { detail: system.to_string() })
    }

    fn connect(&self, place: Place<'_>) -> TransportFault {
        let ended = self.io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
        if ended && place.is_encrypted() {
            let detail = format!("{place} hung up during the handshake");
            return TransportFault::Tls { detail, is_final: false };
        }
        TransportFault::Connect { detail: format!("{place}: {}", self.innermost) }
    }

    /// An exchange that was begun and not finished.
    fn broken_off(&self, place: Place<'_>, when: &str) -> TransportFault {
        let invalid = |io: &io::Error| {
            matches!(io.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
        };
        let not_http = self.hyper.is_some_and(|hyper| hyper.is_parse() || hyper.is_user())
            || self.io.is_some_and(invalid);
        if not_http {
            return TransportFault::Protocol { detail: self.innermost.clone() };
        }
        let how = match self.system {
            Some(system) => system.to_string(),
            None => format!("{place} hung up"),
        };
        TransportFault::Cut { detail: format!("{how} {when}") }
    }
}

/// Whether a handshake will end in the same way until a person changes something. What is out of date is often replaced
/// in time, and a clock may be wrong; what a server says of our own certificate may be its passing trouble.
fn is_final(fault: &rustls::Error) -> bool {
    match fault {
        rustls::Error::InvalidCertificate(flaw) => !matches!(
            flaw,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
                | CertificateError::ExpiredRevocationList
                | CertificateError::ExpiredRevocationListContext { .. }
                | CertificateError::UnknownRevocationStatus
        ),
        rustls::Error::PeerIncompatible(_)
        | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => true,
        _ => false,
    }
}

/// Whether an error of the operating system is about this machine: descriptors, memory, routes, ports.
fn is_local(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(
        error.kind(),
        io::ErrorKind::OutOfMemory
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable
    ) || matches!(error.raw_os_error(), Some(ENFILE | EMFILE | ENOBUFS))
}

/// An error and its causes, outermost first. An `io::Error` hides the error it wraps from `source`.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}
