//! Incremental polls: asking only for what changed since the last one.
//!
//! The watermark comes from the data and never from the clock: it is the greatest `from` over the items of a complete
//! poll, or the token of its last page. It is asked for inclusively and with an overlap, because items become visible
//! late and many share one moment; the snapshot then tells which of them are news. Such a poll proves no absence: that
//! takes a sweep, which asks for everything there is.

mod way;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp as Moment};

use crate::core::jq::Expression;
use crate::core::json::{self, JsonFault, JsonText, Value};
use crate::core::source::{Definition, Source, SourceState};
use crate::core::time::Timestamp;

pub(crate) use way::Way;

/// Numbers from here on are milliseconds since the epoch, smaller ones seconds: the border is the year 5138 of these,
/// and 1973 of those.
const MILLIS_FROM: f64 = 1e11;

/// How a source is asked for what changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Since {
    /// The query's parameter; `None` when only templates carry it.
    pub(crate) param: Option<String>,
    pub(crate) mark: Mark,
    /// Used by the first poll and by sweeps, as it is sent; `None` asks for everything.
    pub(crate) start: Option<Value>,
    /// How often to ask for everything; `None` never does.
    pub(crate) sweep: Option<Duration>,
}

/// What tells how far a poll came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mark {
    /// The greatest output over the items.
    From { from: Expression, overlap: Duration, format: Format },
    /// The output over the last page's body, sent back as it came.
    Token(Expression),
}

/// How a moment is written in a request.
#[derive(Clone, PartialEq)]
pub(crate) enum Format {
    /// In UTC, with as many digits of a second as there are.
    Rfc3339,
    /// Whole seconds since the epoch.
    Unix,
    /// Whole milliseconds since the epoch.
    UnixMillis,
    /// Not a moment at all: a number or a text that only grows, sent back as it came.
    Raw,
    /// By this strftime pattern, in this zone.
    Pattern { pattern: String, zone: TimeZone },
}

impl fmt::Debug for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rfc3339 => out.write_str("rfc3339"),
            Self::Unix => out.write_str("unix"),
            Self::UnixMillis => out.write_str("unix_ms"),
            Self::Raw => out.write_str("raw"),
            Self::Pattern { pattern, zone } => {
                write!(out, "{pattern:?} in {}", zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}

/// How far a source's polls came; kept in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watermark {
    /// A moment as RFC 3339, or the value as JSON.
    pub(crate) text: String,
    /// Of the [`Since`] that says what it means.
    pub(crate) of: Definition,
}

/// What one poll asks for.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Ask {
    /// What is sent; `None` sends nothing.
    pub(crate) value: Option<Value>,
    /// Only what changed: an item that is not listed is as it was.
    pub(crate) is_partial: bool,
}

/// A place on the way that items go: the greatest one is the watermark.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Point {
    Moment(Moment),
    /// Of the format `raw`: a number or a text.
    Value(Value),
}

impl Since {
    /// Tells whether a stored watermark means the same.
    pub(crate) fn definition(&self) -> Definition {
        let parts = match &self.mark {
            Mark::Token(token) => ["token", token.text()],
            Mark::From { from, format: Format::Raw, .. } => ["raw", from.text()],
            Mark::From { from, .. } => ["moment", from.text()],
        };
        Definition::of(parts.map(str::as_bytes))
    }

    /// What the next poll asks for: what changed, unless there is no watermark or a sweep is due.
    pub(crate) fn ask(&self, state: &SourceState, now: Timestamp) -> Ask {
        let known = state.watermark.as_deref().filter(|known| known.of == self.definition());
        // A sweep further away than the period was planned by another clock, or under another declaration.
        let is_due =
            |period| state.sweep_due.is_none_or(|due| due <= now || due > now.after(period));
        let value = known.filter(|_| !self.sweep.is_some_and(is_due));
        match value.and_then(|known| self.value(&known.text)) {
            Some(value) => Ask { value: Some(value), is_partial: true },
            None => self.sweep(),
        }
    }

    /// Asks for everything there is.
    pub(crate) fn sweep(&self) -> Ask {
        Ask { value: self.start.clone(), is_partial: false }
    }

    /// Whether items show at once when they change: nothing comes late, and so there is no overlap.
    pub(crate) fn is_prompt(&self) -> bool {
        matches!(&self.mark, Mark::From { overlap, .. } if overlap.is_zero())
    }

    /// Whether an answer's body says how far it goes, and not its items.
    pub(crate) fn goes_by_token(&self) -> bool {
        matches!(self.mark, Mark::Token(_))
    }

