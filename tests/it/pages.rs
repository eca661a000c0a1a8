//! Listings in pages, as APIs really split them: every style finds every change once, and whatever goes wrong between
//! two pages deletes nothing and loses nothing.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::scene::{item, items};
use crate::support::server::{Received, Server};
use crate::support::wait::wait_until;
use crate::support::{Daemon, Receiver, Reply};

/// Items on a page.
const SIZE: usize = 2;

/// How an API splits its items: the page that is asked for.
type Speak = fn(&Received, &[Value]) -> Reply;

/// Changes what an API says, or leaves it.
type Bend = Arc<dyn Fn(&Received, &[Value]) -> Option<Reply> + Send + Sync>;

/// An API in pages, a receiver, and the daemon between them.
struct Stage {
    server: Server,
    desk: Arc<Mutex<Desk>>,
    receiver: Receiver,
    daemon: Daemon,
}

struct Desk {
    /// As it is from the next listing on: nothing changes while its pages are read, unless a test bends them so.
    next: Rules,
    rules: Rules,
    requests: Vec<Received>,
}

/// What there is, and what is said of it.
#[derive(Clone)]
struct Rules {
    items: Vec<Value>,
    bend: Option<Bend>,
}

impl Desk {
    fn answer(&mut self, received: Received, speak: Speak) -> Reply {
        let first = self.requests.first().unwrap_or(&received);
        if (&first.target, &first.body) == (&received.target, &received.body) {
            self.rules = self.next.clone();
        }
        let Rules { items, bend } = &self.rules;
        let bent = bend.as_ref().and_then(|bend| bend(&received, items));
        let reply = bent.unwrap_or_else(|| speak(&received, items));
        self.requests.push(received);
        reply
    }
}

impl Stage {
    /// Everything runs, and the first items are known. `source` is what the style needs, `URL` in it the API's address.
    #[track_caller]
    fn run(source: &str, speak: Speak, items: &Value) -> Self {
        let items = items.as_array().unwrap().clone();
        let rules = Rules { items, bend: None };
        let desk = Desk { next: rules.clone(), rules, requests: Vec::new() };
        let desk = Arc::new(Mutex::new(desk));
        let behind = Arc::clone(&desk);
        let server =
            Server::start(Arc::new(move |received| behind.lock().unwrap().answer(received, speak)));
        let receiver = Receiver::start();
        let source = source.trim().replace("URL", &format!("http://{}", server.address()));
        let source = source.replace('\n', "\n    ");
        let config = format!(
            "
sources:
  tickets:
    {source}
    key: .id
    every: 100ms
    timeout: 2s
    backoff: {{ first: 50ms, max: 200ms }}
endpoints:
  desk:
    url: '{}'
    secret: any
",
            receiver.url()
        );
        let mut daemon = Daemon::run(&config);
        daemon.wait_until_polled("tickets");
        Self { server, desk, receiver, daemon }
    }

    fn set_items(&self, items: &Value) {
        self.desk.lock().unwrap().next.items.clone_from(items.as_array().unwrap());
    }

    /// From the next listing on `bend` decides first.
    fn bend(&self, bend: impl Fn(&Received, &[Value]) -> Option<Reply> + Send + Sync + 'static) {
        self.desk.lock().unwrap().next.bend = Some(Arc::new(bend));
    }

    fn straighten(&self) {
        self.desk.lock().unwrap().next.bend = None;
    }

    fn requests(&self) -> Vec<Received> {
        self.desk.lock().unwrap().requests.clone()
    }

    /// Waits until polls have not come to their end so often again, with one of `words` in the log.
    #[track_caller]
    fn fails(&mut self, case: &str, words: &str, log_end: usize) {
        let bad = |daemon: &Daemon| {
            ["failed", "limited", "incomplete"]
                .map(|word| daemon.polls("tickets", word))
                .iter()
                .sum::<f64>()
        };
        let before = bad(&self.daemon);
        self.daemon
            .wait_until(&format!("four bad polls: {case}"), |daemon| bad(daemon) >= before + 4.0);
        self.daemon.wait_until(&format!("`{words}` in the log: {case}"), |daemon| {
            !daemon.logged_since(log_end, &["tickets", words]).is_empty()
        });
    }

