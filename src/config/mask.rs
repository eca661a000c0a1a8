//! The line a problem stands on, as it may be shown. Hidden is the rule: only the keys, what the walk through the tree
//! revealed, and `${…}` themselves are shown; the rest is `•••`, and comments are cut.
//!
//! After a syntax error there is no tree; then the line is judged by its words, and what is not surely harmless is hidden.

use std::collections::HashMap;
use std::ops::Range;

use crate::config::fill::{Origin, references};
use crate::config::keys;
use crate::config::problem::Excerpt;
use crate::config::report::ReadFile;
use crate::config::tree::{Place, Scalar};
use crate::core::template::{Span, split};

/// How much of a scalar may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Showing {
    Whole,
    Nothing,
    /// A URL without user, password and query.
    Address,
    /// A URL's scheme and host only.
    Host,
    /// Templates, but for those with literals in them.
    Template,
}

/// What stands for hidden text.
const MASK: &str = "•••";
/// Bytes looked at on each side of a place: a file may be one long line.
const WINDOW_BYTES: usize = 1000;
/// Characters of a line that are shown.
const EXCERPT_CHARS_MAX: usize = 120;
/// Lines looked back at for what a line belongs to.
const LOOK_BACK_LINES_MAX: usize = 1000;

/// A stretch of a file's bytes, shown or hidden.
type Piece = (Range<usize>, bool);

/// Makes excerpts of the files that were read.
pub(super) struct Excerpts<'a> {
    files: &'a [ReadFile],
    shown: HashMap<(u16, u32), Showing>,
}

impl<'a> Excerpts<'a> {
    /// For these files, showing only these scalars.
    pub(super) fn new(files: &'a [ReadFile], shown: HashMap<(u16, u32), Showing>) -> Self {
        Self { files, shown }
    }

    /// The line a place is on.
    pub(super) fn at(&self, place: Place) -> Option<Excerpt> {
        let file = self.files.get(usize::from(place.file))?;
        let text = file.text.as_str();
        let start = text.floor_char_boundary((place.start as usize).min(text.len()));
        let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let line_end = text.get(start..)?.find('\n').map_or(text.len(), |at| start + at);
        let from = text.ceil_char_boundary(line_start.max(start.saturating_sub(WINDOW_BYTES)));
        let to = text.floor_char_boundary(line_end.min(start + WINDOW_BYTES));
        let pieces = match &file.root {
            Some(_) => self.by_tree(place.file, file, from..to),
            None => by_words(text, line_start, from..to),
        };
        let end = (place.end as usize).max(start + 1);
        let cells = cells(text, &pieces);
        let blank = cells.iter().all(|(character, _)| character.is_whitespace());
        (!blank).then(|| excerpt(&cells, start..end))
    }

    fn by_tree(&self, number: u16, file: &ReadFile, window: Range<usize>) -> Vec<Piece> {
        let (text, scalars) = (file.text.as_str(), &file.scalars);
        let first = scalars.partition_point(|scalar| scalar.at.end as usize <= window.start);
        let (mut pieces, mut from) = (Vec::new(), window.start);
        for Scalar { at, is_key } in scalars.iter().skip(first) {
            let place = at.start as usize..at.end as usize;
            if place.start >= window.end {
                break;
            }
            pieces.extend(structure(text, from..place.start.max(from)));
            let shown = self.shown.get(&(number, at.start)).copied();
            let shown = shown.or(is_key.then_some(Showing::Whole));
            let source = text.get(place.clone()).unwrap_or_default();
            let parts = parts_of(source, shown).into_iter().map(|(part, shown)| {
                let part = place.start + part.start..place.start + part.end;
                (part.start.max(window.start)..part.end.min(window.end), shown)
            });
            pieces.extend(parts.filter(|(part, _)| !part.is_empty()));
            from = place.end.clamp(from, window.end);
        }
        let rest = text.get(from..window.end).unwrap_or_default();
        let end = from + comment_start(rest, from == window.start);
        pieces.extend(structure(text, from..end));
        pieces
    }
}

