//! What endpoints are sent in place of the envelope: made with the event, the same on every attempt and every replay,
//! whatever happens to the process and to its configuration.

use serde_json::{Value, json};

use crate::support::scene::items;
use crate::support::server::Received;
use crate::support::wait::{stays, wait_until};
use crate::support::{ApiServer, Daemon, Reply, Script, Shared};

/// A receiver that answers with a status of the day.
fn receiver() -> (Script, Shared<u16>) {
    let status = Shared::new(204);
    let now = status.clone();
    (Script::start(move |_| Reply::status(now.get())), status)
}

/// One source and one endpoint, which has these keys besides.
fn config(api: &ApiServer, receiver: &Script, keys: &str) -> String {
    format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: 100ms }}
endpoints:
  agent:
    url: '{}'
    secret: any
    retry: {{ first: 50ms, max: 100ms, for: 1h }}
    breaker: {{ failures: 100000, for: 1h }}
{keys}
",
        api.url(),
        receiver.url_of("/hook"),
    )
}

fn start(api: &ApiServer, receiver: &Script, keys: &str) -> Daemon {
    let mut daemon = Daemon::run(&config(api, receiver, keys));
    daemon.wait_until_polled("tickets");
    daemon
}

fn reload(daemon: &mut Daemon, config: &str) {
    let log_end = daemon.log_end();
    daemon.write_config(config);
    daemon.hup();
    daemon.wait_until("the reload", |daemon| {
        !daemon.logged_since(log_end, &["configuration", "is taken on"]).is_empty()
    });
}

fn text(received: &Received) -> String {
    String::from_utf8(received.body.clone()).unwrap()
}

