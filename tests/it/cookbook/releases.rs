//! GitHub's release feeds, Atom as of RFC 4287.

use super::kitchen::Kitchen;
use crate::support::wait::wait_until;
use crate::support::{Reply, Script, Shared};

/// A release: its tag, its title, and when it was touched last.
type Release = (&'static str, &'static str, &'static str);

fn atom(repository: &str, releases: &[Release]) -> String {
    let entries: Vec<_> = releases
        .iter()
        .map(|(tag, title, updated)| {
            format!(
                "  <entry>\n    <id>tag:github.com,2008:Repository/1/{tag}</id>\n    <updated>{updated}</updated>\n    \
                 <link rel=\"alternate\" type=\"text/html\" href=\"https://github.com/{repository}/releases/tag/{tag}\"/>\n    \
                 <title>{title}</title>\n    <content type=\"html\">&lt;p&gt;Fixes &amp;amp; more.&lt;/p&gt;</content>\n    \
                 <author><name>bot</name></author>\n  </entry>\n"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feed xmlns=\"http://www.w3.org/2005/Atom\" \
         xmlns:media=\"http://search.yahoo.com/mrss/\" xml:lang=\"en-US\">\n  \
         <id>tag:github.com,2008:https://github.com/{repository}/releases</id>\n  <title>Release notes</title>\n  \
         <updated>2026-11-21T10:00:00Z</updated>\n{}</feed>\n",
        entries.concat()
    )
}

#[test]
fn releases_ring_once() {
    let first: Vec<Release> =
        vec![("v2", "Two", "2026-11-01T00:00:00Z"), ("v1", "One", "2026-10-01T00:00:00Z")];
    let releases = Shared::new(first.clone());
    let shown = releases.clone();
    let api = Script::start(move |received| {
        let repository =
            received.target.strip_suffix("/releases.atom").unwrap().trim_start_matches('/');
        let own = if repository == "tokio-rs/tokio" { shown.get() } else { first.clone() };
        Reply::text("application/atom+xml; charset=utf-8", atom(repository, &own))
    });
    let mut kitchen =
        Kitchen::of("Releases of other people's software").host("https://github.com", &api).run();
    let (source, tokio) = ("releases", "tokio-rs/tokio");
    let is_asked =
        |repository: &str| api.requests().iter().any(|it| it.target.contains(repository));
    wait_until("all three", || {
        ["tokio-rs/tokio", "rust-lang/rust", "sqlite/sqlite"].iter().all(|it| is_asked(it))
    });
    kitchen.rings_of(source, tokio, &[]);

    // A new one pushes the oldest out, and the one before is touched.
    releases.set(vec![
        ("v3", "Three &amp; a half", "2026-11-21T00:00:00Z"),
        ("v2", "Two", "2026-11-21T00:00:01Z"),
    ]);
    kitchen.rings_of(source, tokio, &["release.published tag:github.com,2008:Repository/1/v3"]);
    let data = serde_json::json!({
        "repository": tokio, "name": "Three & a half", "tag": "v3",
        "url": "https://github.com/tokio-rs/tokio/releases/tag/v3",
    });
    assert_eq!(kitchen.data("release.published"), data);
    for _ in 0..3 {
        kitchen.rings_of(source, tokio, &[]);
    }

    releases
        .set(vec![("v3", "Three", "2026-11-21T00:00:00Z"), ("v2", "Two", "2026-11-21T00:00:01Z")]);
    kitchen.rings_of(source, tokio, &["release.renamed tag:github.com,2008:Repository/1/v3"]);
}
