//! What a receiver can do wrong, case by case: a delivery is accepted by a 2xx in time and by nothing else, what was not
//! comes again under the same id with the same bytes, and no answer costs more than a little memory.
//!
//! - 500, 503 and 429 for a while, with senseless words when to come back. – test: `storms_pass`
//! - … and with sensible ones. – test: `health::retry_after_pauses_the_whole_endpoint`
//! - Down for long, and back. – tests: `health::what_waited_comes_gently_and_all_of_it`, `operations::a_receiver_that_is_down_loses_nothing_and_gets_everything_in_order`, `outages::a_receiver_that_is_dead_for_an_hour_gets_everything_when_it_is_back`
//! - It hangs before its headers or within them, or never ends them. – test: `answers_that_do_not_end`
//! - Its body never ends, is a gigabyte, or comes a byte at a time. – tests: `answers_that_do_not_end`, `bad_input::a_2xx_counts_whatever_follows_it`
//! - 2xx and then a reset. – test: `bad_input::a_2xx_counts_whatever_follows_it`
//! - 2xx too late; 100 and other interim answers, also without end. – tests: `answers_that_do_not_end`, `health::interim_answers_are_no_answers`
//! - 301 and other redirects, 401, 413 and other refusals, until they are given up. – test: `refusals_are_repeated_and_then_given_up`
//! - 410. – tests: `bad_input::a_receiver_that_is_gone_is_left_alone_and_keeps_what_waits`, `health::disabled_and_given_up_are_told`
//! - It works, and says 500. – test: `operations::a_receiver_that_works_and_answers_late_gets_the_same_id_again`
//! - One of a hundred hangs. – test: `health::one_hung_of_a_hundred_delays_no_other`
//! - Its name is gone, not answered, or leads elsewhere. – test: `ringing::names_of_receivers_that_lead_nowhere`
//! - Its certificate is over, of another name, of nobody; old TLS, or none. – test: `ringing::certificates_of_receivers_that_prove_nothing`

mod wire;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use self::wire::{Answer, Heard, Out, Wire, accept};
use crate::misbehaviour::peak_memory_kib;
use crate::support::scene::{item, items};
use crate::support::wait::{stays, wait_for, wait_until};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Script, Shared};

const GIGABYTE: &[u8] = b"Content-Length: 1000000000\r\n\r\n";

/// One source, `tickets`, and endpoints with these names, URLs and further keys. It has been polled.
fn daemon(api: &ApiServer, endpoints: &[(&str, String, &str)]) -> Daemon {
    let endpoint = |(name, url, keys): &(&str, String, &str)| {
        format!("  {name}: {{ url: '{url}', secret: any, {keys} }}\n")
    };
    let endpoints: String = endpoints.iter().map(endpoint).collect();
    let mut daemon = Daemon::run(&format!(
        "sources:\n  tickets: {{ url: '{}', key: .id, every: 100ms, deletes: off }}\nendpoints:\n{endpoints}",
        api.url()
    ));
    daemon.wait_until_polled("tickets");
    daemon
}

/// The deliveries of an endpoint.
fn deliveries(daemon: &Daemon, endpoint: &str) -> Vec<Value> {
    let rows = daemon.control_json(&format!("/v1/deliveries?endpoint={endpoint}&limit=1000"));
    rows.as_array().unwrap().clone()
}

const MOMENT: Duration = Duration::from_millis(40);

