//! "Did you mean …?"

/// What people type who know other tools, and what it is called here.
const SYNONYMS: [(&str, &str); 12] = [
    ("interval", "every"),
    ("schedule", "every"),
    ("poll", "every"),
    ("id", "key"),
    ("params", "query"),
    ("target", "url"),
    ("target_url", "url"),
    ("uri", "url"),
    ("pagination", "pages"),
    ("retries", "retry"),
    ("signature", "sign"),
    ("exclude", "ignore"),
];

/// The name that was probably meant: a known other word for it, or the nearest one by edits.
pub(crate) fn meant<'a>(
    typed: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    let synonym = SYNONYMS.iter().find(|(other, _)| *other == lower).map(|(_, name)| *name);
    let by_synonym = synonym.and_then(|meant| names.clone().find(|name| *name == meant));
    let edits_max = (typed.chars().count() / 3).max(1);
    by_synonym.or_else(|| {
        let near = names.map(|name| (edits(&lower, name), name));
        near.filter(|(edits, _)| *edits <= edits_max)
            .min_by_key(|(edits, _)| *edits)
            .map(|near| near.1)
    })
}

/// Insertions, removals, replacements and swaps of neighbours that turn one text into the other: the restricted
/// Damerau-Levenshtein distance. Long texts are far from everything.
fn edits(one: &str, other: &str) -> usize {
    const CHARS_MAX: usize = 64;
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len() > CHARS_MAX || other.len() > CHARS_MAX {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let at =
                |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(a != b);
            let mut least = replaced.min(at(&last, column + 1) + 1).min(at(&next, column) + 1);
            let neighbours = row.checked_sub(1).zip(column.checked_sub(1));
            if let Some((above, left)) = neighbours
                && one.get(above) == Some(b)
                && other.get(left) == Some(a)
            {
                least = least.min(at(&before_last, left) + 1);
            }
            next.push(least);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or(usize::MAX)
}
