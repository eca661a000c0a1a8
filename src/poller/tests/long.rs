//! A long list is compared as it is read, and comes to the same as one that is read as a whole.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, proptest};
use proptest::sample::select;

use super::desk::{Desk, text};
use crate::core::limits::LIGHT_BODY_BYTES_MAX;
use crate::core::report::PollReport;

/// Ids with their values, in the order they are listed; an id may stand there twice.
type List = Vec<(u8, char)>;

fn lists() -> impl Strategy<Value = Vec<List>> {
    let any = || vec((0..12_u8, select(vec!['a', 'a', 'b'])), 0..10);
    // Mostly a list is what it was, or was before that, with a little changed.
    let edits = vec((0..4_u8, 0..12_usize, 0..12_u8, select(vec!['a', 'b', 'c'])), 0..3);
    let steps = vec((edits, any(), 0..10_u8), 1..8);
    (any(), steps).prop_map(|(first, steps)| {
        let mut all = vec![first];
        for (edits, other, chance) in steps {
            let back = if (1..4).contains(&chance) { 2 } else { 1 };
            let mut list = all[all.len().saturating_sub(back)].clone();
            if chance == 0 {
                list = other;
            }
            for (what, at, id, value) in edits {
                edit(&mut list, what, at, (id, value));
            }
            all.push(list);
        }
        all
    })
}

fn edit(list: &mut List, what: u8, at: usize, item: (u8, char)) {
    let at = at.min(list.len());
    match what {
        0 => list.insert(at, item),
        1 if at < list.len() => drop(list.remove(at)),
        2 if at < list.len() => list[at].1 = item.1,
        _ => list.rotate_left(at.min(1)),
    }
}

fn body(list: &List) -> String {
    let items: Vec<_> =
        list.iter().map(|(id, value)| format!(r#"{{"id":{id},"v":"{value}"}}"#)).collect();
    format!("[{}{}]", items.join(", "), " ".repeat(LIGHT_BODY_BYTES_MAX))
}

fn told(report: &PollReport) -> String {
    let events: Vec<_> = report.events.iter().map(|event| event.body.as_str()).collect();
    let fault = report.fault.as_ref().map(|fault| (&fault.code, &fault.sentence));
    format!("{} {} {fault:?} {:?} {events:#?}", report.outcome, report.items, report.changes)
}

async fn play(keys: &str, lists: Vec<List>) {
    let cut = Desk::new(&format!("key: .id, {keys}"));
    let whole = Desk::new(&format!("key: .id, {keys}, fail_when: 'false'"));
    for list in &lists {
        let body = body(list);
        let (cut_report, whole_report) =
            (cut.answer([text(&body)]).await, whole.answer([text(&body)]).await);
        assert_eq!(told(&cut_report), told(&whole_report), "{lists:?}");
        assert_eq!(cut.stored().await, whole.stored().await, "{lists:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn a_list_that_is_cut_comes_to_the_same(lists in lists(), settle in 0..2_u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let keys = format!("settle: {settle}, first_poll: emit, deletes: {{ after: 2, brake: {{ count: 3, percent: 50 }} }}");
        runtime.expect("a runtime").block_on(play(&keys, lists));
    }
}