/// Answers, and whether they accept what came.
const ANSWERS: &[(&str, Answer, bool)] = &[
    ("nothing", Out::hang, false),
    (
        "headers, a byte now and then",
        |out| {
            out.slowly(b"HTTP/1.1 200 OK\r\nX-Long: and not over within a second\r\n\r\n", MOMENT)
        },
        false,
    ),
    (
        "headers without end",
        |out| {
            out.say(b"HTTP/1.1 200 OK\r\nX-Long: ")?;
            out.for_ever(&[b'x'; 4096])
        },
        false,
    ),
    (
        "header after header",
        |out| {
            out.say(b"HTTP/1.1 200 OK\r\n")?;
            out.for_ever(b"X-More: and more\r\n")
        },
        false,
    ),
    ("interim answers without end", |out| out.for_ever(b"HTTP/1.1 103 Early Hints\r\n\r\n"), false),
    (
        "200, too late",
        |out| {
            std::thread::park_timeout(Duration::from_millis(900));
            accept(out)
        },
        false,
    ),
    (
        "500 and a gigabyte",
        |out| {
            out.say(b"HTTP/1.1 500 No\r\n")?;
            out.say(GIGABYTE)?;
            out.for_ever(&[b'x'; 4096])
        },
        false,
    ),
    (
        "500 and a drip",
        |out| {
            out.say(b"HTTP/1.1 500 No\r\n")?;
            out.say(GIGABYTE)?;
            out.slowly(&[b'x'; 1000], MOMENT)
        },
        false,
    ),
    (
        "100, and then 204",
        |out| out.say(b"HTTP/1.1 100 Continue\r\n\r\n").and_then(|()| accept(out)),
        true,
    ),
    (
        "200 and a gigabyte",
        |out| {
            out.say(b"HTTP/1.1 200 OK\r\n")?;
            out.say(GIGABYTE)?;
            out.for_ever(&[b'x'; 4096])
        },
        true,
    ),
    (
        "200 and chunks without end",
        |out| {
            out.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            out.for_ever(b"5\r\nhello\r\n")
        },
        true,
    ),
    (
        "200 and a drip",
        |out| {
            out.say(b"HTTP/1.1 200 OK\r\n")?;
            out.say(GIGABYTE)?;
            out.slowly(&[b'x'; 1000], MOMENT)
        },
        true,
    ),
];

#[test]
fn answers_that_do_not_end() {
    let (api, wire) = (ApiServer::with_items(items(1)), Wire::start());
    let keys = "timeout: 600ms, retry: { first: 20ms, max: 50ms, for: 1h }, breaker: { failures: 1000000, for: 1h }";
    let daemon = daemon(&api, &[("desk", wire.url(), keys)]);
    for (before, (case, answer, is_accepted)) in ANSWERS.iter().enumerate() {
        comes_to(&api, &wire, &daemon, before + 2, (case, *answer, *is_accepted));
    }
    let peak = peak_memory_kib(daemon.pid());
    assert!(peak < 256 * 1024, "{peak} KiB at the worst");
}

/// The event of a new item meets this answer: that is a delivery, or it comes again until it is one.
#[track_caller]
fn comes_to(
    api: &ApiServer,
    wire: &Wire,
    daemon: &Daemon,
    id: usize,
    (case, answer, is_accepted): (&str, Answer, bool),
) {
    let before = wire.heard().len();
    wire.answer_with(answer);
    api.set_items(items(id));
    let key = id.to_string();
    let delivered = || {
        let rows = deliveries(daemon, "desk");
        rows.into_iter().find(|row| row["key"] == key.as_str() && row["status"] == "delivered")
    };
    if is_accepted {
        wait_for(&format!("a delivery in spite of: {case}"), delivered);
        stays(case, || wire.heard().len() == before + 1);
    } else {
        wait_until(&format!("another attempt after: {case}"), || wire.heard().len() >= before + 2);
        wire.answer_with(accept);
        let row = wait_for(&format!("a delivery after: {case}"), delivered);
        assert!(row["attempts"].as_u64() >= Some(2), "{case}: {row}");
    }
    let heard = wire.heard().split_off(before);
    let one = |it: &Heard| (it.id.clone(), it.body.clone());
    assert!(heard.iter().all(|it| one(it) == one(&heard[0])), "{case}: other bytes, or another id");
    // One deadline for all of it. Machines that run tests are busy.
    let within = |pair: &[Heard]| pair[1].at - pair[0].at < Duration::from_secs(6);
    assert!(heard.windows(2).all(within), "{case}: {heard:?}");
    wait_until(&format!("the end of: {case}"), || {
        // What the buffers of two sockets take is not read, let alone kept.
        wire.heard()[before..].iter().all(|it| it.answered_bytes < 24 * 1024 * 1024)
    });
}

