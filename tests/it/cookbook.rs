//! The recipes of `docs/cookbook.md`, each as it is printed there, against a server that behaves as that API's
//! documentation says. Only hosts are replaced, and one interval that nobody wants to wait for; secrets come from the
//! environment, as they do for anybody.

mod bank;
mod discussions;
mod github;
mod jira;
mod kitchen;
mod notion;
mod parcels;
mod prices;
mod releases;
mod salesforce;
mod shopify;
mod statuspage;
mod zendesk;

use std::path::Path;

use self::kitchen::{BOOK, recipes};

/// A recipe without a test is a promise that nobody keeps.
#[test]
fn every_recipe_is_cooked_here() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/cookbook");
    let code: String = std::fs::read_dir(home)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for recipe in recipes() {
        assert!(code.contains(&format!("Kitchen::of(\"{recipe}\")")), "nobody cooks {recipe:?}");
    }
    let readme = include_str!("../../README.md");
    assert!(readme.contains("(docs/cookbook.md)"), "the README does not lead to the cookbook");
}

/// The table at the top of the book lists what is in it.
#[test]
fn the_contents_are_the_recipes() {
    let listed = BOOK.lines().filter_map(|line| line.strip_prefix("- [")?.split_once("](#"));
    let slug = |title: &str| {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let listed: Vec<_> = listed
        .map(|(title, anchor)| {
            assert_eq!(
                anchor.split(')').next(),
                Some(slug(title).as_str()),
                "the anchor of {title}"
            );
            title.to_owned()
        })
        .collect();
    assert_eq!(listed, recipes());
}
