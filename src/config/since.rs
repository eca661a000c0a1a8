//! `since` and `sweep` of a source.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::keys;
use crate::config::report::Finding;
use crate::config::tree::{Node, Place, Value};
use crate::config::walk::{Fields, Walk};
use crate::core::json;
use crate::core::since::{Format, Mark, Since};
use crate::core::source::Source;

/// How often everything is listed, unless it is said.
const SWEEP: Duration = Duration::from_hours(6);

/// Reads `since`, with the `sweep` beside it.
pub(super) fn read<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>, node: &'a Node) -> Option<Since> {
    let since = since(walk, node);
    let sweep = fields.or("sweep", Some(SWEEP), |node| match node.text() {
        Some("off") => Some(None),
        _ => walk.span(node).map(Some),
    });
    Some(Since { sweep: sweep?, ..since? })
}

/// What a source says about it that leads nowhere.
pub(super) fn check_use(walk: &mut Walk<'_>, fields: &Fields<'_>, source: &Source, owner: Place) {
    match (fields.get("since"), fields.get("sweep")) {
        (Some(node), _) => {
            let has_param = source.since.as_ref().is_some_and(|since| since.param.is_some());
            if !has_param && !source.uses("since") {
                let finding = Finding::error(node.place, "nothing says how `since` is sent");
                let hint = "such as `param: updated_since`, or `{{since}}` in the query";
                walk.report.add(finding.hint(hint));
            }
        }
        // In `defaults` it may be there for other sources.
        (None, Some(node)) if node.place > owner => {
            let sentence = "`sweep` does nothing without `since`: every poll lists everything";
            walk.report.add(Finding::warning(node.place, sentence));
        }
        (None, _) => {}
    }
}

fn since<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Since> {
    let fields = walk.fields(node, keys::SINCE, node.place)?;
    let param = fields.or("param", None, |node| walk.text(node).map(|text| Some(text.to_owned())));
    let from = fields.or("from", None, |node| walk.expression(node).map(Some));
    let token = fields.or("token", None, |node| walk.expression(node).map(Some));
    let overlap = fields.or("overlap", Duration::ZERO, |node| overlap(walk, node));
    let format = format(walk, &fields);
    let (param, from, token, overlap) = (param?, from?, token?, overlap?);
    let mark = match (from, token) {
        (Some(from), None) => Mark::From { from, overlap, format: format? },
        (None, Some(token)) => {
            no_moment(walk, &fields, "a token is sent back as it came")?;
            Mark::Token(token)
        }
        _ => {
            let hint = "`from: .updated_at` over the items, or `token: .next` over the last page";
            return walk.report.wrong(
                node,
                "`since` takes exactly one of `from` and `token`",
                hint,
            );
        }
    };
    if let Mark::From { format: Format::Raw, .. } = mark
        && let Some(overlap) = fields.get("overlap")
    {
        return walk.report.wrong(overlap, "there is no `overlap` of raw values", "take it out");
    }
    let start = match fields.get("start") {
        Some(node) => Some(start(walk, node, &mark)?),
        None => None,
    };
    Some(Since { param, mark, start, sweep: None })
}

/// What belongs to moments only.
fn no_moment(walk: &mut Walk<'_>, fields: &Fields<'_>, why: &str) -> Option<()> {
    let given = ["overlap", "format", "zone"].iter().find_map(|name| fields.get(name));
    match given {
        Some(node) => walk.report.wrong(node, format!("this does not go with `token`: {why}"), ""),
        None => Some(()),
    }
}

/// As a duration, and also zero.
fn overlap<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<Duration> {
    match node.text() {
        Some("0" | "0s") => Some(Duration::ZERO),
        _ => walk.span(node),
    }
}

fn format<'a>(walk: &mut Walk<'a>, fields: &Fields<'a>) -> Option<Format> {
    let zone = match fields.get("zone") {
        Some(node) => zone(walk, node)?,
        None => TimeZone::UTC,
    };
    let Some(node) = fields.get("format") else { return plain(walk, fields, Format::Rfc3339) };
    match walk.text(node)? {
        "rfc3339" => plain(walk, fields, Format::Rfc3339),
        "unix" => plain(walk, fields, Format::Unix),
        "unix_ms" => plain(walk, fields, Format::UnixMillis),
        "raw" => plain(walk, fields, Format::Raw),
        pattern => {
            let format = Format::Pattern { pattern: pattern.to_owned(), zone };
            if pattern.contains('%') && format.is_valid() {
                return Some(format);
            }
            let hint = "`rfc3339`, `unix`, `unix_ms`, `raw`, or a pattern such as `%Y-%m-%d %H:%M`";
            walk.report.wrong(node, "this is no format of a time", hint)
        }
    }
}

/// A format that knows no zone.
fn plain(walk: &mut Walk<'_>, fields: &Fields<'_>, format: Format) -> Option<Format> {
    match fields.get("zone") {
        None => Some(format),
        // The default, written out.
        Some(node) if node.text() == Some("UTC") => Some(format),
        Some(node) => {
            walk.report.wrong(node, "`zone` goes with an strftime pattern only", "take it out")
        }
    }
}

fn zone<'a>(walk: &mut Walk<'a>, node: &'a Node) -> Option<TimeZone> {
    let name = walk.text(node)?;
    match TimeZone::get(name) {
        Ok(zone) => Some(zone),
        Err(_) => {
            walk.report.wrong(node, "this is no time zone", "such as `UTC` or `Europe/Berlin`")
        }
    }
}

/// Where the first poll and sweeps begin, as it is sent.
fn start<'a>(walk: &mut Walk<'a>, node: &'a Node, mark: &Mark) -> Option<json::Value> {
    let text = walk.text(node)?;
    let value = match &node.value {
        Value::Number(_) => json::read(text).unwrap_or_else(|_| json::text(text)),
        _ => json::text(text),
    };
    if let Mark::From { format, .. } = mark
        && *format != Format::Raw
        && format.read(&value).is_none()
    {
        let finding =
            Finding::error(node.place, "this is no time that `from` could be compared with");
        walk.report.add(finding.hint("such as `2026-01-01T00:00:00Z`, or as `format` says"));
        return None;
    }
    Some(value)
}
