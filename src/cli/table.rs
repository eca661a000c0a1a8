//! Listings for people. What the API answered comes in; control characters in it are made harmless on the way out.

use std::io;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;

use super::print::{self, BAD, FAINT, GOOD, NAME, NEWS, STRONG, column, line, printable, styled};

/// The widest text from outside in one column.
const COLUMN_CHARS_MAX: usize = 80;

/// A field as text: strings without quotes, `null` and absence empty.
fn text(value: &Value, name: &str) -> String {
    let shown = match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    printable(&shown, COLUMN_CHARS_MAX)
}

/// The time of day in UTC with the date, to the second.
fn time(value: &Value, name: &str) -> String {
    let text = text(value, name);
    let short = text.split('.').next().unwrap_or(&text).replace('T', " ");
    short.trim_end_matches('Z').to_owned()
}

/// `SOURCE/KEY`, or `SOURCE/ENTRY/KEY`. A single object of an entry has no key of its own.
fn item(value: &Value) -> String {
    let names = ["source", "entry", "key"].map(|name| text(value, name));
    match &names {
        [source, entry, key] if entry.is_empty() => format!("{source}/{key}"),
        [source, entry, key] if key.is_empty() => format!("{source}/{entry}"),
        names => names.join("/"),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().copied());
    table
}

/// Events, one a line.
pub(crate) fn events(envelopes: &[Value]) -> io::Result<()> {
    if envelopes.is_empty() {
        return print::note("no events");
    }
    envelopes.iter().try_for_each(event)
}

/// One event with what changed.
pub(crate) fn event(envelope: &Value) -> io::Result<()> {
    line(&format!(
        "{}  {}  {}  {}  {}",
        styled(FAINT, &time(envelope, "timestamp")),
        column(STRONG, &text(envelope, "type"), 24),
        column(NAME, &item(envelope), 24),
        column(FAINT, &format!("seq {}", text(envelope, "seq")), 10),
        styled(FAINT, &text(envelope, "id")),
    ))?;
    let changes = envelope.get("changes").and_then(Value::as_array);
    for change in changes.into_iter().flatten().take(12) {
        let side = |name| {
            if change.get(name).is_some() { text(change, name) } else { String::from("∅") }
        };
        let path = styled(NAME, &text(change, "path"));
        line(&format!("{:21}{path}: {} → {}", "", side("old"), side("new")))?;
    }
    Ok(())
}

/// Deliveries, one a line.
pub(crate) fn deliveries(rows: &[Value]) -> io::Result<()> {
    if rows.is_empty() {
        return print::note("no deliveries");
    }
    let mut table =
        table(&["ID", "ENDPOINT", "STATUS", "TRIES", "TYPE", "ITEM", "CREATED", "NEXT OR SETTLED"]);
    for row in rows {
        let when = if row.get("due_at").is_some_and(|due| !due.is_null()) {
            "due_at"
        } else {
            "settled_at"
        };
        table.add_row([
            text(row, "id"),
            text(row, "endpoint"),
            text(row, "status"),
            text(row, "attempts"),
            text(row, "type"),
            item(row),
            time(row, "created_at"),
            time(row, when),
        ]);
    }
    line(&table.to_string())
}

