//! How moments are held.

use proptest::prelude::*;

use super::Timestamp;

#[test]
fn a_moment_that_may_be_missing_takes_no_more_room() {
    assert_eq!(size_of::<Option<Timestamp>>(), size_of::<i64>());
    assert_eq!(Timestamp::default().as_millis(), 0);
    // The very least is taken for the next one.
    assert_eq!(Timestamp::from_millis(i64::MIN).as_millis(), i64::MIN + 1);
}

proptest! {
    #[test]
    fn moments_are_in_order(one in i64::MIN + 1.., other in i64::MIN + 1..) {
        let (first, second) = (Timestamp::from_millis(one), Timestamp::from_millis(other));
        prop_assert_eq!((first.as_millis(), second.as_millis()), (one, other));
        prop_assert_eq!(first.cmp(&second), one.cmp(&other));
    }
}
