//! An HTTP/1.1 server that does next to nothing per request: one thread, one task per connection, answers made
//! beforehand. It counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request: its head as text, and how long its body is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    head: &'a str,
    pub(crate) body_bytes: usize,
}

impl<'a> Asked<'a> {
    /// The path and query.
    pub(crate) fn path(self) -> &'a str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// A header's value.
    pub(crate) fn header(self, name: &str) -> Option<&'a str> {
        header(self.head, name)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Says what is answered, head and all.
pub(crate) type Answers = Arc<dyn Fn(Asked<'_>) -> Bytes + Send + Sync>;

/// A whole answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Bytes {
    let length = if status.starts_with("304") {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    Bytes::from(format!("HTTP/1.1 {status}\r\n{headers}{length}\r\n{body}"))
}

/// Serves on so many free ports of the loopback interface until the process ends.
pub(crate) fn serve<const PORTS: usize>(answers: Answers) -> [SocketAddr; PORTS] {
    let listeners = [(); PORTS].map(|()| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        listener
    });
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let ports: JoinSet<()> = listeners
                .map(|listener| accept(listener, Arc::clone(&answers)))
                .into_iter()
                .collect();
            ports.join_all().await;
        });
    });
    addresses
}

async fn accept(listener: std::net::TcpListener, answers: Answers) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, Arc::clone(&answers)));
        while connections.try_join_next().is_some() {}
    }
}

/// One connection. How it ends is the client's business.
async fn converse(mut stream: TcpStream, answers: Answers) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    loop {
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            continue;
        };
        let head = std::str::from_utf8(buffer.get(..end)?).ok()?;
        let body_bytes =
            header(head, "content-length").map_or(Some(0), |text| text.parse().ok())?;
        let whole = end + 4 + body_bytes;
        if buffer.len() < whole {
            buffer.reserve(whole);
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
            continue;
        }
        let answer = answers(Asked { head, body_bytes });
        buffer.advance(whole);
        stream.write_all(&answer).await.ok()?;
    }
}
