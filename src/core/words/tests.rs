use super::count;

#[test]
fn nouns_agree_with_their_numbers() {
    let check = |number: u64, noun: &str, expected: &str| {
        assert_eq!(count(number, noun), expected);
    };
    check(0, "event", "0 events");
    check(1, "event", "1 event");
    check(2, "event", "2 events");
    check(1, "delivery", "1 delivery");
    check(21, "delivery", "21 deliveries");
    check(0, "entry", "0 entries");
    check(1, "key", "1 key");
    check(3, "key", "3 keys");
    check(u64::MAX, "held change", "18446744073709551615 held changes");
    assert_eq!(count(usize::MAX, "source"), format!("{} sources", usize::MAX));
}
