//! Listings for people. What the API answered comes in; control characters in it are made harmless on the way out.

use std::io;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use super::print::{self, BAD, FAINT, GOOD, NAME, NEWS, STRONG, column, line, printable, styled};
use crate::core::time::humane;

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
    short_time(&text(value, name))
}

fn short_time(text: &str) -> String {
    let short = text.split('.').next().unwrap_or(text).replace('T', " ");
    short.trim_end_matches('Z').to_owned()
}

/// `SOURCE/KEY`, or `SOURCE/ENTRY/KEY`. A single object of an entry has no key of its own.
fn item(value: &Value) -> String {
    named(&["source", "entry", "key"].map(|name| text(value, name)))
}

fn named(names: &[String; 3]) -> String {
    match names {
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

/// Rows of figures under their heads.
pub(crate) fn figures<const N: usize>(
    header: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = table(header);
    rows.for_each(|row| {
        table.add_row(row);
    });
    line(&table.to_string())
}

/// What a listing shows of an event. Its item is passed over, and the values that changed are as they came: no number is
/// too long for them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Envelope {
    id: String,
    #[serde(rename = "type")]
    event_type: String,
    timestamp: String,
    source: String,
    entry: String,
    key: String,
    seq: u64,
    changes: Vec<ChangeRow>,
}

#[derive(Debug, Deserialize)]
struct ChangeRow {
    path: String,
    #[serde(default, deserialize_with = "some")]
    old: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "some")]
    new: Option<Box<RawValue>>,
}

/// A value that is there, be it `null`.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// One event with what changed.
pub(crate) fn event(envelope: &Envelope) -> io::Result<()> {
    let shown = |text: &str| printable(text, COLUMN_CHARS_MAX);
    line(&format!(
        "{}  {}  {}  {}  {}",
        styled(FAINT, &short_time(&shown(&envelope.timestamp))),
        column(STRONG, &shown(&envelope.event_type), 24),
        column(
            NAME,
            &named(&[&envelope.source, &envelope.entry, &envelope.key].map(|it| shown(it))),
            24
        ),
        column(FAINT, &format!("seq {}", envelope.seq), 10),
        styled(FAINT, &shown(&envelope.id)),
    ))?;
    for change in envelope.changes.iter().take(12) {
        let side = |value: Option<&RawValue>| {
            let Some(text) = value.map(RawValue::get) else { return String::from("∅") };
            shown(&serde_json::from_str::<String>(text).unwrap_or_else(|_| text.to_owned()))
        };
        let (old, new) = (side(change.old.as_deref()), side(change.new.as_deref()));
        line(&format!("{:21}{}: {old} → {new}", "", styled(NAME, &shown(&change.path))))?;
    }
    Ok(())
}

/// Deliveries, one a line.
pub(crate) fn deliveries(rows: &[Value]) -> io::Result<()> {
    if rows.is_empty() {
        return print::note("no deliveries");
    }
    let mut header =
        vec!["ID", "ENDPOINT", "STATUS", "TRIES", "TYPE", "ITEM", "CREATED", "NEXT OR SETTLED"];
    let has_why = rows.iter().any(|row| row.get("reason").is_some_and(|why| !why.is_null()));
    header.extend(has_why.then_some("WHY, AND THE LAST ANSWER"));
    let mut table = table(&header);
    for row in rows {
        let when = if row.get("due_at").is_some_and(|due| !due.is_null()) {
            "due_at"
        } else {
            "settled_at"
        };
        let mut cells = vec![
            text(row, "id"),
            text(row, "endpoint"),
            text(row, "status"),
            text(row, "attempts"),
            text(row, "type"),
            item(row),
            time(row, "created_at"),
            time(row, when),
        ];
        cells.extend(has_why.then(|| why(row)));
        table.add_row(cells);
    }
    line(&table.to_string())
}

/// Why a delivery was given up, and what was answered last.
fn why(row: &Value) -> String {
    let answer = row.get("last_answer").map(|answer| text(answer, "text")).unwrap_or_default();
    let reason = text(row, "reason");
    if answer.is_empty() { reason } else { format!("{reason}: {answer}") }
}

