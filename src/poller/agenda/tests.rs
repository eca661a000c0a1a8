//! The agenda, without a poller.

use std::collections::VecDeque;

use super::Agenda;
use crate::core::ids::{EntryKey, SourceName, UnitName};
use crate::core::limits::{
    ENTRIES_FAILING_MIN, ENTRIES_IN_FLIGHT_FAILING_MAX, ENTRIES_IN_FLIGHT_MAX,
};
use crate::core::time::Timestamp;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn entry(number: usize) -> UnitName {
    UnitName::of(&SourceName::new("parcels"), &EntryKey::new(format!("{number:05}")))
}

fn plain() -> UnitName {
    UnitName::new("tickets")
}

fn take_all(agenda: &mut Agenda, now: i64) -> Vec<UnitName> {
    std::iter::from_fn(|| agenda.take_due(at(now)).map(|(unit, _)| unit)).collect()
}

#[test]
fn the_longest_due_comes_first_and_the_rest_not_yet() {
    let mut agenda = Agenda::default();
    agenda.set(entry(1), at(30));
    agenda.set(plain(), at(20));
    agenda.set(entry(2), at(10));
    agenda.set(entry(3), at(50));
    agenda.set(entry(1), at(40));
    agenda.remove(&entry(3));
    assert_eq!(agenda.next_due(), Some(at(10)));
    assert_eq!(take_all(&mut agenda, 35), [entry(2), plain()]);
    assert_eq!(take_all(&mut agenda, 45), [entry(1)]);
    assert_eq!(agenda.next_due(), None);
}

#[test]
fn thousands_of_entries_take_turns_and_hold_up_no_other_source() {
    let count = 5_000;
    let mut agenda = Agenda::default();
    for number in 0..count {
        agenda.set(entry(number), at(10));
    }
    agenda.set(plain(), at(10));
    let mut under_way: VecDeque<_> = take_all(&mut agenda, 10).into();
    assert!(under_way.contains(&plain()));
    under_way.retain(|unit| *unit != plain());
    assert_eq!(under_way.len(), ENTRIES_IN_FLIGHT_MAX);
    let mut polled = Vec::new();
    while let Some(unit) = under_way.pop_front() {
        agenda.over(&unit, Some(false));
        // Due again long before the last one had its turn: it comes behind that one.
        agenda.set(unit.clone(), at(20));
        polled.push(unit);
        under_way.extend(take_all(&mut agenda, 30));
        assert!(under_way.len() <= ENTRIES_IN_FLIGHT_MAX);
        if polled.len() == 2 * count {
            break;
        }
    }
    let once: Vec<_> = (0..count).map(entry).collect();
    let (first, second) = polled.split_at(count);
    assert_eq!(first, once);
    assert_eq!(second, once);
}

#[test]
fn few_are_polled_at_once_while_all_fail() {
    let mut agenda = Agenda::default();
    for number in 0..1_000 {
        agenda.set(entry(number), at(10));
    }
    let mut under_way: VecDeque<_> = take_all(&mut agenda, 10).into();
    for _ in 0..ENTRIES_FAILING_MIN {
        assert!(!agenda.is_strained(&SourceName::new("parcels")));
        agenda.over(&under_way.pop_front().expect("many are under way"), Some(true));
        under_way.extend(take_all(&mut agenda, 10));
    }
    assert!(agenda.is_strained(&SourceName::new("parcels")));
    for _ in 0..100 {
        agenda.over(&under_way.pop_front().expect("some are under way"), Some(true));
        under_way.extend(take_all(&mut agenda, 10));
    }
    assert_eq!(under_way.len(), ENTRIES_IN_FLIGHT_FAILING_MAX);
    // One that goes well opens the door again; one that was not made says nothing.
    agenda.over(&under_way.pop_front().expect("some are under way"), None);
    under_way.extend(take_all(&mut agenda, 10));
    assert_eq!(under_way.len(), ENTRIES_IN_FLIGHT_FAILING_MAX);
    agenda.over(&under_way.pop_front().expect("some are under way"), Some(false));
    under_way.extend(take_all(&mut agenda, 10));
    assert_eq!(under_way.len(), ENTRIES_IN_FLIGHT_MAX);
}

#[test]
fn a_source_that_is_no_more_leaves_nothing_behind() {
    let mut agenda = Agenda::default();
    for number in 0..200 {
        agenda.set(entry(number), at(10));
    }
    let under_way = take_all(&mut agenda, 10);
    agenda.over(&under_way[0], Some(false));
    agenda.forget(&SourceName::new("parcels"));
    assert_eq!(take_all(&mut agenda, 10), []);
    for unit in &under_way[1..] {
        agenda.over(unit, Some(false));
    }
    agenda.forget(&SourceName::new("parcels"));
    assert!(agenda.strains.is_empty());
}
