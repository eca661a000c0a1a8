//! `server`: where the daemon listens, and what callers must show.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::keys;
use crate::config::report::{Finding, Flaw};
use crate::config::tree::Node;
use crate::config::walk::Walk;
use crate::core::secret::Secret;

/// The daemon's own address.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Server {
    pub(crate) listen: Listen,
    /// `None` leaves the API open: only on loopback and unix sockets.
    pub(crate) token: Option<Secret>,
    /// Whether the configuration is also read again when a file of it changes.
    pub(crate) watches: bool,
}

impl Server {
    /// Whether another address or token is declared: those hold from the next start on.
    pub(crate) fn listens_otherwise(&self, other: &Self) -> bool {
        (&self.listen, &self.token) != (&other.listen, &other.token)
    }
}

/// Where dashboard, API and metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
    /// Nowhere.
    Off,
}

impl Default for Listen {
    fn default() -> Self {
        Self::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8600)))
    }
}

/// Reads `server`.
pub(super) fn read<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Server> {
    let fields = walk.fields(node, keys::SERVER, node.place)?;
    let listen = fields.or("listen", Listen::default(), |node| listen(walk, node));
    let token = fields.or("token", None, |node| token(walk, node).map(Some));
    let reload = fields.or("reload", "off", |node| walk.word(node, keys::RELOAD));
    if let (Some(Listen::Tcp(address)), false) = (&listen, fields.has("token"))
        && !address.ip().is_loopback()
    {
        let place = fields.get("listen").unwrap_or(node).place;
        let sentence =
            "`token` is missing: others could reach this address, and everything behind it";
        let hint = "add `token: ${DOORBELL_TOKEN}`, or listen on 127.0.0.1 or a unix socket";
        walk.report.add(Finding::error(place, sentence).hint(hint));
        return None;
    }
    Some(Server { listen: listen?, token: token?, watches: reload? == "watch" })
}

fn listen<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Listen> {
    let text = walk.text(node)?;
    if text == "off" {
        return Some(Listen::Off);
    }
    if let Some(path) = text.strip_prefix("unix:") {
        if path.is_empty() || path.contains('\0') {
            return walk.report.wrong(
                node,
                "`unix:` needs a path",
                "such as `unix:/run/doorbell/api.sock`",
            );
        }
        return Some(Listen::Unix(PathBuf::from(path)));
    }
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    if let Ok(address) = numeric.parse() {
        return Some(Listen::Tcp(address));
    }
    let hint = match text.trim_start_matches(':').parse::<u16>() {
        Ok(port) => format!("did you mean `127.0.0.1:{port}`?"),
        Err(_) => String::from("such as `127.0.0.1:8600`, `unix:/run/doorbell/api.sock` or `off`"),
    };
    let flaw = Flaw::new("this is not an address to listen on", hint);
    walk.flaw(node, "an address to listen on", &flaw)
}

fn token<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Secret> {
    let token = walk.secret_text(node)?;
    if !token.expose().chars().all(|c| c.is_ascii_graphic()) {
        return walk.report.wrong(node, "a token is plain ASCII without blanks", "");
    }
    Some(token)
}
