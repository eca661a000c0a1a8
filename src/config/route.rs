//! `tls`, `proxy` and `source_address`: over which connections a source is asked, and an endpoint rung. PEM files are read here and now, so that what is wrong
//! with them is told with everything else.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::config::keys;
use crate::config::lookup::FileFault;
use crate::config::report::{Finding, Flaw};
use crate::config::tree::Node;
use crate::config::walk::{Fields, Walk};
use crate::core::auth::oauth2::OAuth2;
use crate::core::http::route::{Identity, OfKey, Proxy, Route, check_roots};
use crate::core::limits::{CONFIG_FILE_BYTES_MAX, VALUE_FILE_BYTES_MAX};
use crate::core::secret::Secret;

/// What equal declarations share: thousands of sources have few routes and few tokens.
#[derive(Debug, Default)]
pub(super) struct Shared {
    routes: HashMap<[u8; 32], Arc<Route>>,
    oauth2: HashMap<[u8; 16], Arc<OAuth2>>,
}

impl Shared {
    fn route(&mut self, route: Route) -> Arc<Route> {
        Arc::clone(self.routes.entry(route.digest()).or_insert_with(|| Arc::new(route)))
    }

    /// The first of those that are equal to this.
    pub(super) fn oauth2(&mut self, oauth2: OAuth2) -> Arc<OAuth2> {
        Arc::clone(self.oauth2.entry(oauth2.digest()).or_insert_with(|| Arc::new(oauth2)))
    }
}

/// Reads `tls`, `proxy` and, of an endpoint, `source_address` among its keys. `Err` when something is wrong with them,
/// which is noted.
pub(super) fn read<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Result<Option<Arc<Route>>, ()> {
    let tls = fields.or("tls", (None, None), |node| tls(walk, node));
    let proxy = fields.or("proxy", None, |node| proxy(walk, node).map(Some));
    let address = fields.or("source_address", None, |node| source_address(walk, node).map(Some));
    let (Some((roots, identity)), Some(proxy), Some(address)) = (tls, proxy, address) else {
        return Err(());
    };
    let route = Route::with_source_address(roots, identity, proxy, address);
    Ok(route.map(|route| walk.shared.route(route)))
}

fn source_address<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<IpAddr> {
    let text = walk.text(node)?;
    walk.report.filled_in(node);
    let hint = "an address of this machine, such as `203.0.113.7` or `2001:db8::7`";
    match text.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Some(address),
        Ok(_) => walk.report.wrong(node, "nothing can be sent from this address", hint),
        Err(_) => {
            let flaw = Flaw::new("this is not an IP address", hint);
            walk.flaw(node, "an IP address", &flaw)
        }
    }
}

fn tls<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<(Option<String>, Option<Identity>)> {
    let fields = walk.fields(node, keys::TLS, node.place)?;
    let roots = fields.or("ca", None, |node| {
        let pem = walk.pem_file(node, "the authority's certificate", false)?;
        match check_roots(&pem) {
            Ok(()) => Some(Some(pem)),
            Err(flaw) => cannot_be_used(walk, node, "the authority's certificate", flaw),
        }
    });
    let certificates =
        fields.or("cert", None, |node| walk.pem_file(node, "the certificate", false).map(Some));
    let key = fields.or("key", None, |node| walk.pem_file(node, "the key", true).map(Some));
    if let (Some(node), false) = (fields.get("cert"), fields.has("key")) {
        return walk.report.wrong(node, "`cert` stands here without its `key`", "add `key: FILE`");
    }
    if let (Some(node), false) = (fields.get("key"), fields.has("cert")) {
        return walk.report.wrong(node, "`key` stands here without its `cert`", "add `cert: FILE`");
    }
    let (roots, certificates, key) = (roots?, certificates?, key?);
    let (Some(certificates), Some(key)) = (certificates, key) else { return Some((roots, None)) };
    let identity = Identity { certificates, key: Secret::new(key) };
    match identity.check() {
        Ok(()) => Some((roots, Some(identity))),
        Err((flaw, OfKey(true))) => cannot_be_used(walk, fields.get("key")?, "the key", flaw),
        Err((flaw, OfKey(false))) => {
            cannot_be_used(walk, fields.get("cert")?, "the certificate", flaw)
        }
    }
}

fn cannot_be_used<T>(walk: &mut Walk<'_>, node: &Node, what: &str, flaw: &str) -> Option<T> {
    walk.report.wrong(node, format!("{what} cannot be used: {flaw}"), "a PEM file belongs here")
}

