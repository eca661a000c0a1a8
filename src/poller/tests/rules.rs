//! Which changes make which events, and what identifies an item: declared as people write it, answered as APIs answer.

use std::collections::BTreeSet;

use serde_json::Value;

use super::desk::{Desk, text};
use crate::core::report::PollReport;

/// `TYPE KEY` of what rang, in its order.
fn told(report: &PollReport) -> String {
    let events: Vec<_> = report
        .events
        .iter()
        .map(|event| format!("{} {}", event.event_type, event.key).trim_end().to_owned())
        .collect();
    events.join(", ")
}

/// The envelopes that rang.
fn envelopes(report: &PollReport) -> Vec<Value> {
    let read = |body: &str| serde_json::from_str(body).expect("an envelope");
    report.events.iter().map(|event| read(event.body.as_str())).collect()
}

/// Polls a source with these keys: each answer, and what it rings. The first is the baseline.
async fn check(keys: &str, answers: &[(&str, &str)]) -> Desk {
    let desk = Desk::new(keys);
    for (answer, expected) in answers {
        let report = desk.answer([text(answer)]).await;
        assert_eq!(report.fault, None, "{keys}: {answer}");
        assert_eq!(told(&report), *expected, "{keys}: {answer}");
    }
    desk
}

/// The same for items with the key `.id` and these rules.
async fn check_rules(rules: &str, answers: &[(&str, &str)]) -> Desk {
    check(&format!("key: .id, events: [{rules}]"), answers).await
}