fn replay(daemon: &Daemon) {
    let output = daemon.cli(&["replay", "--endpoint", "agent", "--yes"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

/// The only delivery there is, with its attempts.
fn only(daemon: &Daemon) -> Value {
    let rows = daemon.cli_json(&["deliveries"]);
    let [row] = rows.as_array().unwrap().as_slice() else { panic!("not one delivery: {rows}") };
    daemon.cli_json(&["deliveries", "show", row["id"].as_str().unwrap()])
}

#[test]
fn the_bytes_are_the_same_after_a_kill_a_reload_and_at_a_replay() {
    let (api, (receiver, status)) = (ApiServer::with_items(items(1)), receiver());
    status.set(500);
    let body = "    content_type: application/vnd.one+json\n    body: { id: '{{.data.id}}', at: '{{.timestamp}}', n: 1.10 }";
    let mut daemon = start(&api, &receiver, body);
    api.set_items(items(2));
    wait_until("some attempts", || receiver.requests().len() >= 2);
    // Declared anew, killed, declared without; each time it is tried again.
    reload(&mut daemon, &config(&api, &receiver, "    body: '{other: .data}'"));
    let tried = receiver.requests().len();
    wait_until("attempts after the reload", || receiver.requests().len() >= tried + 2);
    daemon.kill9();
    daemon.write_config(&config(&api, &receiver, ""));
    daemon.start();
    let tried = receiver.requests().len();
    wait_until("attempts after the kill", || receiver.requests().len() >= tried + 2);
    status.set(204);
    daemon.wait_until("the delivery", |daemon| {
        daemon.metric("doorbell_deliveries_total", &[("endpoint", "agent")]) > 0.5
    });
    reload(&mut daemon, &config(&api, &receiver, "    body: .data"));
    let tried = receiver.requests().len();
    replay(&daemon);
    wait_until("the replay", || receiver.requests().len() > tried);
    let requests = receiver.requests();
    let first = text(&requests[0]);
    assert!(
        first.starts_with(r#"{"id":2,"at":"20"#) && first.ends_with(r#","n":1.10}"#),
        "{first}"
    );
    for received in &requests {
        assert_eq!(text(received), first);
        assert_eq!(received.header("content-type"), Some("application/vnd.one+json"));
        assert_eq!(received.header("webhook-id"), requests[0].header("webhook-id"));
    }
    // From then on, events come in the new shape.
    api.set_items(items(3));
    wait_until("the new shape", || {
        receiver.requests().iter().any(|received| {
            serde_json::from_slice::<Value>(&received.body).unwrap()["id"] == json!(3)
        })
    });
    assert!(daemon.term().success());
}

#[test]
fn what_was_sent_before_there_was_a_body_stays_the_envelope() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let mut daemon = start(&api, &receiver, "");
    api.set_items(items(2));
    wait_until("the event", || receiver.requests().len() == 1);
    reload(&mut daemon, &config(&api, &receiver, "    content_type: text/plain\n    body: .id"));
    daemon.wait_until("it is settled", |daemon| only(daemon)["delivery"]["status"] == "delivered");
    replay(&daemon);
    wait_until("the replay", || receiver.requests().len() == 2);
    let [first, second] = &receiver.requests()[..] else { panic!("two requests") };
    assert_eq!(text(first), text(second));
    assert_eq!(second.header("content-type"), Some("application/json"));
    assert!(daemon.term().success());
}

#[test]
fn an_expression_that_fails_loses_nothing() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    for failing in [
        "    body: '.data.id.nope'",
        "    where: '.data.id.nope'",
        "    body: { a: 'x {{.nope}}' }",
    ] {
        api.set_items(items(1));
        let mut daemon = start(&api, &receiver, failing);
        let before = receiver.requests().len();
        api.set_items(items(2));
        daemon.wait_until("a dead letter", |daemon| {
            daemon.metric("doorbell_deliveries_total", &[("outcome", "exhausted")]) > 0.5
        });
        let row = only(&daemon)["delivery"].clone();
        let key = failing.trim().split(':').next().unwrap();
        let reason = row["reason"].as_str().unwrap_or_default();
        assert_eq!(row["status"], "exhausted", "{row}");
        assert!(reason.contains(&format!("`{key}`")), "{failing}: {reason}");
        assert_eq!(row["attempts"], 0, "nothing was sent");
        let shown = daemon.cli(&["deliveries"]).stdout;
        assert!(shown.contains("exhausted"), "{shown}");
        assert_eq!(receiver.requests().len(), before, "{failing}");

        // Mended, it can be sent after all, and from then on its bytes are fixed.
        reload(&mut daemon, &config(&api, &receiver, "    body: '{mended: .data.id}'"));
        replay(&daemon);
        wait_until("the replay", || receiver.requests().len() == before + 1);
        daemon.wait_until("it is settled", |daemon| {
            daemon.metric("doorbell_deliveries_total", &[("outcome", "delivered")]) > 0.5
        });
        reload(&mut daemon, &config(&api, &receiver, "    body: '{other: .data.id}'"));
        replay(&daemon);
        wait_until("another replay", || receiver.requests().len() == before + 2);
        for received in &receiver.requests()[before..] {
            assert_eq!(text(received), r#"{"mended":2}"#);
        }
        assert!(daemon.term().success());
    }
}

#[test]
fn an_endpoint_gets_what_its_where_wants() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let keys = "    where: .data.id > 2\n    method: PUT\n    content_type: text/plain; charset=utf-8\n    body: '\"ticket \\(.data.id) é\"'";
    let mut daemon = start(&api, &receiver, keys);
    api.set_items(items(4));
    wait_until("both", || receiver.requests().len() == 2);
    stays("no more", || receiver.requests().len() == 2);
    let mut texts: Vec<_> = receiver.requests().iter().map(text).collect();
    texts.sort();
    assert_eq!(texts, ["ticket 3 é", "ticket 4 é"]);
    for received in receiver.requests() {
        assert_eq!(received.method, "PUT");
        assert_eq!(received.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    assert_eq!(daemon.cli_json(&["deliveries"]).as_array().unwrap().len(), 2);
    assert!(daemon.term().success());
}

#[test]
fn what_was_sent_is_shown_without_secrets() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let keys = "    body: { routing_key: '${PAGER_KEY}', summary: 'ticket {{.data.id}}' }";
    let mut daemon = Daemon::new(&config(&api, &receiver, keys));
    daemon.set_env("PAGER_KEY", "canary-5ecret");
    daemon.start();
    daemon.wait_until_polled("tickets");
    api.set_items(items(2));
    wait_until("the event", || receiver.requests().len() == 1);
    let sent = r#"{"routing_key":"canary-5ecret","summary":"ticket 2"}"#;
    assert_eq!(text(&receiver.requests()[0]), sent);
    let body = &only(&daemon)["body"];
    assert_eq!(body["text"], r#"{"routing_key":"•••","summary":"ticket 2"}"#);
    assert_eq!(body["content_type"], "application/json");
    let id = only(&daemon)["delivery"]["id"].as_str().unwrap().to_owned();
    let shown = daemon.cli(&["deliveries", "show", &id]).stdout;
    assert!(shown.contains("ticket 2") && !shown.contains("canary"), "{shown}");
    assert!(daemon.term().success());
    assert!(!daemon.log_text().contains("canary"));
}

#[test]
fn lines_of_standard_output_are_shaped_too() {
    let api = ApiServer::with_items(items(1));
    let mut daemon = Daemon::run(&format!(
        "
sources:
  tickets: {{ url: '{}', key: .id, every: 100ms }}
endpoints:
  lines: {{ url: 'stdout:', where: .data.id != 2, body: '.data.id' }}
",
        api.url()
    ));
    daemon.wait_for_good_polls("tickets", 1);
    api.set_items(items(3));
    daemon.wait_until("the line", |daemon| daemon.stdout_text() == "3\n");
    assert!(daemon.term().success());
    assert_eq!(daemon.stdout_text(), "3\n");
}

#[test]
fn a_cloudevent_goes_as_a_document_or_with_headers() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let endpoint = |name: &str, format: &str| {
        let url = receiver.url_of(&format!("/{name}"));
        format!("  {name}: {{ url: '{url}', secret: any, format: {format} }}")
    };
    let keys = [endpoint("whole", "cloudevents"), endpoint("headers", "cloudevents-binary")];
    let mut daemon = start(&api, &receiver, &keys.join("\n"));
    api.set_items(items(2));
    wait_until("all three", || receiver.requests().len() == 3);
    let requests = receiver.requests();
    let at = |path: &str| requests.iter().find(|received| received.path() == path).unwrap();
    let parsed = |path: &str| serde_json::from_slice::<Value>(&at(path).body).unwrap();
    let (envelope, whole, data) = (parsed("/hook"), parsed("/whole"), parsed("/headers"));
    assert_eq!(at("/whole").header("content-type"), Some("application/cloudevents+json"));
    for (attribute, of_envelope) in [
        ("id", envelope["id"].clone()),
        ("source", json!("tickets")),
        ("type", json!("tickets.created")),
        ("time", envelope["timestamp"].clone()),
        ("subject", json!("2")),
        ("seq", json!("1")),
        ("specversion", json!("1.0")),
    ] {
        assert_eq!(whole[attribute], of_envelope, "{attribute}");
        let header = at("/headers").header(&format!("ce-{attribute}"));
        assert_eq!(header, of_envelope.as_str(), "{attribute}");
    }
    assert_eq!((&whole["data"], &data), (&envelope["data"], &envelope["data"]));
    assert!(daemon.term().success());
}

/// Accepts whoever shows the token that it grants.
fn doorman() -> Script {
    Script::start(|received| {
        if received.path() == "/token" {
            let token = json!({ "access_token": "gr4nted-s3cret", "token_type": "Bearer", "expires_in": 3600 });
            return Reply::json(&token);
        }
        let bearer = received.header("authorization") == Some("Bearer gr4nted-s3cret");
        let has_key = received.query("key") == Some("qu3ry-s3cret");
        Reply::status(if bearer || has_key { 204 } else { 401 })
    })
}

#[test]
fn a_receiver_is_shown_the_credentials_it_wants() {
    let (api, (receiver, _)) = (ApiServer::with_items(items(1)), receiver());
    let doorman = doorman();
    let endpoint = |name: &str, auth: &str| {
        let url = doorman.url_of(&format!("/{name}"));
        let retry = "{ first: 50ms, max: 100ms, for: 1h }";
        format!("  {name}: {{ url: '{url}', secret: any, retry: {retry}, auth: {auth} }}")
    };
    let oauth2 = format!(
        "{{ oauth2: {{ token_url: '{}', client_id: door, client_secret: cl1ent-s3cret }} }}",
        doorman.url_of("/token")
    );
    let keys = [
        endpoint("bearer", "{ bearer: gr4nted-s3cret }"),
        endpoint("query", "{ query: { key: qu3ry-s3cret } }"),
        endpoint("oauth2", &oauth2),
        endpoint("wrong", "{ basic: { user: me, password: wr0ng-s3cret } }"),
    ];
    let mut daemon = start(&api, &receiver, &keys.join("\n"));
    api.set_items(items(3));
    for name in ["bearer", "query", "oauth2"] {
        daemon.wait_until("both deliveries", |daemon| {
            daemon.metric("doorbell_deliveries_total", &[("endpoint", name)]) > 1.5
        });
    }
    daemon.wait_until("a refusal", |daemon| {
        daemon.metric("doorbell_delivery_attempts_total", &[("endpoint", "wrong")]) > 0.5
    });
    assert!(daemon.metric("doorbell_deliveries_total", &[("endpoint", "wrong")]) < 0.5);
    let tokens = doorman.requests().iter().filter(|asked| asked.path() == "/token").count();
    assert_eq!(tokens, 1, "one token for both events");
    let shown = daemon.cli(&["deliveries", "--json"]).stdout + &daemon.log_text();
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(daemon.term().success());
}