fn proxy<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Proxy> {
    let text = walk.text(node)?;
    walk.report.filled_in(node);
    match read_proxy(text) {
        Err(flaw) => walk.flaw(node, "a proxy's URL", &flaw),
        Ok((proxy, raw)) => {
            let password = proxy.credentials.as_ref().map(|(_, password)| password.clone());
            walk.report.secrets.extend(password.into_iter().chain(raw));
            Some(proxy)
        }
    }
}

/// A proxy, and its password as it was typed.
fn read_proxy(text: &str) -> Result<(Proxy, Option<Secret>), Flaw> {
    const EXAMPLE: &str = "such as `http://proxy.example:3128`";
    let Ok(mut url) = Url::parse(text) else {
        return Err(Flaw::new("this is not a proxy's URL", EXAMPLE));
    };
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        let sentence = "a proxy's URL begins with `http://` or `https://` and names a host";
        return Err(Flaw::new(sentence, EXAMPLE));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(Flaw::new("a proxy's URL ends with its host and port", EXAMPLE));
    }
    let decoded = |text: &str| {
        let text = percent_decoded(text);
        text.filter(|text| !text.contains(char::is_control))
            .ok_or_else(|| Flaw::new("the user or password cannot be sent", "encode it as `%XX`"))
    };
    let raw = url.password().map(Secret::new);
    let credentials = if url.username().is_empty() && raw.is_none() {
        None
    } else {
        let password = decoded(url.password().unwrap_or_default())?;
        Some((decoded(url.username())?, Secret::new(password)))
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    cleared.map_err(|()| Flaw::new("this is not a proxy's URL", EXAMPLE))?;
    Ok((Proxy { url, credentials }, raw))
}

fn percent_decoded(text: &str) -> Option<String> {
    // A form's decoder knows percent signs; what it would make of a plus is kept from it.
    let pair = format!("={}", text.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(pair.as_bytes()).next()?;
    (!value.contains('\u{fffd}')).then(|| value.into_owned())
}

impl<'a> Walk<'a> {
    /// The text of a PEM file, its path relative to the file that names it. `what` names it in sentences; of a secret
    /// one it is looked whether everybody may read it.
    pub(super) fn pem_file(
        &mut self,
        node: &'a Node,
        what: &str,
        is_secret: bool,
    ) -> Option<String> {
        let path = self.text(node)?;
        if path.contains("-----BEGIN") {
            self.report.hide(node);
            let hint = "write it to a file, and the file's path here";
            return self.report.wrong(node, format!("{what} is a file"), hint);
        }
        let directory = self.files.get(usize::from(node.place.file));
        let directory = directory.and_then(|file| file.path.parent()).unwrap_or(Path::new(""));
        let bytes_max = if is_secret { VALUE_FILE_BYTES_MAX } else { CONFIG_FILE_BYTES_MAX };
        match self.lookup.file(&directory.join(path), bytes_max) {
            Ok(found) => {
                if is_secret && found.world_readable {
                    let sentence = format!("everybody on this machine may read {what}");
                    let finding = Finding::warning(node.place, sentence);
                    self.report.add(finding.hint("chmod o-r FILE"));
                }
                Some(found.text)
            }
            Err(fault) => {
                let hint = match fault {
                    FileFault::Missing => "paths are relative to the file they stand in",
                    FileFault::NotText => "PEM is text; `openssl` converts other formats",
                    _ => "",
                };
                // What is no path may be the secret itself.
                let named = if is_path(path) { format!(" {path:?}") } else { String::new() };
                self.report.wrong(node, format!("{what}{named} cannot be used: {fault}"), hint)
            }
        }
    }

    /// Text of one line that may be shown.
    pub(super) fn plain(&mut self, node: &'a Node) -> Option<String> {
        let text = self.text(node)?;
        self.report.filled_in(node);
        if text.contains(char::is_control) {
            let sentence = "line breaks and other control characters cannot stand here";
            return self.report.wrong(node, sentence, "");
        }
        Some(text.to_owned())
    }
}

/// Whether a text is surely the path of a file, and no key in base64, which has slashes, too.
fn is_path(text: &str) -> bool {
    const ENDINGS: [&str; 5] = [".pem", ".key", ".crt", ".cer", ".p8"];
    const BYTES_MAX: usize = 256;
    let lower = text.to_ascii_lowercase();
    text.len() <= BYTES_MAX
        && !text.contains(char::is_control)
        && ENDINGS.iter().any(|ending| lower.ends_with(ending))
}
