//! Old and new configuration side by side, for a reload.

use std::collections::HashMap;

use crate::config::Config;

/// What a reload changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Difference {
    pub(crate) sources: Names,
    pub(crate) endpoints: Names,
    /// `listen` or `token` differ.
    pub(crate) server_changed: bool,
}

/// Names, by what became of them; each list in the order of its file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Names {
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    pub(crate) changed: Vec<String>,
    pub(crate) unchanged: Vec<String>,
}

/// Compares two configurations.
pub(crate) fn difference(old: &Config, new: &Config) -> Difference {
    Difference {
        sources: names(&old.sources, &new.sources, |source| source.name.as_str()),
        endpoints: names(&old.endpoints, &new.endpoints, |endpoint| endpoint.name.as_str()),
        server_changed: old.server != new.server,
    }
}

fn names<T: PartialEq>(old: &[T], new: &[T], name_of: impl Fn(&T) -> &str) -> Names {
    let mut names = Names::default();
    let mut left: HashMap<&str, &T> = old.iter().map(|one| (name_of(one), one)).collect();
    for one in new {
        let name = name_of(one);
        let list = match left.remove(name) {
            None => &mut names.added,
            Some(before) if before == one => &mut names.unchanged,
            Some(_) => &mut names.changed,
        };
        list.push(name.to_owned());
    }
    let removed = old.iter().map(&name_of).filter(|name| left.contains_key(name));
    names.removed = removed.map(str::to_owned).collect();
    names
}
