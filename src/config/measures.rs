//! Durations, intervals and sizes as people write them. Pure text in, value or flaw out.

use std::num::NonZeroU32;
use std::ops::Range;
use std::time::Duration;

use crate::config::report::Flaw;
use crate::core::budget::Rate;
use crate::core::limits::{DURATION_MAX, RATE_COUNT_MAX};
use crate::core::schedule::Every;
use crate::core::time::humane;

/// Units from large to small, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads `200ms`, `30s`, `5m`, `1h30m`, `2d`: numbers with units, each unit once, from large to small.
pub(super) fn duration(text: &str) -> Result<Duration, Flaw> {
    let mut left = text;
    let mut millis: u64 = 0;
    let mut units = DURATION_UNITS.iter();
    if text.trim().is_empty() {
        return Err(Flaw::new("a duration is missing", "such as `30s`"));
    }
    while !left.is_empty() {
        let from = text.len() - left.len();
        let part = part(left);
        let place = from..from + part.len;
        if part.number.is_empty() {
            let sentence = format!("`{text}` is not a duration");
            return Err(
                Flaw::new(sentence, "write `200ms`, `30s`, `5m`, `1h30m` or `2d`").at(place)
            );
        }
        let Some((_, unit)) = units.find(|(name, _)| *name == part.unit) else {
            return Err(wrong_unit(text, &part, place));
        };
        millis = part
            .number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(*unit))
            .and_then(|part| part.checked_add(millis))
            .filter(|millis| u128::from(*millis) <= DURATION_MAX.as_millis())
            .ok_or_else(|| Flaw::new("this is longer than a hundred years", ""))?;
        left = left.get(part.len..).unwrap_or_default();
        left = left.strip_prefix(' ').filter(|left| !left.is_empty()).unwrap_or(left);
    }
    Ok(Duration::from_millis(millis))
}

/// A number and the letters after it.
struct Part<'text> {
    number: &'text str,
    unit: &'text str,
    len: usize,
}

fn part(text: &str) -> Part<'_> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(digits).unwrap_or((text, ""));
    let letters = rest.find(|c: char| c.is_ascii_digit() || c == ' ').unwrap_or(rest.len());
    let unit = rest.get(..letters).unwrap_or_default();
    Part { number, unit, len: digits + letters }
}

fn wrong_unit(text: &str, part: &Part<'_>, place: Range<usize>) -> Flaw {
    let Part { number, unit, .. } = part;
    if unit.is_empty() {
        let hint = if place.end == text.len() {
            format!("did you mean `{number}s`?")
        } else {
            format!("units stand right after the number, such as `{number}s`")
        };
        return Flaw::new(format!("the number {number} needs a unit"), hint).at(place);
    }
    if DURATION_UNITS.iter().any(|(name, _)| name == unit) {
        return Flaw::new(
            format!("`{text}`: units go from large to small, each once"),
            "such as `1h30m`",
        )
        .at(place);
    }
    if unit.starts_with(['.', ',']) {
        return Flaw::new("durations are whole numbers", "write `1h30m` for one and a half hours")
            .at(place);
    }
    Flaw::new(format!("`{unit}` is not a unit of time"), "units are `ms`, `s`, `m`, `h` and `d`")
        .at(place)
}

/// Reads `MIN..MAX`, or one duration for a fixed interval.
pub(super) fn interval(text: &str) -> Result<Every, Flaw> {
    let Some((min_text, max_text)) = text.split_once("..") else {
        let fixed = duration(text)?;
        return Every::try_new(fixed, fixed)
            .ok_or_else(|| Flaw::new("an interval cannot be zero", "such as `30s`"));
    };
    let min = duration(min_text)?;
    let offset = min_text.len() + 2;
    let max = duration(max_text).map_err(|flaw| {
        let at = flaw.at.clone().unwrap_or(0..max_text.len());
        flaw.at(at.start + offset..at.end + offset)
    })?;
    if min.is_zero() {
        let flaw = Flaw::new("an interval cannot be zero", "such as `30s..15m`");
        return Err(flaw.at(0..min_text.len()));
    }
    Every::try_new(min, max).ok_or_else(|| {
        let (min, max) = (humane(min), humane(max));
        Flaw::new(
            format!("the shortest interval, {min}, is longer than the longest, {max}"),
            format!("did you mean `{max_text}..{min_text}`?"),
        )
    })
}

/// Reads `20/s`, `5000/h`, `100/15m`: so many in each period.
pub(super) fn rate(text: &str) -> Result<Rate, Flaw> {
    let wrong = || {
        let sentence = format!("`{text}` is not a rate");
        Flaw::new(sentence, "write `20/s`, `100/m`, `5000/h` or `100/15m`")
    };
    let (count, period) = text.split_once('/').ok_or_else(wrong)?;
    if !count.bytes().all(|byte| byte.is_ascii_digit()) || count.is_empty() {
        return Err(wrong());
    }
    let unit = DURATION_UNITS.iter().find(|(name, _)| *name == period);
    let period = match unit {
        Some((_, millis)) => Duration::from_millis(*millis),
        None => duration(period).map_err(|flaw| {
            let at = flaw.at.clone().unwrap_or(0..period.len());
            let offset = count.len() + 1;
            flaw.at(at.start + offset..at.end + offset)
        })?,
    };
    if period.is_zero() {
        return Err(Flaw::new("a period cannot be zero", "such as `20/s`"));
    }
    let count: u32 =
        count.parse().ok().filter(|count| *count <= RATE_COUNT_MAX).ok_or_else(|| {
            Flaw::new("this is more than can be asked", "leave the key out for no limit")
        })?;
    let count = NonZeroU32::new(count).ok_or_else(|| {
        Flaw::new("nothing at all could be asked", "such as `20/s`; to ask nothing: `paused: true`")
    })?;
    Ok(Rate { count, period, burst: None })
}

/// Reads `8MiB`, `500KB`, `1GiB`: bytes.
pub(super) fn size(text: &str) -> Result<usize, Flaw> {
    let part = part(text);
    if part.number.is_empty() || part.len != text.len() {
        return Err(Flaw::new(
            format!("`{text}` is not a size"),
            "write `500KB`, `8MiB` or `1GiB`",
        ));
    }
    let Part { number, unit, .. } = part;
    if unit.is_empty() {
        let sentence = format!("the number {number} needs a unit");
        return Err(Flaw::new(
            sentence,
            format!("for bytes, write `{number}B`; else `KiB`, `MiB`, …"),
        ));
    }
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let near = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
        let hint = match near {
            Some((name, _)) => format!("did you mean `{number}{name}`?"),
            None => String::from("units are `B`, `KB`, `MB`, `GB`, `KiB`, `MiB` and `GiB`"),
        };
        let at = number.len()..text.len();
        return Err(Flaw::new(format!("`{unit}` is not a unit of size"), hint).at(at));
    };
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(*factor));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    bytes.ok_or_else(|| Flaw::new("this is more than can be counted", ""))
}
