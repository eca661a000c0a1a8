//! What is kept of a declaration's parts comes back as it was.

use super::Parts;

#[test]
fn parts_come_back_as_they_were_kept() {
    for text in [
        "",
        "url=00112233",
        "query=00112233",
        "url=00112233 query=44556677",
        "url=00112233 query=44556677 method=8899aabb key=ccddeeff",
        "url=00112233 ignore=44556677",
        "method=8899aabb",
        // Of a later version.
        "url=0011223344556677 method=8899aabb",
        "url=what method=8899aabb",
        "unheard=of url=00112233",
    ] {
        assert_eq!(Parts::kept(text).text(), text);
        assert_eq!(Parts::kept(text), Parts::kept(text));
    }
}

#[test]
fn the_keys_that_differ_are_named() {
    let check = |old: &str, new: &str, identity: &[&str], comparison: &[&str]| {
        let (old, new) = (Parts::kept(old), Parts::kept(new));
        assert_eq!(old.identity_keys(&new), identity, "{old:?} {new:?}");
        assert_eq!(old.comparison_keys(&new), comparison, "{old:?} {new:?}");
    };
    check("url=00000001 key=00000002", "url=00000001 key=00000002", &[], &[]);
    check("url=00000001 key=00000002", "url=00000003 key=00000002", &["url"], &[]);
    check("url=00000001", "url=00000001 query=00000002 until=00000003", &["query"], &["until"]);
    check("url=00000001 query=00000002 ignore=00000004", "url=00000001", &["query"], &["ignore"]);
    // Earlier versions kept none.
    check("", "url=00000001", &[], &[]);
}
