//! GitHub: <https://docs.github.com/en/rest/issues/issues#list-repository-issues>, its paging and its conditional requests:
//! <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api>.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::kitchen::{Kitchen, params, unauthorized};
use crate::support::server::Received;
use crate::support::wait::wait_until;
use crate::support::{Reply, Script, Shared};

/// What a page holds at most, whatever is asked for. The real one gives a hundred.
const PAGE_ISSUES: usize = 20;

/// The repository that was renamed: it is found by its number.
const RENAMED: &str = "/repos/servo/rust-url/issues";
const RENAMED_TO: &str = "/repositories/12345/issues";

/// The issues of all repositories by path, and what was answered.
#[derive(Clone, Default)]
struct GitHub {
    issues: BTreeMap<String, Vec<Value>>,
    /// Requests that counted against the token's limit.
    counted: BTreeMap<String, usize>,
    unchanged: BTreeMap<String, usize>,
}

/// An issue that was changed last at that minute of the day.
fn issue(number: usize, minute: usize, state: &str, labels: &[&str]) -> Value {
    let labels: Vec<_> =
        labels.iter().map(|name| json!({ "id": 1, "name": name, "color": "f29513" })).collect();
    json!({
        "id": 9_000_000 + number, "number": number, "title": format!("Issue {number}"), "state": state,
        "html_url": format!("https://github.com/issues/{number}"), "labels": labels, "comments": minute,
        "user": { "login": "octocat", "id": 1 }, "assignees": [],
        "created_at": "2026-11-01T00:00:00Z", "updated_at": format!("2026-11-21T{:02}:{:02}:00Z", minute / 60, minute % 60),
    })
}

fn pull_request(number: usize, minute: usize, state: &str) -> Value {
    let mut pull = issue(number, minute, state, &[]);
    pull["pull_request"] = json!({ "url": format!("https://api.github.com/pulls/{number}") });
    pull
}

impl GitHub {
    fn answer(&mut self, received: &Received) -> Reply {
        if received.header("authorization") != Some("Bearer ghp_test") {
            return unauthorized();
        }
        assert!(received.header("user-agent").is_some(), "GitHub answers 403 to who has no name");
        let host = received.header("host").unwrap();
        if received.path() == RENAMED {
            let (_, query) = received.target.split_once('?').unwrap();
            return Reply::redirect(&format!("http://{host}{RENAMED_TO}?{query}"));
        }
        let path = received.path().to_owned();
        let Some(issues) = self.issues.get(&path) else { return Reply::status(404) };
        let asked = params(received);
        let said = |name: &str| asked.get(name).cloned().unwrap_or_default();
        let is_meant = |issue: &&Value| {
            (said("state") == "all" || issue["state"] == "open")
                && issue["updated_at"].as_str().unwrap() >= said("since").as_str()
        };
        let mut meant: Vec<_> = issues.iter().filter(is_meant).collect();
        assert_eq!((said("sort"), said("direction")), ("updated".to_owned(), "desc".to_owned()));
        meant.sort_by_key(|issue| std::cmp::Reverse(issue["updated_at"].as_str().unwrap()));
        let page: usize = said("page").parse().unwrap_or(1);
        let shown: Vec<_> = meant.iter().skip((page - 1) * PAGE_ISSUES).take(PAGE_ISSUES).collect();
        let reply = Reply::json(&json!(shown));

        let mut hasher = DefaultHasher::new();
        reply.body.hash(&mut hasher);
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        if received.header("if-none-match") == Some(&tag) {
            *self.unchanged.entry(path).or_default() += 1;
            return Reply::status(304).header("ETag", &tag);
        }
        *self.counted.entry(path.clone()).or_default() += 1;
        let reply = reply.header("ETag", &tag).header("Cache-Control", "private, max-age=60");
        if meant.len() <= page * PAGE_ISSUES {
            return reply;
        }
        let (base, _) = received.target.split_once("&page=").unwrap_or((&received.target, ""));
        let last = meant.len().div_ceil(PAGE_ISSUES);
        let next = page + 1;
        let links = format!(
            "<http://{host}{base}&page={next}>; rel=\"next\", <http://{host}{base}&page={last}>; rel=\"last\""
        );
        reply.header("Link", &links)
    }
}

