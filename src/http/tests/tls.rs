//! Certificates are verified, and what goes wrong in a handshake is told apart from what goes wrong in a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::server::{Script, Server, Then};
use super::{client, get, words};
use crate::http::HttpClient;

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (port, served) = self_signed_server();
    let outcome = words(&client().exchange(get(&format!("https://localhost:{port}"))).await);
    assert!(outcome.starts_with(&format!("tls: TLS failed: localhost:{port}: ")), "{outcome}");
    assert!(outcome.contains("certificate"), "{outcome}");
    assert_eq!(
        served.join().unwrap(),
        "",
        "nothing was sent over a connection that nobody vouches for"
    );
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_fault() {
    for script in
        [Script::new("HTTP/1.1 400 Bad Request\r\n\r\n", Then::Close), Script::new("", Then::Close)]
    {
        let server = Server::start(vec![script]).await;
        let outcome =
            words(&client().exchange(get(&format!("https://127.0.0.1:{}", server.port()))).await);
        assert!(outcome.starts_with("tls: TLS failed: 127.0.0.1:"), "{outcome}");
    }
}

/// Serves one connection; the thread ends with what came over it in clear text.
fn self_signed_server() -> (u16, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let certificate = CertificateDer::from(STANDARD.decode(CERTIFICATE.replace('\n', "")).unwrap());
    let key = PrivatePkcs8KeyDer::from(STANDARD.decode(KEY.replace('\n', "")).unwrap());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let serve = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        let mut heard = [0; 4096];
        let length = stream.read(&mut heard).unwrap_or(0);
        // The client is gone by now if all is well.
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
        String::from_utf8_lossy(&heard[..length]).into_owned()
    });
    (port, serve)
}

/// For `localhost`, signed by itself, valid for a hundred years. Made for this test and used nowhere else.
const CERTIFICATE: &str = "\
MIIBlzCCAT6gAwIBAgIUPbv33ScK/wLHvjiJphPAJQX5UfQwCgYIKoZIzj0EAwIwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2
MTEyMTA5MjUzNFoYDzIxMjYxMDI4MDkyNTM0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AAQKR0K6sV7uzEtfU39l3BQ/Cysj/MWt0wiXpstTajE+6QLsDREXIL9vX/SOR3R6gxC74d1mhT8laBX4XpwzK+Ybo2wwajAdBgNV
HQ4EFgQUhPSmW4L30fWk8wlO09c2RuA1eD0wHwYDVR0jBBgwFoAUhPSmW4L30fWk8wlO09c2RuA1eD0wGgYDVR0RBBMwEYIJbG9j
YWxob3N0hwR/AAABMAwGA1UdEwEB/wQCMAAwCgYIKoZIzj0EAwIDRwAwRAIgOnpxztSIcvjTOvJ8idR/l2bLYJzEBL/aiUaIKh3l
V9UCIEl8HAxirEI/6AwCSc+gZ8ozVM9+f0wNBaQTyW2PGdoH";
const KEY: &str = "\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgGfxmLjDFA7rJPxf0Nwi9B0MIVOnczroIEdZZAMG12UehRANCAAQK
R0K6sV7uzEtfU39l3BQ/Cysj/MWt0wiXpstTajE+6QLsDREXIL9vX/SOR3R6gxC74d1mhT8laBX4XpwzK+Yb";
