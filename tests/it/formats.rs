//! What is not JSON rings as if it were: feeds, tables, lines, XML, compressed or in another charset. What cannot be read
//! to its end rings nothing.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{ApiServer, Daemon, Receiver, Reply};

/// A daemon that polls one source, `things`, and rings one endpoint.
struct Stage {
    api: ApiServer,
    receiver: Receiver,
    daemon: Daemon,
    /// The last answer that was one.
    good: Reply,
}

impl Stage {
    /// The first answer is a baseline; `keys` are what the source has beside its URL.
    #[track_caller]
    fn with(first: Reply, keys: &str) -> Self {
        let (api, receiver) = (ApiServer::start(), Receiver::start());
        api.always(first.clone());
        let source = format!(
            "{{ url: '{}', every: 100ms, backoff: {{ first: 50ms, max: 200ms }}, {keys} }}",
            api.url()
        );
        let endpoint = format!("{{ url: '{}', secret: any }}", receiver.url());
        let config =
            format!("sources: {{ things: {source} }}\nendpoints: {{ desk: {endpoint} }}\n");
        let mut daemon = Daemon::run(&config);
        daemon.wait_until_polled("things");
        Self { api, receiver, daemon, good: first }
    }

    /// The API answers so from now on, and exactly these have rung by then, as `TYPE KEY`.
    #[track_caller]
    fn then(&mut self, reply: Reply, story: &[&str]) {
        self.good = reply.clone();
        self.api.always(reply);
        self.daemon.wait_for_good_polls("things", 2);
        self.receiver.expect(story);
    }

    /// The API answers so until two polls have failed, and the log says `words`; nothing rings. Then it is as before.
    #[track_caller]
    fn fails(&mut self, reply: Reply, words: &str) {
        let failed = |daemon: &Daemon| daemon.polls("things", "failed");
        let (before, log_end) = (failed(&self.daemon), self.daemon.log_end());
        let rings = self.receiver.ledger().rings.len();
        self.api.always(reply);
        self.daemon.wait_until("two failed polls", |daemon| failed(daemon) >= before + 2.0);
        self.daemon.wait_until(&format!("{words:?} in the log"), |daemon| {
            !daemon.logged_since(log_end, &["things", words]).is_empty()
        });
        self.api.always(self.good.clone());
        self.daemon.wait_for_good_polls("things", 1);
        assert_eq!(self.receiver.ledger().rings.len(), rings, "a failed poll rang");
    }

    /// The `data` of the last event.
    fn data(&self) -> Value {
        self.receiver.ledger().rings.last().expect("an event").event["data"].clone()
    }
}

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn rss(ids: &[u32]) -> Reply {
    let item = |id: &u32| {
        format!(
            "<item><title>Release {id}</title><link>https://x.example/{id}</link><guid>r{id}</guid>\
             <pubDate>Wed, 02 Oct 2002 13:00:00 GMT</pubDate></item>"
        )
    };
    let items: String = ids.iter().map(item).collect();
    let body =
        format!("<?xml version=\"1.0\"?><rss version=\"2.0\"><channel>{items}</channel></rss>");
    Reply::text("application/rss+xml; charset=utf-8", body)
}

#[test]
fn a_feed_rings_for_what_is_new_and_never_for_what_scrolled_off() {
    for keys in ["format: feed", ""] {
        let mut stage = Stage::with(rss(&[2, 1]).header("ETag", "\"a\""), keys);
        stage.then(rss(&[3, 2]), &["things.created r3"]);
        let expected = json!({
            "id": "r3", "title": "Release 3", "link": "https://x.example/3",
            "published": "2002-10-02T13:00:00Z", "updated": null, "summary": null,
        });
        assert_eq!(stage.data(), expected, "{keys}");
        stage.fails(Reply::text("application/rss+xml", "<rss><channel><item>"), "cut");
        // The old one is back: it was only out of sight.
        stage.then(rss(&[2, 1]), &["things.created r3"]);
        assert!(stage.daemon.term().success());
    }
}

#[test]
fn a_feed_that_has_not_changed_is_asked_for_by_its_tag() {
    let mut stage = Stage::with(rss(&[1]).header("ETag", "\"a\""), "format: feed");
    stage.api.always(Reply::status(304).header("ETag", "\"a\""));
    stage.daemon.wait_until("a 304", |daemon| daemon.polls("things", "not_modified") >= 1.0);
    let last = stage.api.requests().pop().unwrap();
    assert_eq!(last.header("if-none-match"), Some("\"a\""));
    assert!(last.header("accept").unwrap().contains("application/atom+xml"), "{last:?}");
    stage.then(rss(&[2, 1]), &["things.created r2"]);
}

#[test]
fn a_nightly_table_rings_for_a_price_that_fell() {
    let keys = "key: .sku, format: {csv: {delimiter: \";\"}}, events: \
                [{type: price.dropped, on: updated, when: '(.after.price|tonumber) < (.before.price|tonumber) * 0.95'}]";
    let table = |prices: [&str; 3]| {
        let rows =
            ["a;", "b;", "c;"].iter().zip(prices).map(|(sku, price)| format!("{sku}{price}\r\n"));
        gz(&format!("\u{feff}sku;price\r\n{}", rows.collect::<String>()))
    };
    let file = |body: Vec<u8>| Reply::text("application/gzip", body);
    let mut stage = Stage::with(file(table(["100", "50", "9.99"])), keys);
    stage.then(file(table(["80", "49", "10.99"])), &["price.dropped a"]);
    assert_eq!(stage.data(), json!({ "sku": "a", "price": "80" }));
    let whole = table(["1", "1", "1"]);
    stage.fails(file(whole[..whole.len() - 9].to_vec()), "decompress");
    stage.fails(file(gz("sku;price\r\na;1\r\nb\r\n")), "line 3 has 1 field");
    stage.fails(file(gz("sku;price\r\na;\"1\r\n")), "never closed");
    stage.then(file(table(["80", "40", "10.99"])), &["price.dropped a", "price.dropped b"]);
}

#[test]
fn lines_ring_and_a_line_that_was_cut_does_not() {
    let lines = |text: &str| Reply::text("application/x-ndjson", text);
    let mut stage = Stage::with(lines("{\"id\":1}\n{\"id\":2}\n"), "key: .id, deletes: {after: 1}");
    stage.fails(lines("{\"id\":1}\n{\"id\":2,\"x\":\"y"), "line 2");
    stage.then(lines("{\"id\":1}\n{\"id\":3}\n"), &["things.deleted 2", "things.created 3"]);
}

#[test]
fn xml_in_another_charset_is_read_and_its_bombs_are_not() {
    let xml = |names: &[&str]| {
        let items = names.iter().enumerate().map(|(at, name)| format!("<b id='{at}'>{name}</b>"));
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>{}</a>",
            items.collect::<String>()
        );
        let latin1: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
        Reply::text("application/xml", latin1)
    };
    let mut stage = Stage::with(xml(&["x"]), "items: .a.b, key: '.\"@id\"', format: xml");
    stage.then(xml(&["x", "café"]), &["things.created 1"]);
    assert_eq!(stage.data(), json!({ "@id": "1", "#text": "café" }));
    let laughs =
        "<!DOCTYPE a [<!ENTITY x \"xxxx\"><!ENTITY y \"&x;&x;\">]><a><b id='2'>&y;</b></a>";
    stage.fails(Reply::text("application/xml", laughs), "DOCTYPE");
    stage.fails(Reply::text("application/xml", "<a>".repeat(10_000)), "levels of elements");
    stage
        .fails(Reply::text("application/xml; charset=x-none", "<a/>"), "charset that is not known");
}
