//! Budgets, as the API that is polled sees them.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::reply::Reply;
use crate::support::wait::wait_until;
use crate::support::{Daemon, Script, Shared};

/// How many requests may come in a while, when they came lately, and how many were too many.
#[derive(Default)]
struct Counts {
    most: usize,
    lately: VecDeque<Instant>,
    refused: usize,
}

#[expect(clippy::disallowed_methods, reason = "a server that counts in real time")]
fn now() -> Instant {
    Instant::now()
}

/// An API that takes `most` requests in any `period`, until it is told otherwise.
fn strict(most: usize, period: Duration) -> (Script, Shared<Counts>) {
    let counts = Shared::new(Counts { most, ..Counts::default() });
    let counted = counts.clone();
    let api = Script::start(move |_| {
        counted.with(|counts| {
            let now = now();
            while counts.lately.front().is_some_and(|at| now - *at >= period) {
                counts.lately.pop_front();
            }
            counts.lately.push_back(now);
            if counts.lately.len() > counts.most {
                counts.refused += 1;
                return Reply::status(429);
            }
            Reply::json(&json!([{ "id": 1 }]))
        })
    });
    (api, counts)
}

#[test]
fn forty_sources_share_a_hard_limit_and_never_meet_a_429() {
    let (api, counts) = strict(30, Duration::from_secs(3));
    let mut config = String::from("apis:\n  desk: { limit: 30/3s, concurrency: 4 }\nsources:\n");
    for number in 0..40 {
        let url = api.url_of(&format!("/{number}"));
        writeln!(config, "  s{number}: {{ api: desk, url: '{url}', key: .id, every: 100ms }}")
            .unwrap();
    }
    let mut daemon = Daemon::run(&config);
    wait_until("twice as many requests as there are sources", || api.requests().len() >= 80);
    assert_eq!(counts.with(|counts| counts.refused), 0);
    let each = |number: usize| {
        let path = format!("/{number}");
        api.requests().iter().filter(|received| received.path() == path).count()
    };
    assert!((0..40).all(|number| (1..=3).contains(&each(number))), "all have their turn");
    let used = daemon.metric("doorbell_budget_used_ratio", &[("api", "desk")]);
    assert!((0.4..=1.0).contains(&used), "{used}");

    // Another limit takes effect, and nothing is read anew for it.
    counts.with(|counts| counts.most = 3000);
    let plan = {
        daemon.write_config(&config.replace("30/3s", "3000/3s"));
        daemon.cli(&["plan"])
    };
    let told = plan.stdout;
    assert!(told.contains("limit") && !told.contains("baseline"), "{told}");
    daemon.hup();
    let before = api.requests().len();
    wait_until("many more", || api.requests().len() > before + 100);
    assert!(daemon.term().success());
}

#[test]
fn what_a_server_says_is_left_is_kept_to() {
    // Ten in each two seconds, told with every answer, and no limit written.
    let began = now();
    let windows = Shared::new((0_u64, 0_usize, 0_usize));
    let counted = windows.clone();
    let api = Script::start(move |_| {
        counted.with(|(window, used, refused)| {
            let now = began.elapsed().as_secs() / 2;
            if *window != now {
                (*window, *used) = (now, 0);
            }
            *used += 1;
            if *used > 10 {
                *refused += 1;
                return Reply::status(429);
            }
            let left = (now + 1) * 2 - began.elapsed().as_secs();
            Reply::json(&json!([{ "id": 1 }]))
                .header("RateLimit", &format!("\"default\";r={};t={left}", 10 - *used))
        })
    });
    let mut config = String::from("apis:\n  desk: { auth: { bearer: t } }\nsources:\n");
    for number in 0..8 {
        let url = api.url_of(&format!("/{number}"));
        writeln!(config, "  s{number}: {{ api: desk, url: '{url}', key: .id, every: 50ms }}")
            .unwrap();
    }
    let mut daemon = Daemon::run(&config);
    wait_until("four windows", || windows.with(|(window, ..)| *window >= 4));
    let refused = windows.with(|(_, _, refused)| *refused);
    assert!(refused <= 8, "{refused}");
    assert!(api.requests().len() >= 20);
    assert!(daemon.term().success());
}

/// What a server says of a credential, the next process knows: whoever asks with it is asked to wait, and nobody else.
#[test]
fn a_credential_that_was_told_to_wait_waits_in_the_next_process() {
    let api = Script::start(|request| match request.header("authorization") {
        Some("Bearer one") => Reply::retry_after(429, "60"),
        _ => Reply::json(&json!([{ "id": 1 }])),
    });
    let source = |name: &str, token: &str| {
        let url = api.url_of(&format!("/{name}"));
        format!(
            "  {name}: {{ url: '{url}', key: .id, every: 100ms, auth: {{ bearer: {token} }} }}\n"
        )
    };
    let asked = |path: &str| api.requests().iter().filter(|it| it.path() == path).count();
    let first = format!("sources:\n{}", source("a", "one"));
    let mut daemon = Daemon::run(&first);
    daemon.wait_until("the answer being known", |daemon| {
        daemon.control_json("/v1/sources/a")["fault"].is_object()
    });
    daemon.kill9();
    daemon.write_config(&format!("{first}{}{}", source("b", "one"), source("c", "two")));
    daemon.start();
    daemon.wait_until_polled("c");
    let before = asked("/c");
    wait_until("twenty polls of others", || asked("/c") >= before + 20);
    assert_eq!((asked("/a"), asked("/b")), (1, 0), "who was told to wait for a minute asked again");
}