/// Refusals for a while, with words when to come back that make no sense: they are as none.
#[test]
fn storms_pass() {
    const TICKETS: usize = 6;
    let storms = [
        ("broken", Reply::status(500)),
        ("away", Reply::status(503)),
        ("busy", Reply::status(429)),
        ("now", Reply::retry_after(429, "0")),
        ("soon", Reply::retry_after(429, "soon")),
        ("never", Reply::retry_after(503, "-1")),
        ("once", Reply::retry_after(503, "Thu, 01 Jan 1970 00:00:00 GMT")),
        ("nothing", Reply::retry_after(429, "")),
    ];
    let api = ApiServer::with_items(items(1));
    let receivers: Vec<_> = storms.iter().map(|_| Receiver::start()).collect();
    let keys =
        "retry: { first: 20ms, max: 200ms, for: 1h }, breaker: { failures: 1000000, for: 1h }";
    let endpoints = storms.iter().zip(&receivers).map(|((name, _), it)| (*name, it.url(), keys));
    let daemon = daemon(&api, &endpoints.collect::<Vec<_>>());
    for ((_, reply), receiver) in storms.iter().zip(&receivers) {
        receiver.always(reply.clone());
    }
    let all =
        |status: &str| (2..=TICKETS + 1).map(|id| json!({ "id": id, "status": status })).collect();
    api.set_items(items(TICKETS + 1));
    receivers[0].wait_for_requests_in_all(TICKETS);
    api.set_items(all("closed"));
    for receiver in &receivers {
        receiver.wait_for_requests_in_all(5 * TICKETS);
        assert!(receiver.ledger().accepted().is_empty());
        receiver.heal();
    }
    for ((name, _), receiver) in storms.iter().zip(&receivers) {
        let ledger = receiver.wait_for(name, |ledger| ledger.accepted().len() >= 2 * TICKETS);
        for id in 2..=TICKETS + 1 {
            let told = ledger.of_key(&id.to_string());
            let told: Vec<_> = told.iter().map(|ring| &ring.event["data"]["status"]).collect();
            assert_eq!(told, ["new", "closed"], "{name}: item {id}");
        }
        ledger.assert_bodies_never_change();
    }
    for (name, _) in &storms {
        let is_done = |row: &Value| row["status"] == "delivered";
        wait_until(name, || deliveries(&daemon, name).iter().all(is_done));
    }
}

/// What a receiver refuses for good is tried for as long as it is said, and then waits for somebody to send it again. No
/// redirect is followed, and a 410 is asked nothing more.
#[test]
fn refusals_are_repeated_and_then_given_up() {
    const STATUSES: &[u16] =
        &[301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 413, 415, 422, 500, 501];
    let elsewhere = Script::start(|_| Reply::status(200));
    let (mended, to) = (Shared::new(false), elsewhere.url_of("/items"));
    let is_mended = mended.clone();
    let receiver = Script::start(move |received| {
        if is_mended.get() {
            return Reply::status(204);
        }
        let status = received.path().trim_start_matches('/').parse().unwrap();
        Reply::status(status).header("Location", &to)
    });
    let api = ApiServer::with_items(items(1));
    let keys =
        "retry: { first: 20ms, max: 50ms, for: 300ms }, breaker: { failures: 1000000, for: 1h }";
    let names: Vec<_> = STATUSES.iter().chain(&[410]).map(|status| format!("s{status}")).collect();
    let url = |name: &String| receiver.url_of(&name.replace('s', "/"));
    let endpoints: Vec<_> = names.iter().map(|name| (name.as_str(), url(name), keys)).collect();
    let daemon = daemon(&api, &endpoints);
    api.set_items(json!([item(1), item(2)]));
    for status in STATUSES {
        let row = wait_for(&format!("the end of {status}"), || {
            let row = deliveries(&daemon, &format!("s{status}")).pop()?;
            (row["status"] == "exhausted").then_some(row)
        });
        assert!(row["attempts"].as_u64() >= Some(2), "{status}: {row}");
        assert!(row["reason"].as_str().unwrap().contains(&status.to_string()), "{row}");
        assert_eq!(row["last_answer"]["status"], *status, "{row}");
    }
    assert!(elsewhere.requests().is_empty(), "a redirect was followed");
    let asked = |path: &str| {
        let requests = receiver.requests().into_iter();
        requests.filter(|it| it.path() == path).collect::<Vec<_>>()
    };
    assert_eq!(asked("/410").len(), 1);
    let gone = &deliveries(&daemon, "s410")[0];
    assert_eq!((&gone["status"], &gone["attempts"]), (&"pending".into(), &1.into()));

    mended.set(true);
    let replayed = daemon.cli_json(&["replay", "--status", "exhausted", "--yes"]);
    assert_eq!(replayed["count"], STATUSES.len());
    assert_eq!(daemon.cli(&["endpoints", "resume", "s410"]).code, Some(0));
    for name in &names {
        let path = name.replace('s', "/");
        let is_delivered = |row: &Value| row["status"] == "delivered";
        wait_until(name, || deliveries(&daemon, name).iter().any(is_delivered));
        let bodies: BTreeSet<_> = asked(&path).into_iter().map(|it| it.body).collect();
        assert_eq!(bodies.len(), 1, "{name}");
    }
    let ids = receiver.requests();
    let ids: BTreeSet<_> = ids.iter().map(|it| it.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 1, "one event, one id");
}
