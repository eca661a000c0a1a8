//! Asking the daemon over HTTP, and reading its metrics.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Builder;

/// An answer of the daemon.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Made once, because making one is dear; keeps no connection, because each request has its own runtime.
static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap()
});

/// Sends a request, with `body` as JSON if there is one; `None` if nobody answers.
pub(crate) fn ask(method: &str, url: &str, body: Option<&Value>) -> Option<Answer> {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request = CLIENT.request(method.parse().unwrap(), url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
        let status = answer.status().as_u16();
        let content_type = answer.headers().get("content-type");
        let content_type = content_type.map_or("", |value| value.to_str().unwrap()).to_owned();
        Some(Answer { status, content_type, text: answer.text().await.ok()? })
    })
}

/// The same on a unix socket.
pub(crate) fn ask_socket(
    socket: &Path,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Option<Answer> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let body = body.map(Value::to_string).unwrap_or_default();
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let request = format!(
        "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, text) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut headers = head.lines().filter_map(|line| line.split_once(": "));
    let content_type = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    let content_type = content_type.map_or("", |(_, value)| value);
    Some(Answer { status, content_type: content_type.to_owned(), text: text.to_owned() })
}

/// The sum of a metric's samples that have all these labels; 0 if there is none.
pub(crate) fn sum(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let samples = metrics.lines().filter_map(|line| sample(line, name, labels));
    samples.sum()
}

/// The value on a line of Prometheus text if it is the metric with these labels.
fn sample(line: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (given, value) = match rest.strip_prefix('{') {
        Some(labelled) => labelled.rsplit_once("} ")?,
        None => ("", rest.strip_prefix(' ')?),
    };
    let has = |(label, value): &(&str, &str)| {
        let pair = format!("{label}=\"{value}\"");
        given.split(',').any(|given| given == pair)
    };
    if !labels.iter().all(has) {
        return None;
    }
    value.split(' ').next()?.parse().ok()
}

#[test]
fn metrics_are_summed_by_label() {
    let text = "# TYPE polls counter\npolls_total{source=\"a\",outcome=\"failed\"} 2\n\
        polls_total{source=\"a\",outcome=\"changed\"} 3\npolls_total{source=\"b\",outcome=\"failed\"} 4.5\n\
        polls_total_more 7\nup 1 1700000000\n# EOF\n";
    for (name, labels, expected) in [
        ("polls_total", &[][..], 9.5),
        ("polls_total", &[("source", "a")], 5.0),
        ("polls_total", &[("outcome", "failed"), ("source", "b")], 4.5),
        ("polls_total", &[("source", "c")], 0.0),
        ("up", &[], 1.0),
        ("polls", &[], 0.0),
    ] {
        let difference = sum(text, name, labels) - expected;
        assert!(difference.abs() < f64::EPSILON, "{name} {labels:?} is off by {difference}");
    }
}
