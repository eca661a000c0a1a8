//! Several vendors have an order API each, each with its own way to sign in and its own pages. One agent wants to hear of
//! new orders, and not of whose they are made.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::reply::Reply;
use crate::support::server::Received;
use crate::support::wait::stays;
use crate::support::{Daemon, Receiver, Script, Shared};

/// Orders on a page, at every vendor.
const PAGE: usize = 3;

/// A vendor: who may look, and how its pages are found.
struct Vendor {
    api: Script,
    orders: Shared<usize>,
    key: Shared<String>,
}

impl Vendor {
    /// `is_let_in` looks at a request and the key of the day; `speak` gives a page of so many orders.
    fn open(is_let_in: fn(&Received, &str) -> bool, speak: fn(&Received, usize) -> Reply) -> Self {
        let (orders, key) = (Shared::new(7), Shared::new(String::from("s3cret")));
        let (placed, valid) = (orders.clone(), key.clone());
        let api = Script::start(move |received| {
            if is_let_in(received, &valid.get()) {
                speak(received, placed.get())
            } else {
                Reply::json(&json!({ "error": "who are you?" })).with_status(401)
            }
        });
        Self { api, orders, key }
    }

    fn sells(&self) {
        self.orders.with(|orders| *orders += 1);
    }
}

/// The numbers of the orders after the first `skipped`, as many as there are on a page.
fn some(orders: usize, skipped: usize) -> impl Iterator<Item = usize> {
    (1..=orders).skip(skipped).take(PAGE)
}

fn parameter(received: &Received, name: &str) -> usize {
    received.query(name).map_or(0, |value| value.parse().unwrap())
}

/// Ashop: a bearer token, `Link` headers, prices as text.
fn ashop() -> Vendor {
    Vendor::open(
        |received, key| received.header("authorization") == Some(&format!("Bearer {key}")),
        |received, orders| {
            let skipped = parameter(received, "from");
            let shown: Vec<_> = some(orders, skipped)
                .map(|id| json!({ "id": id, "total_price": format!("{id}.50"), "currency": "EUR" }))
                .collect();
            let reply = Reply::json(&Value::from(shown));
            if orders <= skipped + PAGE {
                return reply;
            }
            reply.header("Link", &format!("</orders?from={}>; rel=\"next\"", skipped + PAGE))
        },
    )
}

/// Bmarket: a key in a header, a cursor in the body, cents.
fn bmarket() -> Vendor {
    Vendor::open(
        |received, key| received.header("x-api-key") == Some(key),
        |received, orders| {
            let skipped = parameter(received, "cursor");
            let shown: Vec<_> = some(orders, skipped)
                .map(|id| json!({ "order": { "number": format!("B-{id}"), "cents": id * 100 + 50 }, "cur": "USD" }))
                .collect();
            let next = (orders > skipped + PAGE).then(|| (skipped + PAGE).to_string());
            Reply::json(&json!({ "data": { "orders": shown }, "next": next }))
        },
    )
}

/// Cstore: a user with a password, numbered pages that say which is the last.
fn cstore() -> Vendor {
    Vendor::open(
        |received, key| {
            let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("shop:{key}")));
            received.header("authorization") == Some(&basic)
        },
        |received, orders| {
            let page = parameter(received, "page").max(1);
            let shown: Vec<_> = some(orders, (page - 1) * PAGE)
                .map(|id| json!({ "uuid": format!("c{id}"), "sum": { "value": f64::from(u32::try_from(id).unwrap()) + 0.5, "unit": "CHF" } }))
                .collect();
            Reply::json(
                &json!({ "results": shown, "meta": { "last_page": orders.div_ceil(PAGE) } }),
            )
        },
    )
}

/// Dmall: a token for client credentials, which every request has to show; offsets and a total.
fn dmall() -> Vendor {
    Vendor::open(
        |received, key| {
            let shown = received.header("authorization").unwrap_or_default();
            if received.path() != "/token" {
                return shown == format!("Bearer granted-for-{key}");
            }
            let form = String::from_utf8_lossy(&received.body);
            received.method == "POST"
                && form.contains("grant_type=client_credentials")
                && form.contains("scope=orders")
                && shown == format!("Basic {}", BASE64_STANDARD.encode(format!("desk:{key}")))
        },
        |received, orders| {
            if received.path() == "/token" {
                let token = "granted-for-s3cret";
                let granted =
                    json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 });
                return Reply::json(&granted);
            }
            let skipped = parameter(received, "skip");
            let shown: Vec<_> = some(orders, skipped)
                .map(|id| json!({ "ref": { "no": id }, "amount": format!("{id},50 PLN") }))
                .collect();
            Reply::json(&json!({ "orders": shown, "total": orders }))
        },
    )
}

