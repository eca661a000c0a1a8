//! Salesforce: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_queryall.htm>, and its
//! tokens: <https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_jwt_flow.htm>.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::kitchen::{Kitchen, bad_request, form, params};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are batches.
const BATCH_RECORDS: usize = 2;

/// A result that is handed out in batches, by the locator of its next one.
type Cursors = Shared<BTreeMap<String, Vec<Value>>>;

fn opportunity(number: u64, minute: u64, stage: &str) -> Value {
    let id = id(number);
    json!({
        "attributes": { "type": "Opportunity", "url": format!("/services/data/v62.0/sobjects/Opportunity/{id}") },
        "Id": id, "Name": format!("Deal {number}"), "StageName": stage, "Amount": 1500.0, "IsDeleted": false,
        "SystemModstamp": format!("2026-11-21T10:{minute:02}:00.000+0000"),
    })
}

fn id(number: u64) -> String {
    format!("006D00000{number:06}IAX")
}

fn key(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/tls").join(name)
}

/// The login server: checks the assertion as it is told to, and does not say how long the token holds.
fn login(received: &Received, granted: &Shared<usize>) -> Reply {
    let asked = form(received);
    assert_eq!(asked["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (message, signature) = asked["assertion"].rsplit_once('.').unwrap();
    let public =
        BASE64_STANDARD.decode(fs::read_to_string(key("rsa.pub.b64")).unwrap().trim()).unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    if public.verify(message.as_bytes(), &signature).is_err() {
        return Reply::json(&json!({ "error": "invalid_grant" })).with_status(400);
    }
    let claims = BASE64_URL_SAFE_NO_PAD.decode(message.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    let said = ["iss", "sub", "aud"].map(|name| claims[name].as_str().unwrap().to_owned());
    assert_eq!(said[..2], ["3MVG9consumer", "doorbell@acme.example"]);
    // The recipe's host is replaced there too.
    assert_eq!(said[2], format!("http://{}", received.header("host").unwrap()));
    let number = granted.with(|granted| {
        *granted += 1;
        *granted
    });
    Reply::json(&json!({
        "access_token": format!("00Dsession{number}"), "scope": "api", "token_type": "Bearer",
        "instance_url": "https://acme.my.salesforce.com", "id": "https://login.salesforce.com/id/00D/005",
    }))
}

/// One batch, and the locator of the rest.
fn batch(mut records: Vec<Value>, total: usize, cursors: &Cursors) -> Reply {
    let rest = records.split_off(records.len().min(BATCH_RECORDS));
    let mut answer = json!({ "totalSize": total, "done": rest.is_empty(), "records": records });
    if !rest.is_empty() {
        let url = cursors.with(|cursors| {
            let url = format!("/services/data/v62.0/query/01gD0000002HU6K-{}", cursors.len());
            cursors.insert(url.clone(), rest);
            url
        });
        answer["nextRecordsUrl"] = json!(url);
    }
    Reply::json(&answer)
}

fn answer(received: &Received, records: &[Value], cursors: &Cursors, session: usize) -> Reply {
    let token = format!("Bearer 00Dsession{session}");
    if received.header("authorization") != Some(&token) {
        let error =
            json!([{ "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID" }]);
        return Reply::json(&error).with_status(401);
    }
    if received.path().starts_with("/services/data/v62.0/query/") {
        let rest = cursors.with(|cursors| cursors.get(&received.target).cloned());
        return rest.map_or_else(|| Reply::status(404), |rest| batch(rest, records.len(), cursors));
    }
    assert_eq!(received.path(), "/services/data/v62.0/queryAll");
    let soql = params(received).remove("q").unwrap_or_default();
    let head = "SELECT Id, Name, StageName, Amount, IsDeleted, SystemModstamp FROM Opportunity WHERE SystemModstamp >= ";
    let since =
        soql.strip_prefix(head).and_then(|rest| rest.strip_suffix(" ORDER BY SystemModstamp, Id"));
    let Some(since) = since.and_then(|since| since.parse::<Timestamp>().ok()) else {
        return bad_request(&format!("MALFORMED_QUERY: {soql}"));
    };
    let stamp = |record: &Value| {
        let text = record["SystemModstamp"].as_str().unwrap().replace("+0000", "Z");
        text.parse::<Timestamp>().unwrap()
    };
    let mut meant: Vec<_> =
        records.iter().filter(|record| stamp(record) >= since).cloned().collect();
    meant.sort_by_key(stamp);
    let total = meant.len();
    batch(meant, total, cursors)
}

#[test]
fn opportunities_ring_through_a_session_that_ends() {
    let records =
        Shared::new((1..=5).map(|at| opportunity(at, at, "Prospecting")).collect::<Vec<_>>());
    let (shown, cursors) = (records.clone(), Shared::new(BTreeMap::new()));
    let (granted, session) = (Shared::new(0), Shared::new(1));
    let (grants, sessions) = (granted.clone(), session.clone());
    let api = Script::start(move |received| match received.path() {
        "/services/oauth2/token" => login(received, &grants),
        _ => answer(received, &shown.get(), &cursors, sessions.get()),
    });
    let set = |number: u64, record: Value| {
        records.with(|records| {
            records.retain(|known| known["Id"] != id(number).as_str());
            records.push(record);
        });
    };
    let kitchen = Kitchen::of("Salesforce opportunities")
        .host("https://acme.my.salesforce.com", &api)
        .host("https://login.salesforce.com", &api)
        .secret("SALESFORCE_CONSUMER_KEY", "3MVG9consumer");
    fs::copy(key("rsa.key"), kitchen.daemon.path("salesforce.key")).unwrap();
    let mut kitchen = kitchen.run();
    kitchen.rings("opportunities", &[]);
    assert_eq!(granted.get(), 1);

    set(6, opportunity(6, 20, "Prospecting"));
    set(2, opportunity(2, 20, "Negotiation"));
    set(3, opportunity(3, 21, "Closed Won"));
    let story = [
        format!("opportunity.created {}", id(6)),
        format!("opportunity.stage_changed {}", id(2)),
        format!("opportunity.stage_changed {}", id(3)),
        format!("opportunity.won {}", id(3)),
    ];
    kitchen.rings("opportunities", &story.each_ref().map(String::as_str));
    assert_eq!(kitchen.data("opportunity.won"), json!({ "name": "Deal 3", "amount": 1500.0 }));

    // The session ends without a word. It costs one refused request and one new token.
    session.set(2);
    let mut deleted = opportunity(4, 30, "Prospecting");
    deleted["IsDeleted"] = json!(true);
    set(4, deleted);
    set(5, opportunity(5, 31, "Prospecting"));
    kitchen.rings("opportunities", &[&format!("opportunity.deleted {}", id(4))]);
    assert_eq!(granted.get(), 2);
    kitchen.rings("opportunities", &[]);
}