    /// Whether a refusal with this status says that the token is too old.
    pub(crate) fn is_outdated(&self, status_code: &str) -> bool {
        self.goes_by_token() && status_code == "http_410"
    }

    /// A watermark as it is asked for.
    fn value(&self, watermark: &str) -> Option<Value> {
        match &self.mark {
            Mark::Token(_) | Mark::From { format: Format::Raw, .. } => json::read(watermark).ok(),
            Mark::From { overlap, format, .. } => {
                let moment: Moment = watermark.parse().ok()?;
                let overlap = SignedDuration::try_from(*overlap).ok()?;
                format.write(moment.checked_sub(overlap).unwrap_or(Moment::MIN))
            }
        }
    }

    /// How far an item is; `None` when it says nothing of it.
    ///
    /// # Errors
    /// The expression's own, or that its output is no place.
    pub(crate) fn point(&self, item: &Value) -> Result<Option<Point>, JsonFault> {
        let Mark::From { from, format, .. } = &self.mark else { return Ok(None) };
        let found = from.one(item).map_err(|fault| {
            JsonFault::new(fault.code, format!("`from` of `since`: {}", fault.sentence))
        })?;
        if found == Value::Null {
            return Ok(None);
        }
        let point = match format {
            Format::Raw => {
                matches!(found, Value::Num(_) | Value::TStr(_)).then(|| Point::Value(found.clone()))
            }
            format => format.read(&found).map(Point::Moment),
        };
        point.map(Some).ok_or_else(|| {
            let what = if *format == Format::Raw { "number or text" } else { "time" };
            let sentence =
                format!("`from` of `since` gives {}, which is no {what}", json::kind(&found));
            JsonFault::new("since", sentence)
        })
    }

    /// The watermark after a complete poll: it never goes back, and stays where it is when nothing was found.
    pub(crate) fn reached(
        &self,
        known: Option<&Watermark>,
        seen: Option<Point>,
    ) -> Option<Watermark> {
        let of = self.definition();
        let known = known.filter(|known| known.of == of);
        let before = known.and_then(|known| self.read_point(&known.text));
        let furthest = further(before, seen)?;
        let text = match &furthest {
            Point::Moment(moment) => moment.to_string(),
            Point::Value(value) => text_of(value)?,
        };
        Some(Watermark { text, of })
    }

    /// The watermark that a page's body gives: a token. `None` when it has none.
    ///
    /// # Errors
    /// The expression's own.
    pub(crate) fn token(&self, body: &[u8]) -> Result<Option<Watermark>, JsonFault> {
        let Mark::Token(token) = &self.mark else { return Ok(None) };
        let text = std::str::from_utf8(body)
            .map_err(|_| JsonFault::new("not_utf8", "the answer is not UTF-8"))?;
        let found = token.one(&json::read(text)?).map_err(|fault| {
            JsonFault::new(fault.code, format!("`token` of `since`: {}", fault.sentence))
        })?;
        match found {
            Value::Null => Ok(None),
            found => Ok(text_of(&found).map(|text| Watermark { text, of: self.definition() })),
        }
    }

    /// Whether an item lies before what a sweep asks for, so that its absence says nothing.
    pub(crate) fn is_out_of_scope(&self, item: &Value) -> bool {
        let Mark::From { format, .. } = &self.mark else { return false };
        let start = match (&self.start, format) {
            (None, _) => return false,
            (Some(start), Format::Raw) => Some(Point::Value(start.clone())),
            (Some(start), format) => format.read(start).map(Point::Moment),
        };
        let (Some(start), Ok(Some(point))) = (start, self.point(item)) else { return false };
        order(&point, &start) == Ordering::Less
    }

    fn read_point(&self, text: &str) -> Option<Point> {
        match &self.mark {
            Mark::From { format: Format::Raw, .. } => json::read(text).ok().map(Point::Value),
            Mark::From { .. } => text.parse().ok().map(Point::Moment),
            Mark::Token(_) => None,
        }
    }
}

