//! What a polled API can do wrong, case by case: the stored fault has the right code, nothing rings that did not happen,
//! and the next good answer is taken as if nothing had been.
//!
//! `bad_input` beside this file breaks the same things under a running daemon; here each poll is a command.
//!
//! - The connection is reset before a body or within it. – test: `broken_connections`
//! - A body is shorter or longer than was said, or lacks its last chunk. – test: `broken_connections`
//! - Compressed content is cut short, or is no such thing. – test: `broken_compression`
//! - A few kilobytes unfold to half a gigabyte. – test: `bombs_are_refused_in_little_memory`
//! - 200 with a page for people, a portal's page or an error. – tests: `pages_for_people`, `an_error_met_first_is_no_baseline`
//! - The list is empty, or half of it, or has other ids altogether. – test: `mass_vanishing_is_held`
//! - A row slips from one page to another. – tests: `a_row_that_slips_between_two_pages_is_not_deleted`, `pages::a_listing_that_moves_proves_no_absence`
//! - Pages that lead in a circle, on for ever, elsewhere. – tests: `pages_without_end`, `pages::a_listing_that_leads_astray_deletes_nothing`
//! - An id twice, none at all, one that changes its type. – tests: `one_id_twice`, `items_that_cannot_be_told_apart`, `an_id_that_changes_its_type_is_the_same_id`
//! - A byte now and then. – tests: `broken_connections`, `a_drip_under_a_long_deadline`
//! - 429 for ever, with no word when to come back. – test: `a_storm_of_429_is_met_with_longer_and_longer_pauses`
//! - `Retry-After` in seconds, as a date, as anything. – test: `retry_after_in_every_spelling`
//! - 304 about another version, or to nobody's question. – test: `a_304_that_cannot_be_right`
//! - Redirects that nobody allowed, in a circle, into the house, from https to http. – tests: `refusals_and_redirects`, `auth::a_redirect_is_followed_only_when_that_is_allowed`, `internet::redirects_into_the_house`
//! - Names that are gone, not answered, or lead elsewhere. – tests: `internet::names_that_lead_nowhere`, `hosts_that_are_not_there`, `http::tests::public::a_name_that_flips_is_judged_each_time`
//! - Certificates that are over, of another name, of nobody; old TLS, or none. – test: `internet::certificates_that_prove_nothing`
//! - One change in a list of a hundred megabytes. – test: `great_lists::one_change_in_a_hundred_thousand_items`
//! - Content made to break readers. – tests: `hostile_content::hostile_content`, `hostile_content::odd_content_is_taken_as_it_is`, `hostile_content::ambiguous_content_is_read_in_one_way`

use std::io::Write as _;
use std::time::Duration;

use async_compression::tokio::write::ZstdEncoder;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::polled::Poll;
use crate::support::reply::Manner;
use crate::support::scene::{item, items};
use crate::support::{ApiServer, Daemon, Receiver, Reply, Script, Shared};

/// An API with one listing, and doorbell before it, polling when told.
pub(crate) struct Door {
    pub(crate) api: ApiServer,
    pub(crate) daemon: Daemon,
}

impl Door {
    /// `keys` are further keys of the source, as one flow map's inside. What is there at first is known.
    #[track_caller]
    pub(crate) fn with_items(items: Value, keys: &str) -> Self {
        Self::before(ApiServer::with_items(items), keys)
    }

    /// The same for an API that is there already.
    #[track_caller]
    pub(crate) fn before(api: ApiServer, keys: &str) -> Self {
        let daemon = Daemon::new(&tickets(&api.url(), keys));
        let door = Self { api, daemon };
        door.poll().rang(&[]);
        door
    }

    #[track_caller]
    pub(crate) fn poll(&self) -> Poll {
        self.daemon.poll("tickets")
    }

    /// The next poll gets this answer.
    #[track_caller]
    pub(crate) fn answered(&self, reply: Reply) -> Poll {
        self.api.next(reply);
        self.poll()
    }
}

/// A configuration of one source, `tickets`.
pub(crate) fn tickets(url: &str, keys: &str) -> String {
    let usual = [("key", ".id"), ("every", "1h"), ("timeout", "15s"), ("max_body", "64KiB")];
    let given = |name: &str| keys.contains(&format!("{name}: "));
    let mut all = vec![format!("url: '{url}'")];
    let usual = usual.iter().filter(|(name, _)| !given(name));
    all.extend(usual.map(|(name, value)| format!("{name}: {value}")));
    all.extend(Some(keys.to_owned()).filter(|keys| !keys.is_empty()));
    format!("sources: {{ tickets: {{ {} }} }}\n", all.join(", "))
}

