//! Columns, sizes and harmless text.

use std::time::Duration;

use crate::cli::print::{FAINT, brief, column, printable, size};

#[test]
fn text_from_outside_cannot_move_the_cursor() {
    let check = |text: &str, chars_max: usize, expected: &str| {
        assert_eq!(printable(text, chars_max), expected);
    };
    check("ticket.created", 40, "ticket.created");
    check("größe", 5, "größe");
    check("größe", 4, "größ…");
    check("", 0, "");
    check("a", 0, "…");
    check("a\u{1b}[2Jb\nc\u{7f}\u{9b}", 40, "a·[2Jb·c··");
    check("abc\u{202e}def", 40, "abc·def");
}

#[test]
fn columns_are_filled_by_characters_and_never_cut() {
    let plain =
        |text: &str, width| anstream::adapter::strip_str(&column(FAINT, text, width)).to_string();
    assert_eq!(plain("ü", 3), "ü  ");
    assert_eq!(plain("long", 3), "long");
    assert_eq!(plain("", 2), "  ");
}

#[test]
fn numbers_read_well() {
    let check = |bytes: usize, expected: &str| assert_eq!(size(bytes), expected);
    check(0, "0 B");
    check(1_023, "1023 B");
    check(1_024, "1.0 KiB");
    check(12_640, "12.3 KiB");
    check(1_048_576, "1.0 MiB");
    let check = |millis: u64, expected: &str| {
        assert_eq!(brief(Duration::from_millis(millis)), expected);
    };
    check(0, "0ms");
    check(85, "85ms");
    check(1_240, "1.240s");
    check(12_345, "12s");
}