fn config(vendors: &[Vendor; 4], receiver: &Receiver) -> String {
    let url = |vendor: &Vendor| vendor.api.url_of("/orders");
    let [ashop, bmarket, cstore, dmall] = vendors;
    format!(
        "
defaults: {{ every: 100ms, backoff: {{ first: 50ms, max: 200ms }} }}
apis:
  ashop: {{ auth: {{ bearer: '${{A_KEY}}' }} }}
  bmarket: {{ auth: {{ header: {{ X-Api-Key: '${{B_KEY}}' }} }} }}
  cstore: {{ auth: {{ basic: {{ user: shop, password: '${{C_KEY}}' }} }} }}
  dmall: {{ auth: {{ oauth2: {{ token_url: '{}', client_id: desk, client_secret: '${{D_KEY}}', scopes: orders }} }} }}
sources:
  ashop:
    api: ashop
    url: '{}'
    key: .id
    pages: link
    events:
      - {{ type: order.created, on: created, data: '{{vendor: \"ashop\", order_id: .key, total: (.after.total_price | tonumber), currency: .after.currency}}' }}
  bmarket:
    api: bmarket
    url: '{}'
    items: .data.orders
    key: .order.number
    pages: {{ cursor: .next, param: cursor }}
    events:
      - {{ type: order.created, on: created, data: '{{vendor: \"bmarket\", order_id: .key, total: (.after.order.cents / 100), currency: .after.cur}}' }}
  cstore:
    api: cstore
    url: '{}'
    items: .results
    key: .uuid
    pages: {{ page: page, last: .meta.last_page }}
    events:
      - {{ type: order.created, on: created, data: '{{vendor: \"cstore\", order_id: .key, total: .after.sum.value, currency: .after.sum.unit}}' }}
  dmall:
    api: dmall
    url: '{}'
    items: .orders
    key: .ref.no
    pages: {{ offset: skip, limit: {{ take: 3 }}, total: .total }}
    events:
      - {{ type: order.created, on: created, data: '{{vendor: \"dmall\", order_id: .key, total: (.after.amount | split(\" \") | .[0] | sub(\",\"; \".\") | tonumber), currency: (.after.amount | split(\" \") | .[1])}}' }}
endpoints:
  agent: {{ url: '{}', secret: any, retry: {{ first: 50ms, max: 200ms, for: 1h }} }}
",
        dmall.api.url_of("/token"),
        url(ashop),
        url(bmarket),
        url(cstore),
        url(dmall),
        receiver.url()
    )
}

fn all() -> [Vendor; 4] {
    [ashop(), bmarket(), cstore(), dmall()]
}

fn run(vendors: &[Vendor; 4], receiver: &Receiver) -> Daemon {
    let mut daemon = Daemon::new(&config(vendors, receiver));
    for name in ["A_KEY", "B_KEY", "C_KEY", "D_KEY"] {
        daemon.set_env(name, "s3cret");
    }
    daemon.start();
    for source in ["ashop", "bmarket", "cstore", "dmall"] {
        daemon.wait_until_polled(source);
    }
    daemon
}

#[test]
fn orders_of_all_vendors_arrive_in_one_shape() {
    let (vendors, receiver) = (all(), Receiver::start());
    let mut daemon = run(&vendors, &receiver);
    for vendor in &vendors {
        vendor.sells();
    }
    let story = ["order.created 8", "order.created B-8", "order.created c8", "order.created 8"];
    receiver.expect(&story);
    let ledger = receiver.ledger();
    for (vendor, key, currency) in [
        ("ashop", "8", "EUR"),
        ("bmarket", "B-8", "USD"),
        ("cstore", "c8", "CHF"),
        ("dmall", "8", "PLN"),
    ] {
        let mut of_key = ledger.of_key(key).into_iter().map(|ring| &ring.event);
        let event = of_key.find(|event| event["source"] == vendor).unwrap();
        let data = json!({ "vendor": vendor, "order_id": key, "total": 8.5, "currency": currency });
        assert_eq!((&event["source"], &event["data"]), (&json!(vendor), &data));
    }
    // One token for all polls and pages, asked for once.
    let [.., dmall] = &vendors;
    let asked = dmall.api.requests().iter().filter(|asked| asked.path() == "/token").count();
    assert_eq!(asked, 1);
    assert!(!daemon.log_text().contains("s3cret"));
    assert!(daemon.term().success());
}

#[test]
fn one_vendors_trouble_is_its_own() {
    let (vendors, receiver) = (all(), Receiver::start());
    let mut daemon = run(&vendors, &receiver);
    let [ashop, bmarket, cstore, dmall] = &vendors;
    bmarket.key.set(String::from("another"));
    daemon.wait_until("a refused poll", |daemon| daemon.polls("bmarket", "failed") > 1.5);
    for vendor in &vendors {
        vendor.sells();
    }
    receiver.expect(&["order.created 8", "order.created c8", "order.created 8"]);
    let broken = daemon.control_json("/v1/sources/bmarket");
    assert_eq!(broken["fault"]["code"], "http_401", "{broken}");

    // What was sold meanwhile is not lost, and nothing was deleted.
    bmarket.key.set(String::from("s3cret"));
    let story = ["order.created 8", "order.created c8", "order.created 8", "order.created B-8"];
    receiver.expect(&story);
    for vendor in [ashop, cstore, dmall] {
        stays("all are still polled", || !vendor.api.requests().is_empty());
    }
    assert!(daemon.term().success());
}

#[test]
fn a_vendor_that_grants_no_token_is_asked_again_until_it_does() {
    let (vendors, receiver) = (all(), Receiver::start());
    let mut daemon = run(&vendors, &receiver);
    let [.., dmall] = &vendors;
    // Tokens granted before are worth nothing from here on, and new ones are not granted.
    dmall.key.set(String::from("another"));
    daemon.wait_until("a refused poll", |daemon| daemon.polls("dmall", "failed") > 1.5);
    let broken = daemon.control_json("/v1/sources/dmall")["fault"].clone();
    assert_eq!(broken["whose"], "source", "{broken}");
    dmall.sells();
    dmall.key.set(String::from("s3cret"));
    receiver.expect(&["order.created 8"]);
    assert!(!daemon.log_text().contains("s3cret"));
    assert!(daemon.term().success());
}
