//! What a source sends is rendered; what sources share is written once; a paused source is asked nothing.

use serde_json::{Value, json};

use crate::support::scene::items;
use crate::support::wait::stays;
use crate::support::{ApiServer, Daemon, Receiver};

fn config(api: &ApiServer, receiver: &Receiver, paused: bool) -> String {
    format!(
        r#"
defaults: {{ every: 100ms, key: .id, headers: {{ X-Fixed: shared }} }}
apis:
  desk:
    auth: {{ bearer: t0ken-of-the-desk }}
    query: {{ v: 2, page: "{{{{page}}}}" }}
    headers: {{ X-Token: "Token {{{{ auth.bearer | ascii_upcase }}}}", x-fixed: desk, X-None: "{{{{since}}}}" }}
sources:
  tickets:
    api: desk
    url: "{0}/{{{{ \"a/b c\" }}}}"
    method: POST
    query: {{ "q[]": "{{{{ [\"a b\", 2] }}}}" }}
    headers: {{ X-Own: "{{{{ 40 + 2 }}}}" }}
    body:
      z: "{{{{ {{n: 1}} }}}}"
      after: "{{{{page}}}}"
      first: "{{{{ 50 }}}}"
      filter: [status, "{{{{page}}}}", "{{{{ [true] }}}}"]
      text: "of {{{{ auth.bearer | length }}}}"
  resting: {{ url: "{1}", paused: {paused} }}
  broken: {{ url: "{0}/{{{{key}}}}", backoff: {{ first: 1h, max: 1h }} }}
endpoints:
  desk: {{ url: "{2}", secret: any, events: ["tickets.*"] }}
"#,
        api.url_of("/v1"),
        api.url_of("/resting"),
        receiver.url(),
    )
}

fn asked(api: &ApiServer, path: &str) -> usize {
    api.requests().iter().filter(|request| request.path() == path).count()
}

#[test]
fn a_request_is_rendered_and_what_it_finds_rings() {
    let (api, receiver) = (ApiServer::with_items(items(1)), Receiver::start());
    let mut daemon = Daemon::run(&config(&api, &receiver, true));
    daemon.wait_for_good_polls("tickets", 2);
    api.set_items(items(2));
    receiver.expect(&["tickets.created 2"]);

    let requests = api.requests();
    let request = requests.last().unwrap();
    assert_eq!(request.method, "POST");
    assert_eq!(request.target, "/v1/a%2Fb%20c?q%5B%5D=a%20b&q%5B%5D=2&v=2");
    let header = |name: &str| request.header(name);
    assert_eq!(header("x-token"), Some("Token T0KEN-OF-THE-DESK"));
    assert_eq!(header("authorization"), Some("Bearer t0ken-of-the-desk"));
    assert_eq!((header("x-fixed"), header("x-own")), (Some("desk"), Some("42")));
    assert_eq!((header("x-none"), header("content-type")), (None, Some("application/json")));
    let sent = String::from_utf8(request.body.clone()).unwrap();
    let expected = r#"{"z":{"n":1},"first":50,"filter":["status",null,[true]],"text":"of 17"}"#;
    assert_eq!(sent, expected);

    daemon.wait_until("the failed poll of a template that gives no URL", |daemon| {
        daemon.polls("broken", "failed") > 0.5
    });
    let broken = daemon.control_json("/v1/sources/broken");
    assert_eq!(broken["fault"]["code"], "template", "{broken}");
    let sentence = "`{{key}}` in `url` is null, and only text fits there";
    assert_eq!(broken["fault"]["sentence"], sentence);
    assert!(broken["url"].as_str().unwrap().ends_with("/v1/{{key}}"), "{broken}");
    assert!(!daemon.log_text().to_lowercase().contains("t0ken-of-the-desk"));
    assert!(daemon.term().success());
}

#[test]
fn a_paused_source_is_shown_and_asked_nothing_until_it_goes_on() {
    let (api, receiver) = (ApiServer::with_items(items(1)), Receiver::start());
    let mut daemon = Daemon::run(&config(&api, &receiver, true));
    daemon.wait_until_polled("tickets");
    stays("a paused source is asked nothing", || asked(&api, "/resting") == 0);
    let shown = |daemon: &Daemon| {
        let source = daemon.control_json("/v1/sources/resting");
        (source["paused"].clone(), source["next_poll"].is_null())
    };
    assert_eq!(shown(&daemon), (Value::Bool(true), true));
    let gauge =
        |daemon: &Daemon, source| daemon.metric("doorbell_source_paused", &[("source", source)]);
    assert!(gauge(&daemon, "resting") > 0.5 && gauge(&daemon, "tickets") < 0.5);

    let report = daemon.cli_json(&["poll", "resting", "--commit"]);
    assert_eq!((&report["items"], &report["committed"]), (&json!(1), &json!(true)));
    assert_eq!(asked(&api, "/resting"), 1);
    stays("one poll by hand is one", || asked(&api, "/resting") == 1);

    daemon.write_config(&config(&api, &receiver, false));
    daemon.hup();
    daemon.wait_until("polls of what goes on", |_| asked(&api, "/resting") > 2);
    assert_eq!(shown(&daemon), (Value::Bool(false), false));
    daemon.write_config(&config(&api, &receiver, true));
    daemon.hup();
    daemon.wait_until("paused again", |daemon| shown(daemon).0 == true);
    let before = asked(&api, "/resting") + 1;
    stays("paused again", || asked(&api, "/resting") <= before);
    assert!(daemon.term().success());
}
