//! Over which connections requests go: whose certificates are trusted, which one is shown, through which proxy.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::core::secret::Secret;

/// What sets the connections of a source or endpoint apart from those of others. Equal ones share their connections.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    /// PEM; in the place of the system's roots.
    roots: Option<String>,
    identity: Option<Identity>,
    proxy: Option<Proxy>,
    source_address: Option<IpAddr>,
    digest: [u8; 32],
}

/// A client certificate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    /// PEM; the client's own first, then those up to an authority.
    pub(crate) certificates: String,
    /// PEM: PKCS#8, PKCS#1 or SEC1.
    pub(crate) key: Secret,
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Proxy {
    /// Without user and password.
    pub(crate) url: Url,
    pub(crate) credentials: Option<(String, Secret)>,
}

impl Route {
    /// One without an address to leave from.
    #[cfg(test)]
    pub(crate) fn new(
        roots: Option<String>,
        identity: Option<Identity>,
        proxy: Option<Proxy>,
    ) -> Option<Self> {
        Self::with_source_address(roots, identity, proxy, None)
    }

    /// `None` when nothing sets it apart. The certificates were checked by [`check_roots`] and [`Identity::check`].
    pub(crate) fn with_source_address(
        roots: Option<String>,
        identity: Option<Identity>,
        proxy: Option<Proxy>,
        source_address: Option<IpAddr>,
    ) -> Option<Self> {
        if roots.is_none() && identity.is_none() && proxy.is_none() && source_address.is_none() {
            return None;
        }
        let digest = digest(roots.as_deref(), identity.as_ref(), proxy.as_ref(), source_address);
        Some(Self { roots, identity, proxy, source_address, digest })
    }

    /// Whose certificates are trusted, as PEM; `None` for those the system trusts.
    pub(crate) fn roots(&self) -> Option<&str> {
        self.roots.as_deref()
    }

    /// The client certificate.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The proxy.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The address of this machine that its connections leave from; `None` for whichever the system takes.
    pub(crate) fn source_address(&self) -> Option<IpAddr> {
        self.source_address
    }

    /// Equal for equal routes, secrets included. Tells nothing of them.
    pub(crate) fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The same without a client certificate: it proves who asks, and that is nobody else's business.
    pub(crate) fn without_identity(&self) -> Option<Self> {
        let (roots, proxy) = (self.roots.clone(), self.proxy.clone());
        Self::with_source_address(roots, None, proxy, self.source_address)
    }
}

fn digest(
    roots: Option<&str>,
    identity: Option<&Identity>,
    proxy: Option<&Proxy>,
    source_address: Option<IpAddr>,
) -> [u8; 32] {
    let credentials = proxy.and_then(|proxy| proxy.credentials.as_ref());
    let source_address = source_address.map(|address| address.to_string());
    let parts = [
        roots,
        identity.map(|identity| identity.certificates.as_str()),
        identity.map(|identity| identity.key.expose()),
        proxy.map(|proxy| proxy.url.as_str()),
        credentials.map(|(user, _)| user.as_str()),
        credentials.map(|(_, password)| password.expose()),
        source_address.as_deref(),
    ];
    let mut digest = Sha256::new();
    for part in parts {
        digest.update([u8::from(part.is_some())]);
        let part = part.unwrap_or_default();
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}

/// Checks that a PEM text holds certificates that can be trusted.
///
/// # Errors
/// What is wrong with it, as the end of a sentence. Nothing of the text is in it.
pub(crate) fn check_roots(pem: &str) -> Result<(), &'static str> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|_| "one of its certificates cannot be read")?;
    }
    Ok(())
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    match read {
        Err(_) => Err("it is not valid PEM"),
        Ok(found) if found.is_empty() => Err("there is no certificate in it"),
        Ok(found) => Ok(found),
    }
}

impl Identity {
    /// Checks that certificate and key are such, and belong together.
    ///
    /// # Errors
    /// What is wrong, and whether with the key rather than with the certificate.
    pub(crate) fn check(&self) -> Result<(), (&'static str, OfKey)> {
        let of_certificate = |flaw| (flaw, OfKey(false));
        let certificates = certificates(&self.certificates).map_err(of_certificate)?;
        let of_key = |flaw| (flaw, OfKey(true));
        let key = PrivateKeyDer::from_pem_slice(self.key.expose().as_bytes())
            .map_err(|_| of_key("there is no private key in it that can be read"))?;
        match CertifiedKey::from_der(certificates, key, &default_provider()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(of_key("it does not belong to the certificate"))
            }
            Err(rustls::Error::InvalidCertificate(_)) => {
                Err(of_certificate("the certificate cannot be read"))
            }
            Err(_) => Err(of_key("keys of this kind are not supported")),
        }
    }
}

/// Whether something is wrong with the key rather than with the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OfKey(pub(crate) bool);

impl Proxy {
    /// Host and port, for sentences.
    pub(crate) fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        match self.url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }
}