/// After each answer, which is this fault, a new item rings, and nothing else does.
#[track_caller]
pub(crate) fn are_faults(keys: &str, cases: &[(&str, Reply, &str)]) {
    let mut known = vec![item(1), item(2)];
    let door = Door::with_items(Value::from(known.clone()), keys);
    for (case, reply, code) in cases {
        let poll = door.answered(reply.clone());
        assert_eq!((poll.fault(), poll.story().len()), (*code, 0), "{case}: {poll:?}");
        assert!(poll.sentence().len() > 15, "{case} wants a sentence: {poll:?}");
        let id = known.len() + 1;
        known.push(item(id));
        door.api.set_items(Value::from(known.clone()));
        door.poll().rang(&[&format!("tickets.created {id}")]);
    }
}

pub(crate) fn json_text(text: impl Into<Vec<u8>>) -> Reply {
    Reply::text("application/json", text)
}

fn zstd(body: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut encoder = ZstdEncoder::new(Vec::new());
        encoder.write_all(body).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    })
}

#[test]
fn broken_connections() {
    let listing = || Reply::json(&items(2));
    are_faults(
        "timeout: 1500ms",
        &[
            ("nothing comes", Reply::hang(), "timeout"),
            ("reset at once", Reply::reset(), "cut"),
            ("reset in the body", listing().sent(Manner::ResetAfter(10)), "cut"),
            ("shorter than it says", listing().sent(Manner::CutAfter(10)), "cut"),
            ("longer than it says", listing().sent(Manner::Understated(7)), "not_json"),
            ("a chunk is missing", listing().sent(Manner::ChunksCut), "cut"),
            ("not HTTP", Reply::raw("220 mail.example ESMTP\r\n"), "protocol"),
            (
                "a byte now and then",
                Reply::large(1000).sent(Manner::Drip(Duration::from_millis(20))),
                "timeout",
            ),
        ],
    );
}

#[test]
fn broken_compression() {
    let listing = || Reply::json(&items(2));
    let encoded =
        |encoding: &str, body: Vec<u8>| json_text(body).header("Content-Encoding", encoding);
    let mut not_the_end = GzEncoder::new(Vec::new(), Compression::default());
    not_the_end.write_all(items(2).to_string().as_bytes()).unwrap();
    not_the_end.flush().unwrap();
    are_faults(
        "",
        &[
            ("half of it", listing().gzipped().halved(), "decode"),
            ("without its end", encoded("gzip", not_the_end.get_ref().clone()), "decode"),
            ("none at all", listing().header("Content-Encoding", "gzip"), "decode"),
            ("brotli that is none", listing().header("Content-Encoding", "br"), "decode"),
            ("zstd cut short", encoded("zstd", zstd(&[b' '; 9000])).halved(), "decode"),
            ("one nobody asked for", listing().header("Content-Encoding", "compress"), "decode"),
            ("something behind it", listing().gzipped().append(b"[]"), "decode"),
        ],
    );
}

/// Neither 2 GB out of 2 MB of gzip nor 512 MB out of a few kilobytes of zstd is ever held.
#[test]
fn bombs_are_refused_in_little_memory() {
    let api = ApiServer::with_items(items(1));
    let config = format!(
        "sources: {{ tickets: {{ url: '{}', key: .id, every: 100ms, max_body: 1MiB, backoff: {{ first: 10ms, max: 20ms }} }} }}\n",
        api.url()
    );
    let mut daemon = Daemon::run(&config);
    daemon.wait_until_polled("tickets");
    let zeroes = zstd(&vec![b' '; 512 * 1024 * 1024]);
    assert!(zeroes.len() < 100_000, "not much of a bomb: {} bytes", zeroes.len());
    for bomb in [Reply::bomb(), json_text(zeroes).header("Content-Encoding", "zstd")] {
        let before = daemon.polls("tickets", "failed");
        api.always(bomb);
        daemon.wait_until("refused bombs", |it| it.polls("tickets", "failed") >= before + 3.0);
        assert_eq!(daemon.control_json("/v1/sources/tickets")["fault"]["code"], "body_too_large");
        api.heal();
        daemon.wait_for_good_polls("tickets", 1);
    }
    let peak = peak_memory_kib(daemon.pid());
    assert!(peak < 200 * 1024, "{peak} KiB at the worst");
}