/// One delivery with every attempt and what the receiver answered.
pub(crate) fn delivery(detail: &Value) -> io::Result<()> {
    let empty = Value::Null;
    let row = detail.get("delivery").unwrap_or(&empty);
    let style = match text(row, "status").as_str() {
        "delivered" => GOOD,
        "exhausted" => BAD,
        _ => NEWS,
    };
    let (id, endpoint) = (text(row, "id"), text(row, "endpoint"));
    line(&format!(
        "{} to {}: {}",
        styled(STRONG, &id),
        styled(NAME, &endpoint),
        styled(style, &text(row, "status"))
    ))?;
    let item = format!("{} seq {}", item(row), text(row, "seq"));
    line(&format!(
        "  event {} {} of {item} ({})",
        text(row, "event"),
        text(row, "type"),
        text(row, "trigger")
    ))?;
    for (name, word) in
        [("due_at", "next attempt"), ("settled_at", "settled"), ("reason", "because")]
    {
        if row.get(name).is_some_and(|value| !value.is_null()) {
            line(&format!("  {word} {}", text(row, name)))?;
        }
    }
    for attempt in detail.get("attempts").and_then(Value::as_array).into_iter().flatten() {
        let fault = attempt.get("fault").map(|fault| text(fault, "sentence")).unwrap_or_default();
        let status = text(attempt, "status");
        let outcome = if fault.is_empty() { styled(GOOD, "accepted") } else { styled(BAD, &fault) };
        let (number, at, took) =
            (text(attempt, "number"), time(attempt, "at"), text(attempt, "took_ms"));
        line(&format!("  #{number} {} {status} {outcome} ({took} ms)", styled(FAINT, &at)))?;
        let answer = text(attempt, "answer");
        if !answer.is_empty() {
            line(&format!("     answer: {answer}"))?;
        }
    }
    Ok(())
}

/// Endpoints, one a line.
pub(crate) fn endpoints(rows: &Value) -> io::Result<()> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return print::note("no endpoint is known yet");
    }
    let mut table = table(&[
        "ENDPOINT",
        "CONDITION",
        "WAITING",
        "GIVEN UP",
        "SINCE",
        "NEXT PROBE",
        "LAST FAULT",
    ]);
    for row in rows {
        let fault = row.get("fault").map(|fault| text(fault, "sentence")).unwrap_or_default();
        table.add_row([
            text(row, "name"),
            text(row, "condition"),
            text(row, "pending"),
            text(row, "exhausted"),
            time(row, "since"),
            time(row, "probe_at"),
            fault,
        ]);
    }
    line(&table.to_string())
}

/// Held changes, one a line.
pub(crate) fn held(rows: &Value) -> io::Result<()> {
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return print::note("nothing is held");
    }
    let mut table = table(&["SOURCE", "KEY", "CHANGE", "HELD SINCE"]);
    for row in rows {
        table.add_row([
            text(row, "source"),
            text(row, "key"),
            text(row, "kind"),
            time(row, "held_since"),
        ]);
    }
    line(&table.to_string())?;
    print::note("`doorbell held release SOURCE` lets them ring, `discard SOURCE` drops them")
}

/// A plan: what happens first, and what stays as it is counted.
pub(crate) fn plan(plan: &Value) -> io::Result<()> {
    let mut table = table(&["", "NAME", "FATE", "WHAT THAT MEANS"]);
    let mut counts = [0_usize; 2];
    for (count, (kind, list)) in
        counts.iter_mut().zip([("source", "sources"), ("endpoint", "endpoints")])
    {
        for row in plan.get(list).and_then(Value::as_array).into_iter().flatten() {
            let (fate, sentence) = (text(row, "fate"), sentence(row));
            if fate == "unchanged" && sentence.is_empty() {
                *count += 1;
                continue;
            }
            table.add_row([kind.to_owned(), text(row, "name"), fate, sentence]);
        }
    }
    if !table.is_empty() {
        line(&table.to_string())?;
    }
    let [sources, endpoints] = counts;
    let stay = [(sources, "source"), (endpoints, "endpoint")];
    let stay = stay.iter().filter(|(number, _)| *number > 0);
    let stay: Vec<_> = stay.map(|(number, noun)| print::count(*number, noun)).collect();
    if stay.is_empty() { Ok(()) } else { line(&format!("{} unchanged", stay.join(" and "))) }
}

/// A row's sentence, whole: it wraps.
fn sentence(row: &Value) -> String {
    printable(row.get("sentence").and_then(Value::as_str).unwrap_or_default(), 1_000)
}