#[test]
fn issues_of_thirty_repositories_ring() {
    let github = Shared::new(GitHub::default());
    let behind = github.clone();
    let api = Script::start(move |received| behind.with(|github| github.answer(received)));
    let mut kitchen = Kitchen::of("GitHub issues of thirty repositories")
        .host("https://api.github.com", &api)
        .secret("GITHUB_TOKEN", "ghp_test");
    let names = kitchen.lines_like("      - ").into_iter();
    let names: Vec<_> = names.filter(|name| !name.contains(' ')).collect();
    assert_eq!(names.len(), 30);
    let path = |name: &str| match format!("/repos/{name}/issues") {
        path if path == RENAMED => RENAMED_TO.to_owned(),
        path => path,
    };
    for (at, name) in names.iter().enumerate() {
        let first = 1000 * (at + 1);
        let count = if name == "tokio-rs/tokio" { 50 } else { 3 };
        let mut issues: Vec<_> =
            (1..=count).map(|n| issue(first + n, n, "open", &["bug"])).collect();
        issues.push(pull_request(first + 999, 60, "open"));
        github.with(|github| github.issues.insert(path(name), issues));
    }
    kitchen = kitchen.run();
    let answered = |name: &str| github.with(|it| it.counted.get(&path(name)).copied().unwrap_or(0));
    wait_until("every repository's first listing", || names.iter().all(|name| answered(name) > 0));
    let first_of = |name: &str| 1000 * (names.iter().position(|it| it == name).unwrap() + 1);
    let tokio = first_of("tokio-rs/tokio");
    kitchen.rings_of("issues", "tokio-rs/tokio", &[]);

    // A new one, a closed one, other labels; and beside them a comment and a pull request, which are no news here.
    github.with(|github| {
        let issues = github.issues.get_mut(&path("tokio-rs/tokio")).unwrap();
        issues.push(issue(tokio + 100, 620, "open", &[]));
        issues[0] = issue(tokio + 1, 621, "closed", &["bug"]);
        issues[1] = issue(tokio + 2, 622, "open", &["bug", "A-runtime"]);
        issues[2] = issue(tokio + 3, 623, "open", &["bug"]);
        issues.push(pull_request(tokio + 998, 624, "open"));
    });
    let told = |kind: &str, number: usize| format!("issue.{kind} {number}");
    let story =
        [told("opened", tokio + 100), told("closed", tokio + 1), told("labels_changed", tokio + 2)];
    let before = answered("tokio-rs/tokio");
    kitchen.rings_of("issues", "tokio-rs/tokio", &story.each_ref().map(String::as_str));
    assert_eq!(answered("tokio-rs/tokio"), before + 1, "what changed, and not everything");
    let labels = kitchen.data("issue.labels_changed");
    assert_eq!(labels["added"], json!(["A-runtime"]));
    assert_eq!(labels["repository"], "tokio-rs/tokio");

    // The renamed one, behind its redirect.
    let renamed = first_of("servo/rust-url");
    github.with(|github| {
        let issues = github.issues.get_mut(RENAMED_TO).unwrap();
        issues[0] = issue(renamed + 1, 630, "closed", &["bug"]);
    });
    kitchen.rings_of("issues", "servo/rust-url", &[&told("closed", renamed + 1)]);

    // Where nothing happens, nothing is counted.
    kitchen.rings_of("issues", "clap-rs/clap", &[]);
    let before = answered("clap-rs/clap");
    kitchen.rings_of("issues", "clap-rs/clap", &[]);
    assert_eq!(answered("clap-rs/clap"), before);
    assert!(github.with(|github| github.unchanged[&path("clap-rs/clap")]) > 0);
}
