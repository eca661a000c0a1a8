//! Every signature scheme, verified by the official libraries as they are.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::real::reader::Reader;
use crate::real::{RING_MAX, SECRET};
use crate::signatures::{PRIVATE, PUBLIC, example};
use crate::support::wait::poll_for;
use crate::support::{ApiServer, Daemon, Receiver};

const VERIFIERS: &str = "verifiers.sh";

/// Another secret, which some endpoints have beside [`SECRET`].
const OTHER: &str = "whsec_q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=";

/// What Python's libraries verify, and how it is signed.
const PYTHON: &[(&str, &str, &str)] = &[
    ("standardwebhooks", "right", "standard"),
    ("standardwebhooks-rotating", "both", "standard"),
    ("svix", "right", "standard"),
    ("svix-rotating", "both", "standard"),
    ("stripe", "", ""),
    ("slack", "right", "slack"),
    ("gidgethub", "right", "{ github: { event: issues } }"),
    ("http-hmac", "right", "{ http-message-signatures: { keyid: bell } }"),
    ("http-ed25519", "key", "http-message-signatures"),
    ("ed25519", "key", "standard-ed25519"),
];

/// What JavaScript's libraries verify.
const NODE: &[(&str, &str, &str)] = &[
    ("standardwebhooks", "right", "standard"),
    ("standardwebhooks-rotating", "both", "standard"),
    ("svix", "right", "standard"),
    ("stripe", "", ""),
    ("stripe-rotating", "", ""),
    ("octokit", "right", "{ github: { event: issues } }"),
    ("shopify", "", ""),
    ("bolt", "right", "slack"),
    ("http-hmac", "right", "{ http-message-signatures: { keyid: bell } }"),
    ("http-hmac-rotating", "both", "{ http-message-signatures: { keyid: [new, bell], tag: a } }"),
    ("http-ed25519", "key", "http-message-signatures"),
];

/// The endpoints that ring every path of a reader.
fn endpoints(reader: &Reader, paths: &[(&str, &str, &str)]) -> String {
    let kind = reader.kind;
    let endpoint = |(path, secret, sign): &(&str, &str, &str)| {
        let url = format!("{}/{path}?a=b%20c", reader.url);
        match *path {
            "stripe" => of_the_book("billing", kind, (path, &url), SECRET),
            "stripe-rotating" => {
                of_the_book("billing", kind, (path, &url), &format!("[{OTHER}, {SECRET}]"))
            }
            "shopify" => of_the_book("fulfilment", kind, (path, &url), SECRET),
            _ => {
                let secret = match *secret {
                    "both" => format!("[{OTHER}, {SECRET}]"),
                    "key" => format!("'{PRIVATE}'"),
                    _ => SECRET.to_owned(),
                };
                format!("  {kind}-{path}: {{ url: '{url}', secret: {secret}, sign: {sign} }}\n")
            }
        }
    };
    paths.iter().map(endpoint).collect()
}