    /// While `bend` rules nothing is deleted, though the last item is gone from what can be read; afterwards a new item
    /// rings as if nothing had been.
    #[track_caller]
    fn survives(
        &mut self,
        (case, words): (&str, &str),
        bend: impl Fn(&Received, &[Value]) -> Option<Reply> + Send + Sync + 'static,
    ) {
        let (log_end, told) = (self.daemon.log_end(), self.receiver.ledger().story().len());
        self.bend(bend);
        self.fails(case, words, log_end);
        self.straighten();
        let id = self.desk.lock().unwrap().next.items.len() + 1;
        self.set_items(&items(id));
        let created = format!("tickets.created {id}");
        let what = format!("only the new item after: {case}");
        wait_until(&what, || {
            self.receiver.ledger().story().get(told..) == Some(std::slice::from_ref(&created))
        });
    }
}

/// The items from `from` on, and whether there are more behind them.
fn cut(items: &[Value], from: usize) -> (Vec<Value>, bool) {
    let page: Vec<_> = items.iter().skip(from).take(SIZE).cloned().collect();
    let more = from + page.len() < items.len();
    (page, more)
}

fn number(text: Option<&str>) -> Option<usize> {
    text.and_then(|text| text.parse().ok())
}

fn base(received: &Received) -> String {
    format!("http://{}", received.header("host").unwrap())
}

/// GraphQL with a Relay connection: the cursor goes into the body's variables.
fn relay(received: &Received, items: &[Value]) -> Reply {
    let asked: Value = serde_json::from_slice(&received.body).unwrap();
    let variables = asked["variables"].as_object().unwrap();
    assert_eq!(variables["first"], json!(2));
    // Relay servers refuse an `after` that is null or no cursor.
    let from = variables.get("after").map_or(0, |after| {
        after.as_str().and_then(|after| after.strip_prefix("cursor:")).unwrap().parse().unwrap()
    });
    let (page, more) = cut(items, from);
    let end = json!(format!("cursor:{}", from + page.len()));
    Reply::json(&json!({"data": {"issues": {
        "nodes": page, "pageInfo": {"hasNextPage": more, "endCursor": end},
    }}}))
}

const RELAY: &str = r#"
url: URL/graphql
method: POST
body: { query: "query($first: Int) { … }", variables: { first: 2, after: "{{page}}" } }
items: .data.issues.nodes
pages: { next: ".body.data.issues.pageInfo | if .hasNextPage then .endCursor else null end" }
"#;

/// Zendesk's incremental export: the next URL stands in the body even at the end, which a flag tells.
fn zendesk(received: &Received, items: &[Value]) -> Reply {
    let from = number(received.query("cursor")).unwrap_or(0);
    let (page, more) = cut(items, from);
    let next = format!("{}/incremental?cursor={}", base(received), from + page.len());
    Reply::json(&json!({"tickets": page, "after_url": next, "end_of_stream": !more}))
}

const ZENDESK: &str = r#"
url: URL/incremental
items: .tickets
pages: { next_url: "if .end_of_stream then null else .after_url end" }
"#;

/// Salesforce: the next URL is relative, and no word of the query stands in it.
fn salesforce(received: &Received, items: &[Value]) -> Reply {
    let from = number(received.path().strip_prefix("/query/rest-")).unwrap_or(0);
    let (page, more) = cut(items, from);
    let mut answer = json!({"done": !more, "records": page});
    if more {
        answer["nextRecordsUrl"] = json!(format!("/query/rest-{}", from + SIZE));
    }
    Reply::json(&answer)
}

const SALESFORCE: &str = "
url: URL/query
query: { q: SELECT Id FROM Case }
items: .records
pages: { next_url: .nextRecordsUrl }
";

/// Jira: `startAt` and `total`, and fewer results than were asked for.
fn jira(received: &Received, items: &[Value]) -> Reply {
    assert_eq!(received.query("maxResults"), Some("500"));
    let from = number(received.query("startAt")).unwrap();
    let (page, _) = cut(items, from);
    Reply::json(&json!({"startAt": from, "total": items.len(), "issues": page}))
}

const JIRA: &str = "
url: URL/search
items: .issues
pages: { offset: startAt, limit: { maxResults: 500 }, total: .total }
";

/// Jira's search by POST: the offset goes into the body.
fn jira_post(received: &Received, items: &[Value]) -> Reply {
    let asked: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(asked["jql"], "project = A");
    let from =
        asked.get("startAt").map_or(0, |from| usize::try_from(from.as_u64().unwrap()).unwrap());
    let (page, _) = cut(items, from);
    Reply::json(&json!({"startAt": from, "total": items.len(), "issues": page}))
}

const JIRA_POST: &str = r#"
url: URL/search
method: POST
body: { jql: project = A, startAt: "{{page}}" }
items: .issues
pages:
  next: ".body | (.startAt + (.issues | length)) as $next | if $next < .total then $next else null end"
"#;