/// What stands between scalars: brackets and blanks are shown, anchors, tags and whatever else are not.
fn structure(text: &str, place: Range<usize>) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, character) in text.get(place.clone()).unwrap_or_default().char_indices() {
        let at = place.start + at..place.start + at + character.len_utf8();
        let shown = character.is_whitespace() || "{}[],:?-|>\"'".contains(character);
        match pieces.last_mut() {
            Some((last, same)) if *same == shown => last.end = at.end,
            _ => pieces.push((at, shown)),
        }
    }
    pieces
}

/// Where a comment begins, or the text's length. `at_start`: whether the text begins a line.
fn comment_start(text: &str, at_start: bool) -> usize {
    let mut blank = at_start;
    for (at, character) in text.char_indices() {
        if character == '#' && blank {
            return at;
        }
        blank = character.is_whitespace();
    }
    text.len()
}

/// A scalar's source in shown and hidden parts.
fn parts_of(source: &str, showing: Option<Showing>) -> Vec<Piece> {
    let quote = usize::from(source.starts_with(['"', '\'']) && source.len() > 1);
    let inner = quote..source.len() - quote;
    let content = source.get(inner.clone()).unwrap_or_default();
    let mut parts = match showing {
        Some(Showing::Whole) => vec![(0..content.len(), true)],
        Some(Showing::Address) => address_parts(content, true),
        Some(Showing::Host) => address_parts(content, false),
        Some(Showing::Template) => templates_only(content),
        Some(Showing::Nothing) | None => references_only(content),
    };
    for (part, _) in &mut parts {
        *part = part.start + inner.start..part.end + inner.start;
    }
    parts.insert(0, (0..quote, true));
    parts.push((inner.end..source.len(), true));
    parts.retain(|(part, _)| !part.is_empty());
    parts
}

/// Everything hidden but references; their defaults are text like any other.
fn references_only(content: &str) -> Vec<Piece> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for reference in references(content) {
        if matches!(reference.origin, Origin::Variable { default: Some(_), .. }) {
            continue;
        }
        parts.push((end..reference.at.start, false));
        end = reference.at.end;
        parts.push((reference.at, true));
    }
    parts.push((end..content.len(), false));
    parts
}

/// Everything hidden but references, and templates in which no literal stands.
fn templates_only(content: &str) -> Vec<Piece> {
    let shown = |at: &Range<usize>| {
        content.get(at.clone()).is_some_and(|jq| !jq.contains(['"', '\'', '$', '\\']))
    };
    let (mut parts, mut end) = (Vec::new(), 0);
    for span in split(content).unwrap_or_default() {
        if let Span::Jq(at) = span
            && shown(&at)
        {
            let whole = at.start - 2..at.end + 2;
            parts.extend(hidden(content, end..whole.start));
            end = whole.end;
            parts.push((whole, true));
        }
    }
    parts.extend(hidden(content, end..content.len()));
    parts
}

/// A part of a content with only its references shown.
fn hidden(content: &str, part: Range<usize>) -> impl Iterator<Item = Piece> {
    let pieces = references_only(content.get(part.clone()).unwrap_or_default());
    pieces.into_iter().map(move |(at, shown)| (at.start + part.start..at.end + part.start, shown))
}

/// A URL's scheme and host, and its path if `with_path`. Text that is no URL is shown, without its path just the same,
/// unless it could hold a secret.
fn address_parts(content: &str, with_path: bool) -> Vec<Piece> {
    let Some(host) = content.find("://").map(|at| at + 3) else {
        if content.contains(['@', '?', '#']) {
            return vec![(0..content.len(), false)];
        }
        let is_end = |character: char| character == '/' || character.is_whitespace();
        let end = content.find(is_end).filter(|_| !with_path).unwrap_or(content.len());
        return vec![(0..end, true), (end..content.len(), false)];
    };
    let rest = content.get(host..).unwrap_or_default();
    let authority = host + rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let user = content.get(host..authority).and_then(|authority| authority.rfind('@'));
    let user = user.map_or(host, |at| host + at);
    let shown_end = if with_path {
        host + rest.find(['?', '#']).map_or(rest.len(), |at| at + 1)
    } else {
        (authority + 1).min(content.len())
    };
    vec![
        (0..host, true),
        (host..user, false),
        (user..shown_end.max(user), true),
        (shown_end.max(user)..content.len(), false),
    ]
}

