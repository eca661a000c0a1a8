//! Jira Data Center: <https://docs.atlassian.com/software/jira/docs/api/REST/latest/#api/2/search-search>.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde_json::{Value, json};

use super::kitchen::{Kitchen, bad_request, body, unauthorized};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are pages.
const PAGE_ISSUES: usize = 2;

/// An issue, as it was last changed so many seconds after ten o'clock in Berlin.
fn issue(number: u64, seconds: i64, status: &str, assignee: &str) -> Value {
    let berlin = TimeZone::get("Europe/Berlin").unwrap();
    let ten: Timestamp = "2026-11-21T09:00:00Z".parse().unwrap();
    let updated: Zoned = (ten + seconds.seconds()).to_zoned(berlin);
    json!({
        "expand": "operations,versionedRepresentations", "id": format!("{}", 10_000 + number),
        "self": format!("https://jira.acme.example/rest/api/2/issue/{}", 10_000 + number),
        "key": format!("SUP-{number}"),
        "fields": {
            "summary": format!("Issue {number}"), "status": { "name": status, "id": "3" },
            "priority": { "name": "High" }, "assignee": { "name": assignee, "displayName": assignee },
            "updated": updated.strftime("%Y-%m-%dT%H:%M:%S.000%z").to_string(),
        },
    })
}

/// The search: JQL knows minutes in the account's zone, and offsets are those of what matches now.
fn answer(received: &Received, issues: &[Value]) -> Reply {
    if received.header("authorization") != Some("Bearer j1ra") {
        return unauthorized();
    }
    assert_eq!(
        (received.method.as_str(), received.target.as_str()),
        ("POST", "/rest/api/2/search")
    );
    let asked = body(received);
    let jql = asked["jql"].as_str().unwrap();
    let since = jql.strip_prefix("project = SUP AND updated >= \"");
    let Some(since) = since.and_then(|rest| rest.strip_suffix("\" ORDER BY key ASC")) else {
        return bad_request("Error in the JQL Query");
    };
    let Ok(since) = DateTime::strptime("%Y-%m-%d %H:%M", since) else {
        return bad_request("Date value is invalid. Valid formats include: 'yyyy-MM-dd HH:mm'");
    };
    let local = |issue: &Value| {
        let text = issue["fields"]["updated"].as_str().unwrap();
        DateTime::strptime("%Y-%m-%dT%H:%M:%S.000", text.split('+').next().unwrap()).unwrap()
    };
    let Some(start) = asked["startAt"].as_u64() else { return bad_request("startAt is no number") };
    let matching: Vec<_> = issues.iter().filter(|issue| local(issue) >= since).collect();
    let page: Vec<_> =
        matching.iter().skip(usize::try_from(start).unwrap()).take(PAGE_ISSUES).collect();
    Reply::json(&json!({
        "expand": "schema,names", "startAt": start, "maxResults": PAGE_ISSUES, "total": matching.len(),
        "issues": page,
    }))
}

#[test]
fn issues_ring_within_their_minute_in_the_accounts_zone() {
    let issues = Shared::new((1..=5).map(|at| issue(at, 0, "Open", "amy")).collect::<Vec<_>>());
    let shown = issues.clone();
    let api = Script::start(move |received| answer(received, &shown.get()));
    let set = |number: usize, issue: Value| issues.with(|issues| issues[number - 1] = issue);
    let asked = || -> Vec<(String, Value)> {
        let bodies = api.requests().iter().map(body).collect::<Vec<_>>();
        let told = bodies
            .iter()
            .map(|body| (body["jql"].as_str().unwrap().to_owned(), body["startAt"].clone()));
        told.collect()
    };
    let mut kitchen = Kitchen::of("Jira issues")
        .host("https://jira.acme.example", &api)
        .secret("JIRA_TOKEN", "j1ra")
        .run();
    kitchen.rings("issues", &[]);
    let (jql, starts) =
        (asked()[0].0.clone(), asked().iter().take(3).map(|it| it.1.clone()).collect::<Vec<_>>());
    assert_eq!(jql, "project = SUP AND updated >= \"2000-01-01 00:00\" ORDER BY key ASC");
    assert_eq!(starts, [json!(0), json!(2), json!(4)]);

    // Two edits within one minute, the second one behind our back, and one that says nothing.
    set(2, issue(2, 600, "In Progress", "amy"));
    set(3, issue(3, 610, "Open", "amy"));
    kitchen.rings("issues", &["issue.moved SUP-2"]);
    set(2, issue(2, 615, "Done", "bob"));
    issues.with(|issues| issues.push(issue(6, 612, "Open", "amy")));
    kitchen.rings("issues", &["issue.moved SUP-2", "issue.assigned SUP-2", "issue.created SUP-6"]);
    assert_eq!(
        kitchen.data("issue.moved"),
        json!({ "key": "SUP-2", "from": "In Progress", "to": "Done" })
    );
    // 10:10:15 in Berlin is 09:10:15 in UTC; two minutes less, in whole minutes.
    kitchen.rings("issues", &[]);
    let last = asked().pop().unwrap().0;
    assert!(last.contains("updated >= \"2026-11-21 10:08\""), "{last}");

    // The account of another zone: nothing is asked for twice that long ago, and nothing rings.
    for _ in 0..2 {
        kitchen.rings("issues", &[]);
    }
}