impl Source {
    /// What the next poll asks for. A source without `since` always asks for everything, and so does one whose
    /// baseline is not taken yet or whose identity is another.
    pub(crate) fn ask(&self, state: &SourceState, is_known: bool, now: Timestamp) -> Ask {
        match &self.since {
            Some(since) if is_known => since.ask(state, now),
            Some(since) => since.sweep(),
            None => Ask::default(),
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    json::compact(value).ok().map(|text: JsonText| text.as_str().to_owned())
}

/// The further one of two places.
pub(crate) fn further(left: Option<Point>, right: Option<Point>) -> Option<Point> {
    match (left, right) {
        (Some(left), Some(right)) => {
            Some(if order(&left, &right) == Ordering::Less { right } else { left })
        }
        (left, right) => left.or(right),
    }
}

/// Numbers before texts; numbers by value, texts by their bytes.
fn order(left: &Point, right: &Point) -> Ordering {
    let (left, right) = match (left, right) {
        (Point::Moment(left), Point::Moment(right)) => return left.cmp(right),
        (Point::Value(left), Point::Value(right)) => (left, right),
        (Point::Moment(_), Point::Value(_)) => return Ordering::Less,
        (Point::Value(_), Point::Moment(_)) => return Ordering::Greater,
    };
    match (json::number_text(left), json::number_text(right)) {
        (Some(one), Some(other)) => match (one.parse::<i128>(), other.parse::<i128>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            _ => number(left).total_cmp(&number(right)),
        },
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => json::as_text(left).cmp(&json::as_text(right)),
    }
}

fn number(value: &Value) -> f64 {
    json::number_text(value).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

impl Format {
    /// Whether it can write a moment: a pattern may be wrong.
    pub(crate) fn is_valid(&self) -> bool {
        self.write(Moment::UNIX_EPOCH).is_some()
    }

    /// A moment as it is sent; what the format cannot tell apart is rounded down.
    fn write(&self, moment: Moment) -> Option<Value> {
        match self {
            Self::Rfc3339 => Some(json::text(&moment.to_string())),
            Self::Unix => {
                json::read(&moment.as_nanosecond().div_euclid(1_000_000_000).to_string()).ok()
            }
            Self::UnixMillis => {
                json::read(&moment.as_nanosecond().div_euclid(1_000_000).to_string()).ok()
            }
            Self::Raw => None,
            Self::Pattern { pattern, zone } => {
                let local = unambiguous(moment, zone);
                let mut text = String::new();
                jiff::fmt::strtime::BrokenDownTime::from(&local).format(pattern, &mut text).ok()?;
                Some(json::text(&text))
            }
        }
    }

    /// A moment as an API writes it: RFC 3339 and what people make of it, the pattern, or a number since the epoch.
    pub(crate) fn read(&self, value: &Value) -> Option<Moment> {
        if let Some(text) = json::number_text(value) {
            return self.of_number(&text);
        }
        let text = json::as_text(value)?.trim();
        let zone = match self {
            Self::Pattern { zone, .. } => zone.clone(),
            _ => TimeZone::UTC,
        };
        let local = |local: DateTime| zone.to_ambiguous_timestamp(local).compatible().ok();
        text.parse::<Moment>()
            .ok()
            .or_else(|| Moment::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok())
            .or_else(|| text.parse::<DateTime>().ok().and_then(local))
            .or_else(|| {
                let Self::Pattern { pattern, .. } = self else { return None };
                let moment = Moment::strptime(pattern, text).ok();
                let civil = || DateTime::strptime(pattern, text).ok();
                let date = || Some(Date::strptime(pattern, text).ok()?.at(0, 0, 0, 0));
                moment.or_else(|| civil().or_else(date).and_then(local))
            })
            .or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp()))
            .or_else(|| self.of_number(text))
    }

    fn of_number(&self, text: &str) -> Option<Moment> {
        let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
        let is_millis = match self {
            Self::Unix => false,
            Self::UnixMillis => true,
            _ => number.abs() >= MILLIS_FROM,
        };
        if let Ok(whole) = text.parse::<i64>() {
            let read = if is_millis { Moment::from_millisecond } else { Moment::from_second };
            return read(whole).ok();
        }
        let seconds = if is_millis { number / 1000.0 } else { number };
        Moment::from_duration(SignedDuration::try_from_secs_f64(seconds).ok()?).ok()
    }
}

/// The local time of a moment. An hour that the clocks repeat is avoided: whoever reads it may take either, and the
/// later one would leave an hour out.
fn unambiguous(moment: Moment, zone: &TimeZone) -> jiff::Zoned {
    let local = moment.to_zoned(zone.clone());
    match zone.to_ambiguous_timestamp(local.datetime()).offset() {
        AmbiguousOffset::Fold { before, after } => {
            let repeated = after.duration_until(before);
            let mut earlier = moment.checked_sub(repeated).unwrap_or(moment).to_zoned(zone.clone());
            if matches!(
                zone.to_ambiguous_timestamp(earlier.datetime()).offset(),
                AmbiguousOffset::Fold { .. }
            ) {
                let twice = earlier.timestamp().checked_sub(repeated);
                earlier = twice.unwrap_or(moment).to_zoned(zone.clone());
            }
            earlier
        }
        _ => local,
    }
}
