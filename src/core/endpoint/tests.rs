//! Which events an endpoint wants.

use proptest::prelude::*;

use crate::core::endpoint::{Subscription, glob_matches};

#[test]
fn a_star_stands_for_any_run_of_characters() {
    let check = |glob: &str, yes: &[&str], no: &[&str]| {
        for text in yes {
            assert!(glob_matches(glob, text), "{glob:?} must match {text:?}");
        }
        for text in no {
            assert!(!glob_matches(glob, text), "{glob:?} must not match {text:?}");
        }
    };
    check("", &[""], &["a"]);
    check("*", &["", "a", "a.b", "ü"], &[]);
    check("**", &["", "a"], &[]);
    check("ticket.*", &["ticket.", "ticket.created", "ticket.a.b"], &["ticket", "tickets.created"]);
    check("*.created", &["ticket.created", ".created"], &["ticket.created2", "created"]);
    check("a*b*c", &["abc", "aXbXc", "abbc", "abcbc"], &["ab", "abcd", "xabc", "acb"]);
    check("*ab", &["ab", "aab", "abab"], &["aba", "b"]);
    check("a*a", &["aa", "aXa", "aaa"], &["a", "ab"]);
    check("created", &["created"], &["create", "createdd", "Created"]);
    check("a?", &["a?"], &["ab"]);
    check("a.c", &["a.c"], &["abc"]);
    check("größe.*", &["größe.x"], &["grösse.x"]);
    // One star too many to try every split: it must end at once all the same.
    let (glob, text) = ("a*".repeat(60) + "b", "a".repeat(4_000));
    check(&glob, &[], &[&text]);
}

#[test]
fn doorbells_own_events_must_be_named() {
    let check = |globs: Option<&[&str]>, yes: &[&str], no: &[&str]| {
        let wanted = globs.map_or_else(Subscription::default_types, |globs| {
            Subscription::to(globs.iter().map(|glob| (*glob).to_owned()).collect())
        });
        for event_type in yes {
            assert!(wanted.wants(event_type), "{globs:?} wants {event_type}");
        }
        for event_type in no {
            assert!(!wanted.wants(event_type), "{globs:?} does not want {event_type}");
        }
    };
    let own = "doorbell.source.failing";
    check(None, &["ticket.created", "doorbells.created"], &[own]);
    check(Some(&["*"]), &["ticket.created"], &[own]);
    check(Some(&["*.failing", "door*"]), &["x.failing", "doors.created"], &[own]);
    check(Some(&["doorbell.*"]), &[own, "doorbell.delivery.exhausted"], &["ticket.created"]);
    check(Some(&["doorbell.source.*"]), &[own], &["doorbell.delivery.exhausted"]);
    check(Some(&["ticket.*", "doorbell.*"]), &["ticket.created", own], &["order.created"]);
    check(Some(&[]), &[], &["ticket.created", own]);
}

proptest! {
    /// Against the plain recursive meaning.
    #[test]
    fn matching_means_what_it_says(glob in "[ab*]{0,8}", text in "[ab]{0,10}") {
        fn matches(glob: &[u8], text: &[u8]) -> bool {
            match (glob.first(), text.first()) {
                (None, rest) => rest.is_none(),
                (Some(b'*'), rest) => {
                    matches(&glob[1..], text) || rest.is_some() && matches(glob, &text[1..])
                }
                (Some(one), Some(other)) => one == other && matches(&glob[1..], &text[1..]),
                (Some(_), None) => false,
            }
        }
        prop_assert_eq!(glob_matches(&glob, &text), matches(glob.as_bytes(), text.as_bytes()));
    }
}
