//! By which way receivers are reached: through a proxy, and from which address of the machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::support::scene::items;
use crate::support::wait::wait_until;
use crate::support::{ApiServer, Daemon, Reply, Script};

/// One source, and endpoints that are declared as it is said, not yet started.
fn daemon(api: &ApiServer, endpoints: &[(&str, &str, &str)]) -> Daemon {
    let lines = endpoints.iter().map(|(name, url, more)| {
        format!("  {name}: {{ url: '{url}', sign: none, retry: {{ first: 50ms, max: 100ms }}, {more} }}\n")
    });
    Daemon::new(&format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms }}\nendpoints:\n{}",
        api.url(),
        lines.collect::<String>()
    ))
}

#[test]
fn a_receiver_is_rung_through_the_proxy_it_names_and_no_other() {
    let api = ApiServer::with_items(items(1));
    let proxy = Script::start(|_| Reply::status(204));
    let unused = Script::start(|_| Reply::status(204));
    let agent = Script::start(|_| Reply::status(204));
    let named = proxy.url_of("").replace("http://", "http://clerk:p%40ss-s3cret@");
    let endpoints = [
        ("proxied", "http://agent.example/hook", &*format!("proxy: '{named}'")),
        ("direct", &*agent.url_of("/hook"), ""),
        ("dead", &*agent.url_of("/dead"), "proxy: 'http://127.0.0.1:1'"),
    ];
    let mut daemon = daemon(&api, &endpoints);
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        daemon.set_env(name, &unused.url_of(""));
    }
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    wait_until("both", || !proxy.requests().is_empty() && !agent.requests().is_empty());
    let asked = &proxy.requests()[0];
    assert_eq!(asked.target, "http://agent.example/hook");
    // clerk:p@ss-s3cret
    assert_eq!(asked.header("proxy-authorization"), Some("Basic Y2xlcms6cEBzcy1zM2NyZXQ="));
    daemon.wait_until("a failed attempt", |daemon| {
        !daemon.logged_since(0, &["not accepted", "through the proxy 127.0.0.1:1"]).is_empty()
    });
    assert!(unused.requests().is_empty());
    assert_eq!(agent.requests()[0].path(), "/hook");
    assert!(!daemon.log_text().contains("s3cret"));
}

/// Answers every request and notes where it came from.
fn noting_peers() -> (String, Arc<Mutex<Vec<IpAddr>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let peers: Arc<Mutex<Vec<IpAddr>>> = Arc::default();
    let noted = Arc::clone(&peers);
    // Ends with the process: it waits for connections and nothing else.
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            noted.lock().unwrap().push(stream.peer_addr().unwrap().ip());
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let mut stream = BufReader::new(stream);
            let mut length = 0;
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|read| read > 0) && line != "\r\n" {
                let lower = line.to_lowercase();
                if let Some(value) = lower.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            drop(stream.read_exact(&mut vec![0; length]));
            drop(stream.get_mut().write_all(b"HTTP/1.1 204 Fine\r\nConnection: close\r\n\r\n"));
        }
    });
    (url, peers)
}

#[test]
fn a_receiver_is_rung_from_the_address_that_it_allows() {
    let api = ApiServer::with_items(items(1));
    let (url, peers) = noting_peers();
    let foreign = noting_peers();
    let endpoints = [
        ("listed", &*url, "source_address: 127.0.0.9"),
        // Set aside for documentation: no machine has it.
        ("foreign", &*foreign.0, "source_address: 192.0.2.1"),
    ];
    let mut daemon = daemon(&api, &endpoints);
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    wait_until("a request", || !peers.lock().unwrap().is_empty());
    assert_eq!(peers.lock().unwrap()[0].to_string(), "127.0.0.9");
    // An address that is not here, perhaps not yet: our own trouble, which uses up no attempt.
    daemon.wait_until("the reason", |daemon| {
        !daemon.logged_since(0, &["this machine could not make the request"]).is_empty()
    });
    let waiting = &daemon.control_json("/v1/deliveries?endpoint=foreign")[0];
    assert_eq!((&waiting["status"], &waiting["attempts"]), (&"pending".into(), &0.into()));
    assert!(foreign.1.lock().unwrap().is_empty());
}
