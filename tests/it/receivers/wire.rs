//! A receiver that writes its answers itself, byte for byte, and knows how many of them went out.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::Shared;

/// How long anything may hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done with the connection once a request has come. Afterwards it is closed.
pub(super) type Answer = fn(&mut Out) -> io::Result<()>;

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) id: String,
    pub(super) body: Vec<u8>,
    pub(super) at: Instant,
    /// What was written until the other side hung up, or the answer was over.
    pub(super) answered_bytes: usize,
}

/// A running receiver. It ends with the process: it waits for connections and nothing else.
pub(super) struct Wire {
    url: String,
    answer: Shared<Answer>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Wire {
    /// Accepts everything until told otherwise.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (answer, heard) = (Shared::new(accept as Answer), Arc::default());
        let wire = Self { url, answer: answer.clone(), heard: Arc::clone(&heard) };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, heard) = (answer.clone(), Arc::clone(&heard));
                thread::spawn(move || serve(stream, &answer, &heard));
            }
        });
        wire
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    pub(super) fn answer_with(&self, answer: Answer) {
        self.answer.set(answer);
    }

    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// The way back to who rang.
pub(super) struct Out {
    stream: TcpStream,
    bytes: usize,
}

impl Out {
    pub(super) fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.bytes += bytes.len();
        Ok(())
    }

    pub(super) fn slowly(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            thread::park_timeout(pause);
            self.say(&[*byte])?;
        }
        Ok(())
    }

    pub(super) fn for_ever(&mut self, bytes: &[u8]) -> io::Result<()> {
        loop {
            self.say(bytes)?;
        }
    }

    /// Says nothing until the other side hangs up.
    pub(super) fn hang(&mut self) -> io::Result<()> {
        self.stream.read(&mut [0]).map(drop)
    }
}

pub(super) fn accept(out: &mut Out) -> io::Result<()> {
    out.say(b"HTTP/1.1 204 Fine\r\nConnection: close\r\n\r\n")
}

fn serve(stream: TcpStream, answer: &Shared<Answer>, heard: &Mutex<Vec<Heard>>) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut line, mut id, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
        let lower = line.to_lowercase();
        match lower.trim_end().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("webhook-id", value)) => value.clone_into(&mut id),
            _ => {}
        }
        line.clear();
    }
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() || length == 0 {
        return;
    }
    let at = Instant::now();
    let place = {
        let mut heard = heard.lock().unwrap();
        heard.push(Heard { id, body, at, answered_bytes: 0 });
        heard.len() - 1
    };
    let mut out = Out { stream: reader.into_inner(), bytes: 0 };
    // That the other side hangs up is what most of this is about.
    drop(answer.get()(&mut out));
    heard.lock().unwrap()[place].answered_bytes = out.bytes;
}