/// An example of the book, with another name, address and secret.
fn of_the_book(name: &str, kind: &str, (path, url): (&str, &str), secret: &str) -> String {
    let lines = example(name).lines().map(|line| match line.trim_start().split_once(": ") {
        Some(("url", _)) => format!("    url: '{url}'\n"),
        Some(("secret", _)) => format!("    secret: {secret}\n"),
        _ if line == format!("  {name}:") => format!("  {kind}-{path}:\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

fn orders(api: &ApiServer) -> String {
    format!("sources:\n  orders: {{ url: '{}', key: .id, every: 200ms }}\n", api.url())
}

/// Right is taken as it came; another secret, and another body under the same signature, are refused by the libraries
/// themselves.
#[test]
#[ignore = "long: installs the libraries"]
fn the_official_libraries_verify_every_scheme() {
    let home = tempfile::tempdir().unwrap();
    let secrets = ["0", SECRET, OTHER, PUBLIC];
    let python = Reader::start(VERIFIERS, "python", home.path(), &secrets);
    let node = Reader::start(VERIFIERS, "node", home.path(), &secrets);
    let api = ApiServer::with_items(json!([]));
    let endpoints = [endpoints(&python, PYTHON), endpoints(&node, NODE)].concat();
    let mut daemon = Daemon::run(&format!("{}endpoints:\n{endpoints}", orders(&api)));
    daemon.wait_until_polled("orders");
    api.set_items(json!([{ "id": 7, "status": "open", "note": "Grüße 日本 😀 \"\\" }]));
    for (verifier, paths) in [(&python, PYTHON), (&node, NODE)] {
        let all = || Some(verifier.ledger()).filter(|ledger| ledger.len() >= paths.len());
        let ledger = poll_for(RING_MAX, all);
        let ledger =
            ledger.unwrap_or_else(|| panic!("{:#?}\n{}", verifier.ledger(), daemon.log_text()));
        for (path, _, _) in paths {
            let came: Vec<_> = ledger.iter().filter(|entry| entry["path"] == *path).collect();
            let place = format!("{} {path}: {came:#?}", verifier.kind);
            assert_eq!(came.len(), 1, "{place}");
            assert_eq!(came[0]["right"], true, "{place}");
            assert_eq!(came[0]["other"] == true, path.ends_with("-rotating"), "{place}");
            assert_ne!(came[0]["stranger"], true, "{place}");
            assert_ne!(came[0]["changed"], true, "{place}");
        }
    }
    assert!(daemon.term().success());
}

/// adnanh's `webhook`, which runs commands for GitHub's signature: it takes what is right, refuses another secret, and what
/// was changed on the way.
#[test]
#[ignore = "long: fetches Debian's package of webhook"]
fn webhook_verifies_githubs_signature() {
    let home = tempfile::tempdir().unwrap();
    let hooks = home.path().join("hooks.json");
    let parameter = json!({ "source": "header", "name": "X-Hub-Signature-256" });
    let rule = json!({ "type": "payload-hmac-sha256", "secret": SECRET, "parameter": parameter });
    let hook = json!([{
        "id": "hub", "execute-command": "/bin/true", "trigger-rule": { "match": rule },
    }]);
    std::fs::write(&hooks, hook.to_string()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let webhook =
        Reader::start(VERIFIERS, "webhook", home.path(), &[&port, hooks.to_str().unwrap()]);
    let (api, witness) = (ApiServer::with_items(json!([])), Receiver::start());
    let url = format!("{}/hub", webhook.url);
    let mut daemon = Daemon::run(&format!(
        "{}endpoints:
  right: {{ url: '{url}', secret: {SECRET}, sign: github }}
  wrong: {{ url: '{url}', secret: {OTHER}, sign: github }}
  witness: {{ url: '{}', secret: {SECRET}, sign: github }}
",
        orders(&api),
        witness.url()
    ));
    daemon.wait_for_good_polls("orders", 1);
    api.set_items(json!([{ "id": 7, "status": "open" }]));
    let rung = || Some(witness.ledger().rings).filter(|rings| !rings.is_empty());
    let ring = poll_for(RING_MAX, rung).expect("the witness is rung");
    daemon.wait_until("both being answered", |daemon| {
        let row = |name: &str| daemon.cli_json(&["deliveries", "--endpoint", name])[0].clone();
        row("right")["status"] == "delivered" && row("wrong")["attempts"].as_i64() > Some(0)
    });
    let wrong = daemon.cli_json(&["endpoints", "show", "wrong"]);
    // That is how it says that a signature does not hold.
    assert!(wrong["fault"]["sentence"].as_str().unwrap().contains("500"), "{wrong}");
    // The same signature over another body.
    let signature = ring[0].received.header("x-hub-signature-256").unwrap();
    for (body, expected) in [
        (ring[0].received.body.clone(), "200"),
        (
            String::from_utf8(ring[0].received.body.clone())
                .unwrap()
                .replace("open", "shut")
                .into(),
            "500",
        ),
    ] {
        let file = home.path().join("body");
        std::fs::write(&file, body).unwrap();
        let asked = Command::new("curl")
            .args(["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}", &url])
            .args(["-H", "content-type: application/json"])
            .args(["-H", &format!("x-hub-signature-256: {signature}")])
            .args(["--data-binary", &format!("@{}", file.display())])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&asked.stdout), expected);
    }
    assert!(daemon.term().success());
}
