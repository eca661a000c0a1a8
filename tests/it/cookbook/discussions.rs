//! GitHub's GraphQL API: <https://docs.github.com/en/graphql/guides/using-the-graphql-api-for-discussions>.

use serde_json::{Value, json};

use super::kitchen::{Kitchen, body, unauthorized};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are pages.
const PAGE_NODES: usize = 2;

fn discussion(number: usize, is_answered: bool) -> Value {
    json!({
        "id": format!("D_kwDO{number}"), "number": number, "title": format!("How do I {number}?"),
        "url": format!("https://github.com/tokio-rs/axum/discussions/{number}"),
        "isAnswered": is_answered, "category": { "name": "Q&A" },
    })
}

/// Relay's connections: opaque cursors, and whether there is more.
fn answer(received: &Received, discussions: &[Value]) -> Reply {
    if received.header("authorization") != Some("Bearer ghp_test") {
        return unauthorized();
    }
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/graphql"));
    let asked = body(received);
    let query = asked["query"].as_str().unwrap();
    assert!(
        query.starts_with("query ($after: String) {")
            && query.contains("first: 100, after: $after")
    );
    let from = match &asked["variables"]["after"] {
        Value::Null => 0,
        after => after.as_str().unwrap().strip_prefix("Y3Vyc29y").unwrap().parse().unwrap(),
    };
    let page: Vec<_> = discussions.iter().skip(from).take(PAGE_NODES).collect();
    let end = from + page.len();
    let edges: Vec<_> = page.iter().map(|node| json!({ "node": node })).collect();
    let info =
        json!({ "hasNextPage": end < discussions.len(), "endCursor": format!("Y3Vyc29y{end}") });
    Reply::json(&json!({
        "data": { "repository": { "discussions": { "edges": edges, "pageInfo": info } } },
    }))
}

#[test]
fn discussions_ring_and_errors_with_200_do_not() {
    let discussions =
        Shared::new((1..=5).map(|number| discussion(number, false)).collect::<Vec<_>>());
    let (shown, error) = (discussions.clone(), Shared::new(Value::Null));
    let says = error.clone();
    let api = Script::start(move |received| {
        let error = says.get();
        if error.is_null() { answer(received, &shown.get()) } else { Reply::json(&error) }
    });
    let mut kitchen = Kitchen::of("GitHub discussions")
        .host("https://api.github.com", &api)
        .secret("GITHUB_TOKEN", "ghp_test")
        .run();
    kitchen.rings("discussions", &[]);
    let first: Vec<_> = api.requests().iter().take(3).map(body).collect();
    assert_eq!(first[0]["variables"], json!({}));
    assert_eq!(first[2]["variables"], json!({ "after": "Y3Vyc29y4" }));

    discussions.with(|all| all.push(discussion(6, false)));
    discussions.with(|all| all[1] = discussion(2, true));
    kitchen.rings("discussions", &["discussion.opened 6", "discussion.answered 2"]);

    for says in [
        json!({ "errors": [{ "type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1." }] }),
        json!({ "data": null, "errors": [{ "message": "Something went wrong while executing your query." }] }),
    ] {
        error.set(says);
        kitchen.fails("discussions", "graphql_errors");
    }
    // Somebody made the repository private.
    error.set(json!({
        "data": { "repository": null },
        "errors": [{ "type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve to a Repository" }],
    }));
    kitchen.fails("discussions", "no_list");

    error.set(Value::Null);
    discussions.with(|all| all.remove(2));
    kitchen.rings("discussions", &[]);
    kitchen.rings("discussions", &["discussion.deleted 3"]);
}