/// Page numbers that say which is the last.
fn numbered(received: &Received, items: &[Value]) -> Reply {
    let page = number(received.query("page")).unwrap();
    assert_eq!(received.query("per_page"), Some("2"));
    let (shown, _) = cut(items, (page - 1) * SIZE);
    let pages = items.len().div_ceil(SIZE);
    Reply::json(&json!({"items": shown, "page": page, "pages": pages, "is_last": page >= pages}))
}

const NUMBERED: &str = "
url: URL/items?state=all
items: .items
pages: { page: page, size: { per_page: 2 }, last: .pages }
";

const NUMBERED_WITH_A_FLAG: &str = "
url: URL/items
items: .items
pages: { page: page, size: { per_page: 2 }, last: .is_last }
";

const NUMBERED_WITHOUT_END: &str = "
url: URL/items
items: .items
pages: { page: page, size: { per_page: 2 } }
";

/// A bare array by page numbers from zero, nothing else.
fn from_zero(received: &Received, items: &[Value]) -> Reply {
    let page = number(received.query("p")).unwrap();
    Reply::json(&Value::from(cut(items, page * SIZE).0))
}

const FROM_ZERO: &str = "
url: URL/items
pages: { page: p, start: 0 }
";

/// Slack: a token for a parameter, empty at the end.
fn slack(received: &Received, items: &[Value]) -> Reply {
    let from = number(received.query("cursor").and_then(|cursor| cursor.strip_suffix("%3D%3D")))
        .unwrap_or(0);
    assert_eq!(received.query("cursor").is_some(), from > 0, "{}", received.target);
    let (page, more) = cut(items, from);
    let next = if more { format!("{}==", from + SIZE) } else { String::new() };
    Reply::json(&json!({"ok": true, "members": page, "response_metadata": {"next_cursor": next}}))
}

const SLACK: &str = "
url: URL/users.list?limit=2
items: .members
fail_when: .ok == false
pages: { cursor: .response_metadata.next_cursor, param: cursor }
";

/// A token in a header, asked for by a header.
fn by_headers(received: &Received, items: &[Value]) -> Reply {
    let from = number(received.header("x-continue")).unwrap_or(0);
    let (page, more) = cut(items, from);
    let reply = Reply::json(&Value::from(page));
    if more { reply.header("X-Continuation", &(from + SIZE).to_string()) } else { reply }
}

const BY_HEADERS: &str = r#"
url: URL/items
headers: { X-Continue: "{{page}}" }
pages: { next: '.headers["x-continuation"]' }
"#;

/// `Link` headers, with empty pages in between: the API cuts first and leaves items out later.
fn linked(received: &Received, items: &[Value]) -> Reply {
    let page = number(received.query("page")).unwrap_or(1);
    let shown = if page.is_multiple_of(2) { Vec::new() } else { cut(items, (page / 2) * SIZE).0 };
    let reply = Reply::json(&Value::from(shown));
    let more = page < items.len().div_ceil(SIZE) * 2;
    if more { reply.header("Link", &format!("<?page={}>; rel=\"next\"", page + 1)) } else { reply }
}

const LINKED: &str = "
url: URL/items
pages: link
";