/// The most memory a process had, in KiB.
pub(crate) fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Slower than 64 bytes a second is no transfer, whatever the deadline.
#[test]
#[ignore = "long: a drip is told from a slow server after ten seconds only"]
fn a_drip_under_a_long_deadline() {
    let door = Door::with_items(items(2), "timeout: 60s");
    let drip = Reply::large(2000).sent(Manner::Drip(Duration::from_millis(500)));
    door.answered(drip).failed("drip");
    door.api.set_items(items(3));
    door.poll().rang(&["tickets.created 3"]);
}

#[test]
fn pages_for_people() {
    let html = "<!doctype html><title>Sign in</title><p>Please sign in.";
    are_faults(
        "",
        &[
            ("a sign-in page", Reply::html(), "html"),
            ("the same as XHTML", Reply::text("application/xhtml+xml", html), "html"),
            ("the same, said to be JSON", json_text(html), "not_json"),
            (
                "the same, said to be nothing",
                Reply::status(200).append(html.as_bytes()),
                "not_json",
            ),
            ("JSON, said to be HTML", Reply::text("text/html", items(2).to_string()), "html"),
            (
                "a captive portal",
                Reply::redirect("http://portal.invalid/").with_status(302),
                "http_302",
            ),
            ("another portal", Reply::html().with_status(511), "http_511"),
            ("an error with 200", json_text(r#"{"error":"token expired"}"#), "shape"),
            (
                "a part that nobody asked for",
                Reply::json(&items(1)).with_status(206),
                "partial_content",
            ),
            ("nothing", json_text(""), "not_json"),
            ("no content", Reply::status(204), "not_json"),
            ("nothing yet", Reply::status(202), "not_json"),
        ],
    );
}

/// The very first answer is an error object: it is no item, and no baseline either.
#[test]
fn an_error_met_first_is_no_baseline() {
    let api = ApiServer::with_items(items(3));
    let daemon = Daemon::new(&tickets(&api.url(), ""));
    api.next(json_text(r#"{"error":"token expired"}"#));
    let first = daemon.poll("tickets");
    assert!(!first.fault().is_empty() && first.events().is_empty(), "{first:?}");
    daemon.poll("tickets").rang(&[]);
    api.set_items(items(4));
    daemon.poll("tickets").rang(&["tickets.created 4"]);
}

/// Empty, half, and with other ids altogether: more than 50 and more than a fifth of them gone is for a person to see.
#[test]
fn mass_vanishing_is_held() {
    let renamed = Value::from((1..=200).map(|id| json!({ "id": 1000 + id })).collect::<Vec<_>>());
    for (case, left, created, held) in [
        ("nothing left", json!([]), 0, 200),
        ("half left", items(100), 0, 100),
        ("all ids are others", renamed, 200, 200),
    ] {
        let door = Door::with_items(items(200), "");
        door.api.set_items(left);
        let (first, second) = (door.poll(), door.poll());
        for poll in [&first, &second] {
            assert!(poll.story().iter().all(|it| it.starts_with("tickets.created")), "{case}");
        }
        assert_eq!(first.events().len() + second.events().len(), created, "{case}");
        assert_eq!(second.field("held"), held, "{case}");
        door.poll().rang(&[]);
        // What is back leaves the hold, and rings nothing.
        door.api.set_items(items(200));
        let back = door.poll();
        assert!(back.events().iter().all(|it| it["type"] != "tickets.created"), "{case}: {back:?}");
    }
}

/// A list in pages of two by number, as a server with a database makes it. The function may change the list first.
fn by_page(list: &Shared<Vec<usize>>, before: impl Fn(usize) + Send + Sync + 'static) -> Script {
    let list = list.clone();
    Script::start(move |received| {
        let page: usize = received.query("page").map_or(1, |page| page.parse().unwrap());
        before(page);
        let all = list.get();
        let shown: Vec<_> = all.iter().skip((page - 1) * 2).take(2).copied().map(item).collect();
        let reply = Reply::json(&Value::from(shown));
        if all.len() > page * 2 {
            reply.header("Link", &format!("</list?page={}>; rel=\"next\"", page + 1))
        } else {
            reply
        }
    })
}

/// A row deleted between page 1 and page 2 shifts one over the edge, into neither page. One such listing proves nothing.
#[test]
fn a_row_that_slips_between_two_pages_is_not_deleted() {
    let list = Shared::new(vec![1, 2, 3, 4, 5, 6]);
    let (slips, shown) = (Shared::new(false), list.clone());
    let slipping = slips.clone();
    let api = by_page(&list, move |page| {
        if page == 2 && slipping.get() {
            slipping.set(false);
            shown.with(|list| list.retain(|id| *id != 1));
        }
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list?page=1"), "pages: link"));
    daemon.poll("tickets").rang(&[]);
    slips.set(true);
    // Seen: 1 2, 4 5, 6. Missing, although it is there: 3.
    daemon.poll("tickets").rang(&[]);
    daemon.poll("tickets").rang(&[]);
    daemon.poll("tickets").rang(&["tickets.deleted 1"]);
}

/// Two items and a next page.
fn leading(ids: [usize; 2], to: &str) -> Reply {
    let next = format!("<{to}>; rel=\"next\"");
    Reply::json(&json!([item(ids[0]), item(ids[1])])).header("Link", &next)
}

/// While a listing leads nowhere, it is told as such and nothing is deleted; the good one after it rings nothing.
/// `page` says what is answered to `?at=N`.
#[track_caller]
fn leads_nowhere(case: &str, pages: &str, page: fn(usize) -> Reply, code: &str) {
    let (turns, good) = (Shared::new(false), items(4));
    let turned = turns.clone();
    let api = Script::start(move |received| {
        let at = received.query("at").map_or(0, |at| at.parse().unwrap());
        if turned.get() { page(at) } else { Reply::json(&good) }
    });
    let keys = format!("pages: {pages}, events: [{{ type: gone, on: deleted }}]");
    let daemon = Daemon::new(&tickets(&api.url_of("/list?at=0"), &keys));
    daemon.poll("tickets").rang(&[]);
    turns.set(true);
    for _ in 0..3 {
        let poll = daemon.poll("tickets");
        assert_eq!((poll.fault(), poll.events().len()), (code, 0), "{case}: {poll:?}");
    }
    assert!(api.requests().len() < 25, "{case}: {} requests", api.requests().len());
    turns.set(false);
    daemon.poll("tickets").rang(&[]);
}

#[test]
fn pages_without_end() {
    let check = leads_nowhere;
    check("the first page", "link", |_| leading([1, 2], "/list?at=0"), "repeated_page");
    let a_b_a = |at| match at {
        0 => leading([1, 2], "/list?at=1"),
        _ => leading([3, 4], "/list?at=0"),
    };
    check("A, B, A", "link", a_b_a, "repeated_page");
    let to_itself = |at| match at {
        0 => leading([1, 2], "/list?at=1"),
        _ => leading([3, 4], "/list?at=1"),
    };
    check("the last page leads to itself", "link", to_itself, "repeated_page");
    let other_cursor = |at| leading([1, 2], &format!("/list?at={}", at + 1));
    check("another cursor, the same page", "link", other_cursor, "repeated_page");
    let endless = |at| leading([10 * at, 10 * at + 1], &format!("/list?at={}", at + 1));
    check("always something more", "{ link: true, max: 5 }", endless, "too_many_pages");
    check("elsewhere", "link", |_| leading([1, 2], "http://127.0.0.1:1/x"), "page_off_origin");
    check("nowhere", "link", |_| leading([1, 2], "http://[/"), "link_header");
}

/// The same item on two pages is one item; two items with one id cannot be told apart, and say so.
#[test]
fn one_id_twice() {
    let pages = Shared::new([json!([item(1), item(2)]), json!([item(2), item(3)])]);
    let shown = pages.clone();
    let api = Script::start(move |received| match received.query("page") {
        Some("2") => Reply::json(&shown.get()[1]),
        _ => Reply::json(&shown.get()[0]).header("Link", "</list?page=2>; rel=next"),
    });
    let daemon = Daemon::new(&tickets(&api.url_of("/list"), "pages: link"));
    daemon.poll("tickets").rang(&[]);

    let other = json!({ "id": 2, "status": "closed" });
    pages.set([json!([item(1), item(2)]), json!([other])]);
    for _ in 0..3 {
        let poll = daemon.poll("tickets");
        poll.failed("duplicate_key");
        assert_eq!(poll.outcome(), "incomplete", "and 3 is not deleted");
    }
    pages.set([json!([item(1)]), json!([other, item(3)])]);
    daemon.poll("tickets").rang(&["tickets.updated 2"]);
}

/// An item without an id is a fault of that item; the others go on, and nothing is deleted meanwhile.
#[test]
fn items_that_cannot_be_told_apart() {
    for (case, odd) in [
        ("no id", json!({ "name": "x" })),
        ("null", json!({ "id": null })),
        ("empty", json!({ "id": "" })),
        ("a list", json!({ "id": [7] })),
        ("too long", json!({ "id": "x".repeat(2000) })),
        ("no object", json!("x")),
    ] {
        let door = Door::with_items(items(3), "");
        let listing = json!([item(1), odd, item(9)]);
        for created in [&["tickets.created 9"][..], &[], &[]] {
            let poll = door.answered(Reply::json(&listing));
            assert!(!poll.fault().is_empty() && poll.outcome() == "incomplete", "{case}: {poll:?}");
            assert_eq!(poll.story(), created, "{case}");
        }
        // 2 and 3 were only hidden.
        door.api.set_items(json!([item(1), item(2), item(3), item(9)]));
        door.poll().rang(&[]);
    }
}

/// `1`, `1.0` and `"1"` are one id: the item is neither deleted nor made anew.
#[test]
fn an_id_that_changes_its_type_is_the_same_id() {
    let door = Door::with_items(json!([{ "id": 1, "n": 1 }, { "id": "2", "n": 1 }]), "");
    let spelt =
        |one: &str, two: &str| json_text(format!(r#"[{{"id":{one},"n":1}},{{"n":1,"id":{two}}}]"#));
    door.answered(spelt("1.0", "\"2\"")).rang(&[]);
    door.answered(spelt("1e0", "\"2\"")).rang(&[]);
    for _ in 0..3 {
        let poll = door.answered(spelt("\"1\"", "2"));
        let others = poll.story().iter().filter(|it| !it.starts_with("tickets.updated")).count();
        assert_eq!((poll.fault(), others), ("", 0), "{poll:?}");
    }
    door.answered(spelt("\"1\"", "2")).rang(&[]);
}

#[test]
fn refusals_and_redirects() {
    let refusal = |status: u16| Reply::json(&json!({ "error": "no" })).with_status(status);
    let elsewhere = |status: u16| Reply::redirect("http://127.0.0.1:1/items").with_status(status);
    are_faults(
        "",
        &[
            ("bad request", refusal(400), "http_400"),
            ("not signed in", refusal(401), "http_401"),
            ("not allowed", refusal(403), "http_403"),
            ("not found", refusal(404), "http_404"),
            ("gone", refusal(410), "http_410"),
            ("broken", refusal(500), "http_500"),
            ("broken, with a listing", Reply::json(&items(1)).with_status(502), "http_502"),
            ("a status nobody knows", refusal(799), "http_799"),
            ("moved", elsewhere(301), "http_301"),
            ("found", elsewhere(302), "http_302"),
            ("see other", elsewhere(303), "http_303"),
            ("for now", elsewhere(307), "http_307"),
            ("for ever", elsewhere(308), "http_308"),
            ("to itself", Reply::redirect("/items"), "http_301"),
            (
                "to the cloud's secrets",
                Reply::redirect("http://169.254.169.254/latest/"),
                "http_301",
            ),
        ],
    );
}

/// How long to wait, as servers say it: never less than they ask, never more than a day.
#[test]
fn retry_after_in_every_spelling() {
    let day = 24 * 3600;
    let door = Door::with_items(items(1), "backoff: { first: 1s, max: 2s }");
    let in_seconds = |seconds: u64| {
        let at = std::time::UNIX_EPOCH + Duration::from_millis(now_ms() + seconds * 1000);
        httpdate::fmt_http_date(at)
    };
    let cases: &[(u16, &str, u64, u64)] = &[
        // First: the moment comes nearer while others are tried.
        (429, &in_seconds(300), 298, 305),
        (429, "120", 120, 125),
        (503, "120", 120, 125),
        (429, "0.5", 1, 5),
        (429, "0", 0, 5),
        (429, "-1", 0, 5),
        (429, "soon", 0, 5),
        (429, "", 0, 5),
        (429, "9223372036854775808", day, day),
        (429, "99999999999999999999999999", day, day),
        (429, "Thu, 01 Jan 1970 00:00:00 GMT", 0, 5),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", day, day),
    ];
    for (status, value, least, most) in cases {
        let poll = door.answered(Reply::retry_after(*status, value));
        assert_eq!(poll.fault(), format!("http_{status}"), "{value}");
        assert_eq!(poll.outcome(), "limited", "{value}: {poll:?}");
        let next: jiff::Timestamp = poll.field("next_poll").as_str().unwrap().parse().unwrap();
        let wait = next.as_millisecond() - i64::try_from(now_ms()).unwrap();
        // The command itself took a moment since.
        let least = i64::try_from(*least).unwrap() * 1000 - 4000;
        assert!(wait >= least, "{status} {value:?} waits {wait} ms");
        assert!(wait <= i64::try_from(*most).unwrap() * 1000, "{status} {value:?} waits {wait} ms");
    }
    door.api.set_items(items(2));
    door.poll().rang(&["tickets.created 2"]);
}

fn now_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test compares with the real clock")]
    let now = std::time::SystemTime::now();
    u64::try_from(now.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Nothing but 429, and no word when to come back: the pauses grow, and the end of it is noticed.
#[test]
fn a_storm_of_429_is_met_with_longer_and_longer_pauses() {
    let api = ApiServer::with_items(items(1));
    let config = tickets(&api.url(), "backoff: { first: 50ms, max: 400ms }");
    let mut daemon = Daemon::run(&config.replace("every: 1h", "every: 20ms"));
    daemon.wait_until_polled("tickets");
    api.always(Reply::status(429));
    let from = api.asked();
    daemon.wait_until("a dozen refusals", |_| api.asked() >= from + 12);
    let gaps: Vec<_> =
        api.requests()[from..].windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    let late: Duration = gaps[5..].iter().sum();
    // Full jitter up to 400 ms: the mean is 200, and at an interval of 20 ms it would be 20.
    assert!(late > Duration::from_millis(400), "asked after {gaps:?}");
    api.heal();
    api.set_items(items(2));
    daemon.wait_until("the new item", |daemon| {
        let labels = [("source", "tickets"), ("type", "tickets.created")];
        daemon.metric("doorbell_events_total", &labels) > 0.5
    });
}

/// A 304 counts only as the answer to what was asked, and about the version that is held here.
#[test]
fn a_304_that_cannot_be_right() {
    let unasked = ApiServer::with_items(items(2));
    unasked.set_etags(false);
    Door::before(unasked, "").answered(Reply::status(304)).failed("unasked_304");

    // A cache that confirms another version than the one it was asked about. We do not hold that one: what is in it has
    // to ring all the same.
    let version = Shared::new(1_usize);
    let shown = version.clone();
    let api = Script::start(move |received| {
        let now = shown.get();
        let tag = format!("\"v{now}\"");
        let reply = match received.header("if-none-match") {
            Some(_) => Reply::status(304),
            None => Reply::json(&items(now + 1)),
        };
        reply.header("ETag", &tag)
    });
    let receiver = Receiver::start();
    let endpoint = format!("endpoints: {{ desk: {{ url: '{}', secret: any }} }}\n", receiver.url());
    let source = tickets(&api.url_of("/items"), "every: 50ms");
    let mut daemon = Daemon::run(&format!("{source}{endpoint}"));
    daemon.wait_for_good_polls("tickets", 2);
    version.set(2);
    receiver.expect(&["tickets.created 3"]);

    // One that names no version, or the same one weakly, is right.
    let right = Door::with_items(items(2), "");
    right.answered(Reply::status(304)).rang(&[]);
    right.api.set_items(items(3));
    right.poll().rang(&["tickets.created 3"]);
}

/// What certificates and addresses are refused is tested beside the client, in `http::tests`.
#[test]
fn hosts_that_are_not_there() {
    for (url, codes) in [
        ("http://nobody.invalid/items", &["resolve", "timeout"][..]),
        ("http://127.0.0.1:1/items", &["connect"]),
    ] {
        let daemon = Daemon::new(&tickets(url, ""));
        let poll = daemon.poll("tickets");
        assert!(codes.contains(&poll.fault()) && poll.events().is_empty(), "{url}: {poll:?}");
    }
}
