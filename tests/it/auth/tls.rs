//! A server with a certificate of its own authority that wants to see one, too.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{fault, source};
use crate::support::scene::items;
use crate::support::{ApiServer, Daemon};

const CA: &str = include_str!("../../cases/tls/ca.pem");
const SERVER: &str = include_str!("../../cases/tls/server.pem");
const SERVER_KEY: &str = include_str!("../../cases/tls/server.key");
const CLIENT: &str = include_str!("../../cases/tls/client.pem");
const CLIENT_KEY: &str = include_str!("../../cases/tls/client.key");

/// Serves one item, or where else to go, to clients of our own authority.
struct Strict {
    address: SocketAddr,
    /// The heads of the requests that got through.
    heard: Arc<Mutex<Vec<String>>>,
}

impl Strict {
    /// `redirect` is where it sends who asks for `/away`.
    fn start(wants_certificate: bool, redirect: &str) -> Self {
        Self::start_at("127.0.0.1", wants_certificate, redirect)
    }

    fn start_at(host: &str, wants_certificate: bool, redirect: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let config = Arc::new(config(wants_certificate));
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let (ear, redirect) = (Arc::clone(&heard), redirect.to_owned());
        // Ends with the process: it waits for connections and nothing else.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, ear, redirect) =
                    (Arc::clone(&config), Arc::clone(&ear), redirect.clone());
                thread::spawn(move || serve(stream, config, &ear, &redirect));
            }
        });
        Self { address, heard }
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn config(wants_certificate: bool) -> ServerConfig {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(certificate(CA)).unwrap();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if wants_certificate {
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY.as_bytes()).unwrap();
    builder.with_single_cert(vec![certificate(SERVER)], key).unwrap()
}

