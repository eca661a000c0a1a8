//! Notion: <https://developers.notion.com/reference/post-database-query>.

use serde_json::{Value, json};

use super::kitchen::{Kitchen, bad_request, body, unauthorized};
use crate::support::server::Received;
use crate::support::{Reply, Script, Shared};

/// However many are asked for: few, so that there are pages.
const PAGE_TASKS: usize = 2;

fn task(id: usize, minute: usize, title: &str, status: &str) -> Value {
    let time = format!("2026-11-21T10:{minute:02}:00.000Z");
    let text = json!([{ "type": "text", "text": { "content": title }, "plain_text": title }]);
    json!({
        "object": "page", "id": format!("59833787-2cf9-4fdf-8782-e53db20768a{id}"),
        "created_time": format!("2026-11-20T10:0{id}:00.000Z"), "last_edited_time": time,
        "archived": false, "in_trash": false, "url": format!("https://www.notion.so/task-{id}"),
        "properties": {
            "Name": { "id": "title", "type": "title", "title": text },
            "Status": { "id": "Z%3ClH", "type": "status", "status": { "name": status, "color": "red" } },
            "Due": { "id": "M%3BBw", "type": "date", "date": null },
        },
    })
}

/// The query: strict about what is in the body, and every link to a file signed anew.
fn answer(received: &Received, tasks: &[Value], signature: usize) -> Reply {
    let version = received.header("notion-version");
    if received.header("authorization") != Some("Bearer secret_n0tion")
        || version != Some("2022-06-28")
    {
        return unauthorized();
    }
    assert_eq!(received.target, "/v1/databases/668d797c76fa49349b05ad288df2d136/query");
    let asked = body(received);
    let from = match asked.get("start_cursor") {
        None => 0,
        Some(Value::String(cursor)) => cursor.strip_prefix("cursor-").unwrap().parse().unwrap(),
        Some(_) => return bad_request("body.start_cursor should be a string or `undefined`"),
    };
    let filter = &asked["filter"];
    let since = filter["last_edited_time"]["on_or_after"].as_str();
    let (Some(since), true) = (since, filter["timestamp"] == "last_edited_time") else {
        return bad_request("body failed validation: body.filter");
    };
    let since: jiff::Timestamp = since.parse().unwrap();
    let edited = |task: &Value| {
        task["last_edited_time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    let matching: Vec<_> = tasks.iter().filter(|task| edited(task) >= since).collect();
    let mut page: Vec<Value> =
        matching.iter().skip(from).take(PAGE_TASKS).map(|it| (*it).clone()).collect();
    for task in &mut page {
        let url =
            format!("https://s3.us-west-2.amazonaws.com/icon.png?X-Amz-Signature={signature}");
        task["icon"] = json!({ "type": "file", "file": { "url": url, "expiry_time": "2026-11-21T11:00:00.000Z" } });
    }
    let has_more = from + page.len() < matching.len();
    let next = if has_more { json!(format!("cursor-{}", from + page.len())) } else { Value::Null };
    Reply::json(&json!({
        "object": "list", "results": page, "next_cursor": next, "has_more": has_more,
        "type": "page_or_database", "page_or_database": {},
    }))
}

#[test]
fn tasks_ring_once_though_their_times_are_rounded() {
    let tasks = Shared::new((1..=5).map(|id| task(id, 0, "Write", "To do")).collect::<Vec<_>>());
    let (shown, signature) = (tasks.clone(), Shared::new(0));
    let api = Script::start(move |received| {
        let signature = signature.with(|signature| {
            *signature += 1;
            *signature
        });
        answer(received, &shown.get(), signature)
    });
    let key = |id: usize| format!("59833787-2cf9-4fdf-8782-e53db20768a{id}");
    let set = |id: usize, task: Value| tasks.with(|tasks| tasks[id - 1] = task);
    let mut kitchen = Kitchen::of("Notion database")
        .host("https://api.notion.com", &api)
        .secret("NOTION_TOKEN", "secret_n0tion")
        .run();
    kitchen.rings("tasks", &[]);
    assert!(body(&api.requests()[0]).get("start_cursor").is_none());
    assert_eq!(body(&api.requests()[1])["start_cursor"], "cursor-2");
    kitchen.rings("tasks", &[]);

    set(2, task(2, 20, "Write", "Doing"));
    tasks.with(|tasks| tasks.push(task(6, 20, "Print", "To do")));
    kitchen.rings("tasks", &[&format!("task.created {}", key(6))]);
    // Within the same minute: the time of the edit stays what it was.
    set(2, task(2, 20, "Write", "Done"));
    kitchen.rings("tasks", &[&format!("task.done {}", key(2))]);
    let data = json!({ "title": "Write", "url": "https://www.notion.so/task-2" });
    assert_eq!(kitchen.data("task.done"), data);
    kitchen.rings("tasks", &[]);
    let asked = api.requests();
    assert_eq!(
        body(asked.last().unwrap())["filter"]["last_edited_time"]["on_or_after"],
        "2026-11-21T10:18:00Z"
    );
}
