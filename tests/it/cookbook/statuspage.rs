//! Atlassian Statuspage: <https://www.githubstatus.com/api#incidents>.

use serde_json::{Value, json};

use super::kitchen::Kitchen;
use crate::support::{Reply, Script, Shared};

/// An incident with its updates, newest first.
fn incident(id: &str, impact: &str, updates: &[(&str, &str)]) -> Value {
    let minutes = updates.len();
    let nested: Vec<_> = updates
        .iter()
        .enumerate()
        .map(|(at, (status, body))| {
            let number = minutes - at;
            let time = format!("2026-11-21T10:{number:02}:00.000Z");
            json!({
                "id": format!("{id}-{number}"), "incident_id": id, "status": status, "body": body,
                "created_at": time, "updated_at": time, "display_at": time,
                "affected_components": [{ "code": "8l4ygp009s5s", "name": "Git Operations",
                    "old_status": "operational", "new_status": "degraded_performance" }],
            })
        })
        .collect();
    let (status, newest) = (updates[0].0, &nested[0]["created_at"]);
    let resolved = if status == "resolved" { newest.clone() } else { Value::Null };
    json!({
        "id": id, "name": format!("Trouble with {id}"), "status": status, "impact": impact,
        "created_at": "2026-11-21T10:00:00.000Z", "updated_at": newest, "monitoring_at": null,
        "resolved_at": resolved, "shortlink": format!("https://stspg.io/{id}"),
        "started_at": "2026-11-21T10:00:00.000Z", "page_id": "kctbh9vrtdwd",
        "incident_updates": nested, "components": [],
    })
}

#[test]
fn incidents_ring_with_every_new_word_about_them() {
    let old: Vec<_> = (0..50)
        .map(|at| {
            incident(&format!("old{at}"), "none", &[("resolved", "Over."), ("investigating", "?")])
        })
        .collect();
    let incidents = Shared::new(old.clone());
    let shown = incidents.clone();
    let api = Script::start(move |received| {
        assert_eq!(received.target, "/api/v2/incidents.json");
        Reply::json(&json!({
            "page": { "id": "kctbh9vrtdwd", "name": "GitHub", "url": "https://www.githubstatus.com",
                "time_zone": "Etc/UTC", "updated_at": "2026-11-21T10:00:00.000Z" },
            "incidents": shown.get(),
        }))
    });
    // The newest fifty, whatever there is.
    let show = |newest: Value| {
        incidents.set([vec![newest], old[..49].to_vec()].concat());
    };
    let mut kitchen =
        Kitchen::of("Statuspage incidents").host("https://www.githubstatus.com", &api).run();
    let source = "github-incidents";
    kitchen.rings(source, &[]);

    show(incident("git", "minor", &[("investigating", "We look into it.")]));
    kitchen.rings(source, &["incident.opened git"]);
    assert_eq!(kitchen.data("incident.opened")["url"], "https://stspg.io/git");

    // Two words between two looks are one event with both of them.
    let words = [
        ("identified", "It is the disks."),
        ("investigating", "Still."),
        ("investigating", "We look into it."),
    ];
    show(incident("git", "major", &words));
    kitchen.rings(source, &["incident.updated git", "incident.worsened git"]);
    let updated = kitchen.data("incident.updated");
    let says = |at: usize| updated["updates"][at]["body"].clone();
    assert_eq!(
        (says(0), says(1), says(2)),
        (json!("It is the disks."), json!("Still."), Value::Null)
    );
    assert_eq!(kitchen.data("incident.worsened")["was"], "minor");

    // A corrected word is none, and neither is a smaller impact.
    let words = [("identified", "It is the discs."), words[1], words[2]];
    show(incident("git", "minor", &words));
    kitchen.rings(source, &[]);

    let words = [("resolved", "Over."), words[0], words[1], words[2]];
    show(incident("git", "minor", &words));
    kitchen.rings(source, &["incident.updated git", "incident.resolved git"]);
    assert_eq!(kitchen.data("incident.resolved")["resolved_at"], "2026-11-21T10:04:00.000Z");

    // The fiftieth came back into the list when an incident was withdrawn: it is known.
    incidents.set(old.clone());
    for _ in 0..3 {
        kitchen.rings(source, &[]);
    }
}