/// What is to come of a delivery, in words.
fn outlook(retry: &Value) -> String {
    let span = |ms: &Value| humane(Duration::from_millis(ms.as_u64().unwrap_or(0)));
    let delays = retry.get("delays_ms").and_then(Value::as_array).into_iter().flatten();
    let delays: Vec<_> = delays.map(span).collect();
    let end = match retry.get("gives_up_at").and_then(Value::as_str) {
        Some(at) => format!("until {}", short_time(at)),
        None => format!("for {}", retry.get("for_ms").map(span).unwrap_or_default()),
    };
    format!(
        "refused again, it is tried within {} …, {end} (the time its endpoint is left alone does not count)",
        delays.join(", ")
    )
}

/// What is shown of a delivery. Its event is passed over.
#[derive(Debug, Deserialize)]
pub(crate) struct Detail {
    delivery: Value,
    /// What was sent in place of the event.
    #[serde(default)]
    body: Option<Value>,
    attempts: Vec<Value>,
    #[serde(default)]
    retry: Option<Value>,
}

/// One delivery with every attempt and what the receiver answered.
pub(crate) fn delivery(detail: &Detail) -> io::Result<()> {
    let row = &detail.delivery;
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
    if let Some(retry) = &detail.retry {
        line(&format!("  {}", styled(FAINT, &outlook(retry))))?;
    }
    if let Some(body) = &detail.body {
        let kind = styled(FAINT, &text(body, "content_type"));
        line(&format!("  sent {kind} {}", beginning(&text(body, "text"))))?;
    }
    for attempt in &detail.attempts {
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

/// What fits on a few lines of a screen.
fn beginning(text: &str) -> String {
    const CHARS_MAX: usize = 400;
    let rest = text.chars().count().saturating_sub(CHARS_MAX);
    if rest == 0 {
        return text.to_owned();
    }
    format!("{}… and {rest} more characters", text.chars().take(CHARS_MAX).collect::<String>())
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
        "NEXT ATTEMPT",
        "LAST FAULT",
    ]);
    for row in rows {
        let fault = row.get("fault").map(|fault| text(fault, "sentence")).unwrap_or_default();
        table.add_row([
            text(row, "name"),
            match row.get("declared") {
                Some(Value::Bool(false)) => String::from("not declared"),
                _ => text(row, "condition"),
            },
            text(row, "pending"),
            text(row, "exhausted"),
            time(row, "since"),
            time(
                row,
                if row.get("held_until").is_some_and(Value::is_string) {
                    "held_until"
                } else {
                    "probe_at"
                },
            ),
            fault,
        ]);
    }
    line(&table.to_string())
}

/// One endpoint, a line for each thing there is to say of it.
pub(crate) fn endpoint(row: &Value) -> io::Result<()> {
    let condition = match row.get("declared") {
        Some(Value::Bool(false)) => String::from("not declared"),
        _ => text(row, "condition"),
    };
    line(&format!("{}  {condition}", styled(STRONG, &text(row, "name"))))?;
    let keys = row.get("public_keys").and_then(Value::as_array).map(Vec::as_slice);
    let keys = keys.unwrap_or_default().iter().filter_map(Value::as_str);
    let fault = row.get("fault").map(|fault| text(fault, "sentence")).unwrap_or_default();
    let rows = [
        ("url", text(row, "url")),
        ("sign", text(row, "sign")),
        ("public key", keys.collect::<Vec<_>>().join("\n              ")),
        ("waiting", text(row, "pending")),
        ("given up", text(row, "exhausted")),
        ("since", time(row, "since")),
        ("next probe", time(row, "probe_at")),
        ("last fault", fault),
    ];
    rows.iter().filter(|(_, value)| !value.is_empty()).try_for_each(|(name, value)| {
        line(&format!("  {} {value}", styled(FAINT, &format!("{name:<11}"))))
    })
}

/// What is shown of a held change. Its item is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HeldRow {
    source: String,
    entry: String,
    key: String,
    kind: String,
    why: String,
    held_since: Option<String>,
}

/// Held changes, one a line.
pub(crate) fn held(rows: &[HeldRow]) -> io::Result<()> {
    if rows.is_empty() {
        return print::note("nothing is held");
    }
    let mut table = table(&["ITEM", "CHANGE", "WHY", "HELD SINCE"]);
    for row in rows {
        let names = [&row.source, &row.entry, &row.key];
        table.add_row([
            named(&names.map(|name| printable(name, COLUMN_CHARS_MAX))),
            row.kind.clone(),
            printable(&row.why, COLUMN_CHARS_MAX),
            short_time(row.held_since.as_deref().unwrap_or_default()),
        ]);
    }
    line(&table.to_string())?;
    print::note(
        "`doorbell held release SOURCE` lets them ring, `doorbell held discard SOURCE` drops them",
    )
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
