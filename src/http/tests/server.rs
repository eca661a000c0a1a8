//! A server that answers raw bytes and then behaves as badly as it is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What one request is answered with.
#[derive(Clone)]
pub(super) struct Script {
    bytes: Vec<u8>,
    then: Then,
}

/// What follows the bytes.
#[derive(Clone)]
pub(super) enum Then {
    /// The next request on the same connection.
    Keep,
    Close,
    Reset,
    /// Silence.
    Hold,
    /// The same bytes again and again, with a pause before each.
    Repeat(Vec<u8>, Duration),
}

impl Script {
    pub(super) fn new(bytes: impl AsRef<[u8]>, then: Then) -> Self {
        Self { bytes: bytes.as_ref().to_vec(), then }
    }
}

pub(super) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Aborts the work when dropped.
    _work: JoinSet<()>,
}

impl Server {
    /// Answers one script after the other, then the last one for ever.
    pub(super) async fn start(scripts: Vec<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (counter, scripts) = (Arc::clone(&connections), Arc::new(scripts));
        let mut work = JoinSet::new();
        work.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (scripts, requests) = (Arc::clone(&scripts), Arc::clone(&requests));
                talks.spawn(async move { talk(stream, &scripts, &requests).await });
            }
        });
        Self { address, connections, _work: work }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Answers requests until the script or the client ends the connection; a client that hangs up is fine.
async fn talk(mut stream: TcpStream, scripts: &[Script], requests: &AtomicUsize) {
    while read_head(&mut stream).await {
        let turn = requests.fetch_add(1, Ordering::SeqCst);
        let script = scripts.get(turn).or(scripts.last()).expect("a script");
        if stream.write_all(&script.bytes).await.is_err() {
            return;
        }
        match &script.then {
            Then::Keep => {}
            Then::Close => return,
            Then::Reset => {
                // Lets the bytes arrive first: a reset overtakes what was not read.
                tokio::time::sleep(Duration::from_millis(50)).await;
                stream.set_zero_linger().unwrap();
                return;
            }
            Then::Hold => std::future::pending().await,
            Then::Repeat(bytes, pause) => {
                tokio::time::sleep(*pause).await;
                while stream.write_all(bytes).await.is_ok() {
                    tokio::time::sleep(*pause).await;
                }
                return;
            }
        }
    }
}

/// Reads the head of a request, or what a TLS client says first. `false` when the client is gone.
async fn read_head(stream: &mut TcpStream) -> bool {
    let mut head = Vec::with_capacity(16 * 1024);
    while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&0x16) {
        if !matches!(stream.read_buf(&mut head).await, Ok(1..)) {
            return false;
        }
    }
    true
}