/// Answers until the client is gone or fails to prove itself.
fn serve(stream: TcpStream, config: Arc<ServerConfig>, ear: &Mutex<Vec<String>>, redirect: &str) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if !matches!(stream.read_line(&mut head), Ok(1..)) {
                return;
            }
        }
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let is_away = head.starts_with("GET /away");
        ear.lock().unwrap().push(head);
        let answer = if is_away {
            format!("HTTP/1.1 307 Away\r\nLocation: {redirect}\r\nContent-Length: 0\r\n\r\n")
        } else {
            let body = r#"[{"id":1}]"#;
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let sent = stream.get_mut().write_all(answer.as_bytes());
        if sent.and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

/// A daemon with the PEM files beside its configuration, not yet started.
fn daemon(config: &str) -> Daemon {
    let daemon = Daemon::new(config);
    fs::create_dir(daemon.path("pem")).unwrap();
    for (name, pem) in [("ca", CA), ("client", CLIENT), ("key", CLIENT_KEY), ("wrong", SERVER_KEY)]
    {
        fs::write(daemon.path(&format!("pem/{name}.pem")), pem).unwrap();
    }
    daemon
}

const ALL: &str = "tls: { ca: pem/ca.pem, cert: pem/client.pem, key: pem/key.pem }";
const CA_ALONE: &str = "tls: { ca: pem/ca.pem }";

#[test]
fn an_authority_of_ones_own_is_trusted_and_a_client_certificate_is_shown() {
    let (open, strict) = (Strict::start(false, ""), Strict::start(true, ""));
    let mut daemon = daemon(&format!(
        "sources:\n{}{}{}{}{}",
        source("open", &open.url("/open"), CA_ALONE),
        source("strict", &strict.url("/strict"), ALL),
        source("same", &strict.url("/same"), ALL),
        source("stranger", &open.url("/stranger"), ""),
        source("nobody", &strict.url("/nobody"), CA_ALONE),
    ));
    daemon.start();
    for name in ["open", "strict", "same"] {
        daemon.wait_for_good_polls(name, 2);
    }
    assert!(fault(&mut daemon, "stranger", "tls").contains("localhost"));
    daemon.wait_until("a refusal", |daemon| {
        !daemon.control_json("/v1/sources/nobody")["fault"].is_null()
    });
    let heard = [open.heard(), strict.heard()].concat();
    for refused in ["/stranger", "/nobody"] {
        assert!(!heard.iter().any(|head| head.contains(refused)), "{refused} got through");
    }
}

#[test]
fn a_client_certificate_is_not_shown_where_a_redirect_leads() {
    let other = Strict::start(true, "");
    let api = Strict::start(true, &other.url("/elsewhere"));
    let mut daemon = daemon(&format!(
        "sources:\n{}",
        source("one", &api.url("/away"), &format!("{ALL}, redirects: 1"))
    ));
    daemon.start();
    daemon.wait_until("a refusal", |daemon| {
        !daemon.control_json("/v1/sources/one")["fault"].is_null()
    });
    assert!(!api.heard().is_empty());
    assert_eq!(other.heard(), Vec::<String>::new());
}

#[test]
fn what_is_wrong_with_a_file_is_told_at_its_place() {
    let check = |more: &str, expected: &str| {
        let daemon = daemon(&format!("sources:\n{}", source("one", "https://a.example/", more)));
        let told = daemon.cli(&["check"]);
        let said = format!("{}{}", told.stdout, told.stderr);
        assert_eq!(told.code, Some(2), "{more}: {said}");
        assert!(said.contains(expected), "{more}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    };
    check("tls: { ca: pem/none.pem }", "there is no such file");
    check("tls: { ca: pem/key.pem }", "there is no certificate in it");
    check("tls: { cert: pem/client.pem }", "`cert` stands here without its `key`");
    check("tls: { key: pem/key.pem }", "`key` stands here without its `cert`");
    check(
        "tls: { cert: pem/client.pem, key: pem/wrong.pem }",
        "it does not belong to the certificate",
    );
    check("tls: { cert: pem/client.pem, key: pem/client.pem }", "there is no private key in it");
    let inline = serde_json::to_string(CLIENT_KEY).unwrap();
    check(&format!("tls: {{ cert: pem/client.pem, key: {inline} }}"), "the key is a file");
}

/// Two lists in one: an API with a source, and receivers that are declared as it is said.
fn ringing(api: &ApiServer, endpoints: &str) -> String {
    format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{endpoints}",
        api.url()
    )
}

#[test]
fn receivers_are_proven_too_and_a_refusal_that_stays_one_is_final_at_once() {
    let (open, strict) = (Strict::start(false, ""), Strict::start(true, ""));
    let api = ApiServer::with_items(items(1));
    let endpoint = |name: &str, url: &str, more: &str| {
        format!(
            "  {name}: {{ url: '{url}', sign: none, retry: {{ first: 50ms, max: 100ms }}, {more} }}\n"
        )
    };
    // The certificate names localhost and 127.0.0.1.
    let elsewhere = Strict::start_at("127.0.0.2", false, "");
    let other_name = elsewhere.url("/named").replace("localhost", "127.0.0.2");
    let mut daemon = daemon(&ringing(
        &api,
        &[
            endpoint("open", &open.url("/open"), CA_ALONE),
            endpoint("strict", &strict.url("/strict"), ALL),
            endpoint("stranger", &open.url("/stranger"), ""),
            endpoint("named", &other_name, CA_ALONE),
        ]
        .concat(),
    ));
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    let listed = |daemon: &Daemon, endpoint: &str| {
        let path = format!("/v1/deliveries?endpoint={endpoint}");
        daemon.control_json(&path)[0].clone()
    };
    for (name, status) in [
        ("open", "delivered"),
        ("strict", "delivered"),
        ("stranger", "exhausted"),
        ("named", "exhausted"),
    ] {
        daemon.wait_until(name, |daemon| listed(daemon, name)["status"] == status);
        assert_eq!(listed(&daemon, name)["attempts"], 1, "{name}");
    }
    for name in ["stranger", "named"] {
        let reason = listed(&daemon, name)["reason"].as_str().unwrap().to_owned();
        assert!(reason.starts_with("TLS failed: ") && reason.contains("certificate"), "{reason}");
    }
    let heard = [open.heard(), strict.heard(), elsewhere.heard()].concat();
    assert_eq!(heard.iter().filter(|head| head.starts_with("POST ")).count(), 2, "{heard:?}");
}
