//! A trace as text: lines of `source_id,unix_seconds`; an empty time declares a source.

use std::collections::HashMap;

use crate::core::time::Timestamp;

use super::Trace;

const HEADER: &str = "source_id,unix_seconds";
/// Times beyond this many seconds are not seconds: the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// Where a trace cannot be understood, what is wrong there, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {sentence}; {hint}")]
pub(crate) struct TraceError {
    /// From 1.
    pub(crate) line: usize,
    sentence: String,
    hint: &'static str,
}

/// Reads a trace. The header line may be missing; empty lines and lines that begin with `#` are passed over.
///
/// # Errors
/// At the first line that is not `source_id,unix_seconds`.
pub(crate) fn read(text: &[u8]) -> Result<Trace, TraceError> {
    let mut places = HashMap::new();
    let mut trace = Trace::default();
    for (line, bytes) in (1_usize..).zip(text.split(|byte| *byte == b'\n')) {
        let wrong = |sentence: String, hint| TraceError { line, sentence, hint };
        let text = std::str::from_utf8(bytes).map_err(|_| {
            wrong(String::from("this is not UTF-8"), "write the trace as plain text")
        })?;
        let text = text.trim_start_matches('\u{feff}').trim();
        let is_header = line == 1 && text.eq_ignore_ascii_case(HEADER);
        if text.is_empty() || text.starts_with('#') || is_header {
            continue;
        }
        let (source, time) = row(text).map_err(|(sentence, hint)| wrong(sentence, hint))?;
        let next = trace.sources.len();
        let place = *places.entry(source).or_insert(next);
        if place == next {
            trace.sources.push(Vec::new());
        }
        if let (Some(changes), Some(time)) = (trace.sources.get_mut(place), time) {
            changes.push(time);
        }
    }
    trace.sources.iter_mut().for_each(|changes| changes.sort_unstable());
    Ok(trace)
}

fn row(text: &str) -> Result<(&str, Option<Timestamp>), (String, &'static str)> {
    const SHAPE: &str =
        "write `source_id,unix_seconds`, or `source_id,` for a source that is only declared";
    let Some((source, time)) = text.split_once(',') else {
        return Err((format!("`{}` has no comma", shown(text)), SHAPE));
    };
    let (source, time) = (source.trim(), time.trim());
    if source.is_empty() {
        return Err((String::from("the source has no name"), SHAPE));
    }
    if time.contains(',') {
        return Err((format!("`{}` has more than two columns", shown(text)), SHAPE));
    }
    if time.is_empty() {
        return Ok((source, None));
    }
    seconds(time).map(|at| (source, Some(at)))
}

/// Whole seconds or with decimals, to the millisecond.
fn seconds(text: &str) -> Result<Timestamp, (String, &'static str)> {
    const UNIT: &str = "times are seconds since 1970-01-01T00:00:00Z, such as `1777680000`";
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let Some(number) = text.parse::<f64>().ok().filter(|_| is_number) else {
        return Err((format!("`{}` is not a time", shown(text)), UNIT));
    };
    if number.abs() >= SECONDS_MAX {
        let hint = "are these milliseconds? Divide them by 1000";
        return Err((format!("`{}` is too great for seconds", shown(text)), hint));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded above; below a millisecond does not matter"
    )]
    let millis = (number * 1_000.0).round() as i64;
    Ok(Timestamp::from_millis(millis))
}

/// So much of a wrong line as is needed to find it.
fn shown(text: &str) -> String {
    const CHARS: usize = 60;
    let mut shown: String =
        text.chars().take(CHARS).map(|it| if it.is_control() { '·' } else { it }).collect();
    if text.chars().nth(CHARS).is_some() {
        shown.push('…');
    }
    shown
}