/// A line of a file without a tree.
fn by_words(text: &str, line_start: usize, window: Range<usize>) -> Vec<Piece> {
    let line = text.get(line_start..window.end).unwrap_or_default();
    let line = line.get(..comment_start(line, true)).unwrap_or_default();
    let indentation = line.len() - line.trim_start().len();
    let in_secret = is_in_secret(text, line_start, indentation);
    let end = line_start + line.len();
    let colons = key_colons(line);
    let closed = colons.iter().find(|(word, _)| !keys::is_harmless(word));
    let mut hidden = match (colons.first(), closed) {
        // Without a key it may be a part of anything.
        (None, _) => line_start + indentation,
        (Some((_, after)), _) if in_secret => line_start + after,
        (Some(_), Some((_, after))) => line_start + after,
        (Some(_), None) => end,
    };
    // A URL's user and query are hidden whatever the key says.
    let address = line.find("://").map_or(end, |at| line_start + at);
    hidden = hidden.min(address);
    let clip = |at: usize| at.clamp(window.start, window.end);
    let mut pieces = vec![(clip(line_start)..clip(hidden), true), (clip(hidden)..clip(end), false)];
    pieces.retain(|(piece, _)| !text.get(piece.clone()).unwrap_or_default().trim().is_empty());
    pieces
}

/// The words before a `:` of a line, each with the byte after the colon.
fn key_colons(line: &str) -> Vec<(&str, usize)> {
    let colons = line.match_indices(':').map(|(at, _)| at);
    let of_keys = colons.filter(|at| {
        line.get(at + 1..)
            .is_none_or(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    });
    let word = |at: usize| {
        let before = line.get(..at).unwrap_or_default().trim_end_matches(['"', '\'']);
        before.rsplit([' ', '\t', '{', ',', '[', '"', '\'']).next().unwrap_or_default()
    };
    of_keys.map(|at| (word(at), at + 1)).collect()
}

/// Whether the lines above, of less indentation, say that a line belongs to a secret, or to a text of many lines.
fn is_in_secret(text: &str, line_start: usize, indentation: usize) -> bool {
    let above = text.get(..line_start).unwrap_or_default();
    let mut least = indentation;
    for line in above.lines().rev().take(LOOK_BACK_LINES_MAX) {
        let content = line.trim_start();
        let indentation = line.len() - content.len();
        if content.is_empty() || content.starts_with('#') || indentation >= least {
            continue;
        }
        least = indentation;
        let colons = key_colons(content);
        let secret = colons.first().is_none_or(|(word, _)| keys::is_secret(word));
        if secret || content.ends_with(['|', '>', '-', '+']) {
            return true;
        }
    }
    false
}

/// One shown character, and the bytes of the file it stands for.
type Cell = (char, Range<usize>);

fn cells(text: &str, pieces: &[Piece]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for (place, shown) in pieces {
        let source = text.get(place.clone()).unwrap_or_default();
        if !shown {
            cells.extend(MASK.chars().map(|mask| (mask, place.clone())));
            continue;
        }
        for (at, character) in source.char_indices() {
            let at = place.start + at;
            let printable = if character.is_control() { ' ' } else { character };
            cells.push((printable, at..at + character.len_utf8()));
        }
    }
    cells
}

/// Draws the carets, and crops the line around them.
fn excerpt(cells: &[Cell], marked: Range<usize>) -> Excerpt {
    let caret = cells.iter().take_while(|(_, place)| place.end <= marked.start).count();
    let marked_cells = cells.iter().skip(caret).take_while(|(_, place)| place.start < marked.end);
    let width = marked_cells.count().clamp(1, EXCERPT_CHARS_MAX);
    let skipped = if cells.len() > EXCERPT_CHARS_MAX {
        caret.saturating_sub(EXCERPT_CHARS_MAX / 3)
    } else {
        0
    };
    let left = cells.iter().skip(skipped);
    let mut text: String = left.take(EXCERPT_CHARS_MAX).map(|(character, _)| character).collect();
    if cells.len() > skipped + EXCERPT_CHARS_MAX {
        text.push('…');
    }
    let lead = if skipped > 0 { "… " } else { "" };
    let caret = caret - skipped + lead.chars().count();
    let width = width.min(text.chars().count().saturating_sub(caret - lead.chars().count())).max(1);
    Excerpt { text: format!("{lead}{}", text.trim_end()), caret, width }
}
