//! A small HTTP/1.1 server that can misbehave. The API server and the receiver are made of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::support::reply::{Manner, Reply};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// Counts the server's connections from 0: equal numbers are one connection.
    pub(crate) connection: usize,
}

impl Received {
    /// A header's value, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// A parameter of the query, as it is written there.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(given, _)| *given == name).map(|(_, value)| value)
    }
}

/// Decides what a request is answered with.
pub(crate) type Answerer = Arc<dyn Fn(Received) -> Reply + Send + Sync>;

/// A listening server; dropping it ends everything it does.
pub(crate) struct Server {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Server {
    /// Listens on a free port of the loopback interface.
    pub(crate) fn start(answerer: Answerer) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(accept(listener, answerer));
        Self { address, runtime: Some(runtime) }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, answerer: Answerer) {
    let connections = AtomicUsize::new(0);
    let mut talks = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while talks.try_join_next().is_some() {}
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let answerer = Arc::clone(&answerer);
        talks.spawn(async move { talk(stream, connection, &answerer).await });
    }
}

/// Answers requests until either side ends the connection.
async fn talk(mut stream: TcpStream, connection: usize, answerer: &Answerer) {
    stream.set_nodelay(true).unwrap();
    let mut heard = Vec::new();
    while let Some(received) = receive(&mut stream, &mut heard, connection).await {
        let is_head = received.method == "HEAD";
        let mut reply = answerer(received);
        if is_head {
            reply.body.clear();
        }
        // A client that hangs up is no fault of the test.
        if !matches!(send(&mut stream, &reply).await, Ok(true)) {
            return;
        }
    }
}

/// Reads one request; `None` when there are no more. `heard` holds what came beyond it.
async fn receive(
    stream: &mut TcpStream,
    heard: &mut Vec<u8>,
    connection: usize,
) -> Option<Received> {
    let head_length = loop {
        if let Some(at) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, heard).await?;
    };
    let head = String::from_utf8_lossy(&heard[..head_length]).into_owned();
    let mut lines = head.split("\r\n");
    let mut request_line = lines.next()?.split(' ');
    let (method, target) = (request_line.next()?.to_owned(), request_line.next()?.to_owned());
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap_or(0));
    while heard.len() < head_length + length {
        read_more(stream, heard).await?;
    }
    let rest = heard.split_off(head_length + length);
    let body = std::mem::replace(heard, rest).split_off(head_length);
    Some(Received { method, target, headers, body, at: Instant::now(), connection })
}

async fn read_more(stream: &mut TcpStream, heard: &mut Vec<u8>) -> Option<()> {
    matches!(stream.read_buf(heard).await, Ok(1..)).then_some(())
}

/// Sends a reply in its manner; whether the connection goes on.
async fn send(stream: &mut TcpStream, reply: &Reply) -> std::io::Result<bool> {
    let body = &reply.body;
    let head = |framing: String| {
        let mut head = format!("HTTP/1.1 {} Scripted\r\n{framing}", reply.status);
        for (name, value) in &reply.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        (head + "\r\n").into_bytes()
    };
    let sized = |length: usize| match reply.status {
        204 | 304 => head(String::new()),
        _ => head(format!("Content-Length: {length}\r\n")),
    };
    match reply.manner {
        Manner::Well => {
            stream.write_all(&[sized(body.len()), body.clone()].concat()).await?;
            return Ok(true);
        }
        Manner::Understated(by) => {
            let length = body.len().saturating_sub(by);
            stream.write_all(&[sized(length), body.clone()].concat()).await?;
            return Ok(true);
        }
        Manner::Hang => std::future::pending().await,
        Manner::ResetAtOnce => stream.set_zero_linger()?,
        Manner::CutAfter(bytes) => {
            stream.write_all(&sized(body.len())).await?;
            stream.write_all(&body[..bytes.min(body.len())]).await?;
        }
        Manner::ResetAfter(bytes) => {
            stream.write_all(&sized(body.len())).await?;
            stream.write_all(&body[..bytes.min(body.len())]).await?;
            stream.set_zero_linger()?;
        }
        Manner::ChunksCut => {
            stream.write_all(&head("Transfer-Encoding: chunked\r\n".into())).await?;
            stream.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await?;
            stream.write_all(&[body.as_slice(), b"\r\n"].concat()).await?;
        }
        Manner::Drip(pause) => {
            stream.write_all(&sized(body.len())).await?;
            for byte in body {
                sleep(pause).await;
                stream.write_all(&[*byte]).await?;
            }
            return Ok(true);
        }
        Manner::Endless => {
            stream.write_all(&head(String::new())).await?;
            loop {
                stream.write_all(body).await?;
            }
        }
        Manner::Raw => stream.write_all(body).await?,
    }
    Ok(false)
}