/// One item is new, one another and one gone, on different pages.
#[track_caller]
fn tells_every_change(source: &str, speak: Speak) -> Vec<Received> {
    let mut stage = Stage::run(source, speak, &items(7));
    let first_poll = stage.requests();
    let changed =
        json!([item(1), item(2), item(3), {"id": 4, "status": "open"}, item(6), item(7), item(8)]);
    stage.set_items(&changed);
    stage.receiver.expect(&["tickets.created 8", "tickets.deleted 5", "tickets.updated 4"]);
    stage.set_items(&json!([]));
    let gone: Vec<_> = [1, 2, 3, 4, 6, 7, 8].map(|id| format!("tickets.deleted {id}")).into();
    let gone = ["tickets.created 8", "tickets.deleted 5", "tickets.updated 4"]
        .map(String::from)
        .into_iter()
        .chain(gone);
    stage.receiver.expect(&gone.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
    for word in ["failed", "incomplete"] {
        assert!(stage.daemon.polls("tickets", word) < 1.0, "polls ended {word}");
    }
    assert!(stage.daemon.term().success());
    first_poll
}

#[test]
fn next_pages_by_post() {
    let polls = tells_every_change(RELAY, relay);
    let first: Value = serde_json::from_slice(&polls[0].body).unwrap();
    assert_eq!(first["variables"], json!({"first": 2}));
    tells_every_change(JIRA_POST, jira_post);
}

#[test]
fn next_pages_by_urls() {
    tells_every_change(ZENDESK, zendesk);
    tells_every_change(SALESFORCE, salesforce);
    tells_every_change(LINKED, linked);
}

#[test]
fn next_pages_by_tokens() {
    tells_every_change(SLACK, slack);
    tells_every_change(BY_HEADERS, by_headers);
}

#[test]
fn next_pages_by_numbers() {
    let targets = |polls: &[Received], count: usize| -> Vec<String> {
        polls.iter().take(count).map(|received| received.target.clone()).collect()
    };
    let polls = tells_every_change(NUMBERED, numbered);
    let expected = [1, 2, 3, 4].map(|page| format!("/items?state=all&page={page}&per_page=2"));
    assert_eq!(targets(&polls, 4), expected);
    tells_every_change(NUMBERED_WITH_A_FLAG, numbered);
    let polls = tells_every_change(NUMBERED_WITHOUT_END, numbered);
    assert_eq!(polls[4].query("page"), Some("5"), "an empty page ends");
    let polls = tells_every_change(FROM_ZERO, from_zero);
    assert_eq!(targets(&polls, 5), [0, 1, 2, 3, 4].map(|page| format!("/items?p={page}")));
    let polls = tells_every_change(JIRA, jira);
    let expected = [0, 2, 4, 6].map(|from| format!("/search?startAt={from}&maxResults=500"));
    assert_eq!(targets(&polls, 4), expected);
}

/// Whether it is not the first page that is asked for.
fn is_later(received: &Received) -> bool {
    received.query("page").is_some_and(|page| page != "1")
}

#[test]
fn what_goes_wrong_on_a_later_page_deletes_nothing() {
    let mut stage = Stage::run(NUMBERED_WITHOUT_END, numbered, &items(6));
    let later = |reply: Reply| {
        move |received: &Received, _: &[Value]| is_later(received).then(|| reply.clone())
    };
    let json = |text: &str| Reply::text("application/json", text);
    for (case, reply, words) in [
        ("it is broken", Reply::status(500), "500"),
        ("it is half there", json(r#"{"items":[{"id":3,"#), "JSON"),
        ("it is a part", json(r#"{"items":[]}"#).with_status(206), "206"),
        ("it is a page for people", Reply::html(), "text/html"),
        ("it has no list", json(r#"{"error":"try again"}"#), "no list"),
        ("it has an object for a list", json(r#"{"items":7}"#), "no list"),
        ("it is not modified", Reply::status(304), "304"),
        ("it wants to be left alone", Reply::status(429), "429"),
        ("it is nothing", Reply::reset(), "ended before"),
    ] {
        stage.survives((case, words), later(reply));
    }
    let first =
        |_: &Received, items: &[Value]| Some(Reply::json(&json!({"items": cut(items, 0).0})));
    stage.survives(("the parameter is not known", "came twice"), first);
    let stamped = std::sync::atomic::AtomicUsize::new(0);
    stage.survives(("the same with a stamp", "came twice"), move |_, items| {
        let stamp = stamped.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Some(Reply::json(&json!({"items": cut(items, 0).0, "stamp": stamp})))
    });
}

#[test]
fn a_listing_that_leads_astray_deletes_nothing() {
    let mut stage = Stage::run(SLACK, slack, &items(6));
    stage.survives(
        ("the token repeats", "token for the next page came twice"),
        |received, items| {
            let shown = cut(items, if received.query("cursor").is_some() { SIZE } else { 0 }).0;
            Some(Reply::json(&json!({"members": shown, "response_metadata": {"next_cursor": "x"}})))
        },
    );
    let page =
        |next: Value| json!({"members": [item(1)], "response_metadata": {"next_cursor": next}});
    let odd = page(json!({}));
    stage.survives(("the token is none", "cannot be used"), move |_, _| Some(Reply::json(&odd)));
    stage.survives(("it says no", "fail_when"), |_, _| {
        Some(Reply::json(&json!({"ok": false, "members": []})))
    });

    let mut stage = Stage::run(ZENDESK, zendesk, &items(6));
    let elsewhere = Server::start(Arc::new(|_| panic!("nobody may be asked elsewhere")));
    let away = format!("http://{}/incremental?cursor=2", elsewhere.address());
    stage.survives(("another origin", "but the source is on"), move |_, items| {
        let page = cut(items, 0).0;
        Some(Reply::json(&json!({"tickets": page, "after_url": away, "end_of_stream": false})))
    });
    stage.survives(("a circle", "came before"), |received, items| {
        let from = number(received.query("cursor")).unwrap_or(0);
        let next = format!("/incremental?cursor={}", if from == 4 { 2 } else { from + SIZE });
        let page = cut(items, from).0;
        Some(Reply::json(&json!({"tickets": page, "after_url": next, "end_of_stream": false})))
    });
    assert_eq!(stage.server.address().ip().to_string(), "127.0.0.1");
}

#[test]
fn more_pages_than_allowed_are_told() {
    let bounded = SLACK.replace("param: cursor", "param: cursor, max: 4");
    let mut stage = Stage::run(&bounded, slack, &items(8));
    let log_end = stage.daemon.log_end();
    stage.set_items(&items(9));
    stage.fails("a fifth page", "more than 4 pages", log_end);
    stage.receiver.expect(&[]);
    stage.set_items(&items(7));
    stage.receiver.expect(&["tickets.deleted 8"]);
}

#[test]
fn a_listing_that_moves_proves_no_absence() {
    // The last item is not to be seen, and one stands on two pages: somebody was put in before it.
    let mut stage = Stage::run(NUMBERED, numbered, &items(6));
    let shift = |received: &Received, items: &[Value]| {
        let page = number(received.query("page")).unwrap();
        let from = if page == 1 { 0 } else { (page - 1) * SIZE - 1 };
        let shown = cut(items, from).0;
        Some(Reply::json(&json!({"items": shown, "pages": 3})))
    };
    stage.survives(("an item on two pages", "stands on two of them"), shift);
    stage.survives(("other pages", "announced"), |received, items| {
        let page = number(received.query("page")).unwrap();
        let pages = if page == 1 { 3 } else { 2 };
        Some(Reply::json(&json!({"items": cut(items, (page - 1) * SIZE).0, "pages": pages})))
    });
    stage.survives(("an empty page before the last", "not the last"), |received, items| {
        let page = number(received.query("page")).unwrap();
        let shown = if page == 1 { cut(items, 0).0 } else { Vec::new() };
        Some(Reply::json(&json!({"items": shown, "pages": 4})))
    });

    let mut stage = Stage::run(JIRA, jira, &items(6));
    stage.survives(("another total", "announced"), |received, items| {
        let from = number(received.query("startAt")).unwrap();
        let total = if from == 0 { 5 } else { 4 };
        Some(Reply::json(&json!({"total": total, "issues": cut(&items[..4], from).0})))
    });
    stage.survives(("fewer than the total", "but the API counts"), |received, items| {
        let from = number(received.query("startAt")).unwrap();
        Some(Reply::json(&json!({"total": 6, "issues": cut(&items[..4], from).0})))
    });
    // Really gone is told as ever.
    let count = stage.desk.lock().unwrap().next.items.len();
    let told = stage.receiver.ledger().story().len();
    stage.set_items(&items(count - 1));
    let gone = format!("tickets.deleted {count}");
    wait_until("the deletion", || {
        stage.receiver.ledger().story().get(told..) == Some(std::slice::from_ref(&gone))
    });
}

#[test]
fn what_the_pages_before_a_fault_showed_rings_at_once() {
    let mut stage = Stage::run(NUMBERED, numbered, &items(6));
    let log_end = stage.daemon.log_end();
    stage.bend(|received, _| is_later(received).then(|| Reply::status(500)));
    stage.set_items(
        &json!([{"id": 1, "status": "open"}, item(2), item(3), item(4), item(5), item(7)]),
    );
    stage.fails("the second page is broken", "500", log_end);
    stage.receiver.expect(&["tickets.updated 1"]);
    stage.straighten();
    stage.receiver.expect(&["tickets.updated 1", "tickets.created 7", "tickets.deleted 6"]);
}

#[test]
fn errors_of_graphql_are_heard() {
    let secret = "s3cret-token-of-the-api";
    let source = format!("{RELAY}\nauth: {{ bearer: {secret} }}");
    let mut stage = Stage::run(source.trim(), relay, &items(4));
    let log_end = stage.daemon.log_end();
    stage.survives(("no data", "it says: bad token"), move |_, _| {
        let errors = json!([{"message": format!("bad token {secret}")}]);
        Some(Reply::json(&json!({"data": null, "errors": errors})))
    });
    assert!(stage.daemon.logged_since(log_end, &[secret]).is_empty());
    stage.survives(("with a bad status", "it says: too complex"), |_, _| {
        Some(Reply::json(&json!({"errors": [{"message": "too complex"}]})).with_status(400))
    });
    stage.survives(("a part", "errors beside its data"), |_, items| {
        let issues = json!({"nodes": items[..2], "pageInfo": {"hasNextPage": false}});
        Some(Reply::json(&json!({"data": {"issues": issues}, "errors": [{"message": "no"}]})))
    });
}