#[tokio::test]
async fn a_rule_is_for_its_kinds_of_change() {
    check_rules(
        "{ type: come.or.gone, on: [created, deleted] }, { type: edited, on: updated }",
        &[
            (r#"[{"id":1,"v":1},{"id":2}]"#, ""),
            (r#"[{"id":1,"v":2},{"id":3}]"#, "edited 1, come.or.gone 3"),
            (r#"[{"id":3},{"id":1,"v":2}]"#, "come.or.gone 2"),
        ],
    )
    .await;
    // Beside rules of one's own, `default` keeps the three that there are without any.
    check_rules(
        "default, { type: vip.created, on: created, when: .after.vip == true }",
        &[
            (r#"[{"id":1}]"#, ""),
            (r#"[{"id":1},{"id":2,"vip":true}]"#, "s.created 2, vip.created 2"),
            (r#"[{"id":1,"v":1},{"id":2,"vip":true},{"id":3}]"#, "s.updated 1, s.created 3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn changed_compares_what_it_gives_before_and_after() {
    check_rules(
        "{ type: c, on: updated, changed: [.a, .b.c] }",
        &[
            (r#"[{"id":1,"a":1,"b":{"c":"x"},"d":1}]"#, ""),
            (r#"[{"id":1,"a":1,"b":{"c":"x"},"d":2}]"#, ""),
            (r#"[{"id":1,"a":1.0,"b":{"e":0,"c":"\u0078"},"d":2}]"#, ""),
            (r#"[{"id":1,"a":1,"b":{"c":"y"},"d":2}]"#, "c 1"),
            (r#"[{"id":1,"b":{"c":"y"},"d":2}]"#, "c 1"),
            // Null is what a missing one gives.
            (r#"[{"id":1,"a":null,"b":{"c":"y"},"d":2}]"#, ""),
            (r#"[{"id":1,"a":"1","b":null,"d":2}]"#, "c 1"),
        ],
    )
    .await;
    // All outputs count, and their number.
    check_rules(
        "{ type: tags, on: updated, changed: '.tags[]' }",
        &[
            (r#"[{"id":1,"tags":["a","b"]}]"#, ""),
            (r#"[{"id":1,"tags":["a","b"],"v":1}]"#, ""),
            (r#"[{"id":1,"tags":["b","a"],"v":1}]"#, "tags 1"),
            (r#"[{"id":1,"tags":["b"],"v":1}]"#, "tags 1"),
            (r#"[{"id":1,"tags":[],"v":1}]"#, "tags 1"),
            (r#"[{"id":1,"tags":[],"v":2}]"#, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_condition_sees_both_sides_the_changes_and_the_key() {
    let sees = |condition: &str| format!("{{ type: seen, on: updated, when: '{condition}' }}");
    let (before, after) =
        (r#"[{"id":7,"a":{"b":1},"c":"x"}]"#, r#"[{"id":7,"a":{"b":2},"c":"x"}]"#);
    for condition in [
        ".before.a.b == 1 and .after.a.b == 2",
        ".changes == [{path: \"/a/b\", old: 1, new: 2}]",
        "any(.changes[]; .path | startswith(\"/a\"))",
        ".key == \"7\" and .entry == null",
        // As everywhere in jq, all but null and false is true.
        ".after.a",
        "keys == [\"after\", \"before\", \"changes\", \"entry\", \"key\"]",
    ] {
        check_rules(&sees(condition), &[(before, ""), (after, "seen 7")]).await;
    }
    for condition in [".after.c != .before.c", "null", "false", ".after.d"] {
        check_rules(&sees(condition), &[(before, ""), (after, "")]).await;
    }
    // What is new has no before, what is gone no after.
    check_rules(
        "{ type: new, on: created, when: '.before == null and .changes == []' }, \
         { type: old, on: deleted, when: '.after == null and .before.v == 1' }",
        &[("[]", ""), (r#"[{"id":1,"v":1}]"#, "new 1"), ("[]", ""), ("[ ]", "old 1")],
    )
    .await;
}

#[tokio::test]
async fn several_rules_are_several_events_and_one_type_is_one() {
    let rules = "{ type: a, on: updated, changed: .a }, { type: b, on: updated, changed: .b }, \
                 { type: a, on: updated, changed: .c }";
    let desk = check_rules(rules, &[(r#"[{"id":1,"a":1,"b":1,"c":1}]"#, "")]).await;
    let report = desk.answer([text(r#"[{"id":1,"a":2,"b":2,"c":2}]"#)]).await;
    assert_eq!(told(&report), "a 1, b 1");
    let ids: BTreeSet<_> = report.events.iter().map(|event| event.id.clone()).collect();
    assert_eq!((ids.len(), report.events[1].seq - report.events[0].seq), (2, 1));
    let report = desk.answer([text(r#"[{"id":1,"a":2,"b":2,"c":3}]"#)]).await;
    assert_eq!(told(&report), "a 1");
}

#[tokio::test]
async fn what_makes_no_event_is_known_all_the_same() {
    let rules = "{ type: a, on: updated, changed: .a }";
    let quiet = [(r#"[{"id":1,"a":1,"b":1}]"#, ""), (r#"[{"id":1,"a":1,"b":2},{"id":2}]"#, "")];
    let desk = check_rules(rules, &quiet).await;
    let report = desk.answer([text(r#"[{"id":1,"a":2,"b":2},{"id":2,"a":1}]"#)]).await;
    assert_eq!(told(&report), "a 1, a 2");
    let previous = &envelopes(&report)[0]["previous"];
    assert_eq!(*previous, serde_json::json!({ "id": 1, "a": 1, "b": 2 }));
}

#[tokio::test]
async fn data_replaces_the_item_and_keeps_numbers_exact() {
    let rules = "{ type: a, on: [updated, deleted], data: '{key, was: .before.v, now: .after.v, n: (.changes | length)}' }, \
                 { type: b, on: updated, data: .after.v }";
    let known = [(r#"[{"id":1,"v":1.10},{"id":2,"v":"x"}]"#, "")];
    let desk = check_rules(rules, &known).await;
    let report = desk.answer([text(r#"[{"id":1,"v":12345678901234567890.10}]"#)]).await;
    assert_eq!(told(&report), "a 1, b 1");
    let bodies: Vec<_> = report.events.iter().map(|event| event.body.as_str()).collect();
    let data = r#""data":{"key":"1","was":1.10,"now":12345678901234567890.10,"n":1},"previous""#;
    assert!(bodies[0].contains(data), "{}", bodies[0]);
    assert!(bodies[1].contains(r#""data":12345678901234567890.10,"#), "{}", bodies[1]);
    let report = desk.answer([text(r#"[ {"id":1,"v":12345678901234567890.10}]"#)]).await;
    assert_eq!(told(&report), "a 2");
    let gone = serde_json::json!({ "key": "2", "was": "x", "now": null, "n": 0 });
    assert_eq!(envelopes(&report)[0]["data"], gone);
}

#[tokio::test]
async fn a_rule_that_fails_is_a_fault_of_its_item_and_loses_nothing() {
    for rule in [
        "when: '(.after.n | tonumber) > 3'",
        "data: '.after.n | tonumber'",
        "changed: '.n | tonumber'",
    ] {
        let desk = check_rules(
            &format!("{{ type: t, on: updated, {rule} }}"),
            &[(r#"[{"id":1,"n":"1"},{"id":2,"n":"1"}]"#, "")],
        )
        .await;
        for _ in 0..3 {
            let report = desk.answer([text(r#"[{"id":1,"n":"oops"},{"id":2,"n":"1"}]"#)]).await;
            let fault = report.fault.clone().expect("a fault");
            assert!(
                fault.code == "event_rule" && fault.sentence.contains("rule for t"),
                "{fault:?}"
            );
            assert_eq!((told(&report), report.outcome), (String::new(), "incomplete"), "{rule}");
        }
        // Others ring meanwhile, and the item itself once it can be judged: from what it was told as.
        let report = desk.answer([text(r#"[{"id":1,"n":"oops"},{"id":2,"n":"8"}]"#)]).await;
        assert_eq!(told(&report), "t 2", "{rule}");
        let report = desk.answer([text(r#"[{"id":1,"n":"9"},{"id":2,"n":"8"}]"#)]).await;
        assert_eq!((told(&report), report.fault.clone()), (String::from("t 1"), None), "{rule}");
        assert_eq!(envelopes(&report)[0]["previous"]["n"], "1");
    }
}

#[tokio::test]
async fn a_threshold_rings_once_per_crossing() {
    let crossing = |limit: &str| {
        format!(
            "events: [{{ type: up, on: updated, when: '.before.n < {limit} and .after.n >= {limit}' }}]"
        )
    };
    let steps = |numbers: &[(&str, bool)]| -> Vec<(String, &'static str)> {
        let answer =
            |(n, up): &(&str, bool)| (format!("{{\"n\":{n}}}"), if *up { "up" } else { "" });
        numbers.iter().map(answer).collect()
    };
    for (limit, numbers) in [
        (
            "100",
            &[
                ("99", false),
                ("100", true),
                ("100.0", false),
                ("250", false),
                ("1e2", false),
                ("99.99", false),
                ("0", false),
                ("1e3", true),
            ][..],
        ),
        // One apart, where floats are not.
        (
            "9007199254740993",
            &[("9007199254740992", false), ("9007199254740993", true), ("9007199254740992", false)],
        ),
    ] {
        let steps = steps(numbers);
        let steps: Vec<_> = steps.iter().map(|(answer, up)| (answer.as_str(), *up)).collect();
        check(&crossing(limit), &steps).await;
    }
}

#[tokio::test]
async fn exact_numbers_are_compared_exactly() {
    check(
        "key: .id",
        &[
            (r#"[{"id":9007199254740993,"v":9007199254740992},{"id":9007199254740992}]"#, ""),
            (r#"[{"id":9007199254740993,"v":9007199254740993},{"id":9007199254740992}]"#, "s.updated 9007199254740993"),
            (r#"[{"id":9007199254740993,"v":9007199254740993.0},{"id":9.007199254740992e15}]"#, ""),
            (r#"[{"id":9007199254740993,"v":1e400},{"id":9007199254740992,"v":0.1}]"#, "s.updated 9007199254740993, s.updated 9007199254740992"),
            (r#"[{"id":9007199254740993,"v":1e401},{"id":9007199254740992,"v":0.10000000000000001}]"#, "s.updated 9007199254740993, s.updated 9007199254740992"),
            (r#"[{"id":9007199254740993,"v":10e400},{"id":9007199254740992,"v":1.0000000000000001e-1}]"#, ""),
        ],
    )
    .await;
}

#[tokio::test]
async fn several_parts_make_one_key() {
    let keys = "key: [.shop, .no]";
    let desk = check(
        keys,
        &[
            (r#"[{"shop":"a","no":1},{"shop":"b","no":1}]"#, ""),
            (r#"[{"shop":"b","no":1.0},{"no":1,"shop":"a","v":1}]"#, "s.updated a/1"),
            (
                r#"[{"shop":"b","no":1},{"shop":"a","no":1,"v":1},{"shop":"b","no":2}]"#,
                "s.created b/2",
            ),
            (r#"[{"shop":"a","no":1,"v":1},{"shop":"b","no":2}]"#, ""),
            (r#"[{"shop":"b","no":2},{"shop":"a","no":1,"v":1}]"#, "s.deleted b/1"),
        ],
    )
    .await;
    // A part that is missing is no key, and proves nothing about the others.
    for _ in 0..3 {
        let report = desk.answer([text(r#"[{"shop":"b","no":2},{"shop":"a"}]"#)]).await;
        assert_eq!((told(&report), report.outcome), (String::new(), "incomplete"));
    }
    // Two items that come to one key are told, and never mixed up.
    let desk = Desk::new(keys);
    let report = desk.answer([text(r#"[{"shop":"a/b","no":"c"},{"shop":"a","no":"b/c"}]"#)]).await;
    assert_eq!(report.fault.expect("a fault").code, "duplicate_key");
}

#[tokio::test]
async fn an_id_that_changes_its_type_is_the_same_item() {
    check(
        "key: .id",
        &[
            (r#"[{"id":7,"v":1},{"id":"8","v":1}]"#, ""),
            (r#"[{"id":"7","v":1},{"id":8,"v":1}]"#, ""),
            (r#"[{"id":7.0,"v":1},{"id":"8","v":1}]"#, ""),
            (r#"[{"id":"7","v":2},{"id":8,"v":1}]"#, "s.updated 7"),
            // But `08` is another text.
            (r#"[{"id":7,"v":2},{"id":8,"v":1},{"id":"08","v":1}]"#, "s.created 08"),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_item_that_is_listed_twice_is_one_item() {
    let desk = check(
        "key: .id",
        &[
            (r#"[{"id":1,"v":1},{"id":2},{"id":1,"v":1}]"#, ""),
            (
                r#"[{"id":1,"v":2},{"id":1,"v":2},{"id":2},{"id":3},{"id":3}]"#,
                "s.updated 1, s.created 3",
            ),
        ],
    )
    .await;
    // Two that differ: the first counts, and such a listing deletes nothing.
    for (answer, expected) in [
        (r#"[{"id":1,"v":2},{"id":1,"v":3}]"#, ""),
        (r#"[{"id":1,"v":2},{"id":1,"v":4}]"#, ""),
        (r#"[{"id":1,"v":5},{"id":1,"v":2}]"#, "s.updated 1"),
    ] {
        let report = desk.answer([text(answer)]).await;
        assert_eq!(report.fault.as_ref().map(|it| it.code.as_str()), Some("duplicate_key"));
        assert_eq!(told(&report), expected, "{answer}");
    }
}
