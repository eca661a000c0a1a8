//! Times of a calendar: minute, hour, day of the month, month, day of the week, and a time zone.
//!
//! As in Vixie cron, a day matches when the day of the month or that of the week does, if both are limited. A time of
//! the clock that a change to summer time leaves out comes when the clocks have changed, and one that comes twice in
//! autumn counts once; where every hour matches, all minutes that pass count.

use std::ops::Range;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};

use crate::core::time::Timestamp;

#[cfg(test)]
mod tests;

/// How far it is looked ahead: from one 29 February to the next, with a year without one at the turn of a century.
const DAYS_AHEAD_MAX: usize = 366 * 9;

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CronProblem {
    pub(crate) sentence: String,
    pub(crate) hint: String,
    /// Where in the text, in bytes.
    pub(crate) at: Range<usize>,
}

/// When to poll, by the calendar.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// From Sunday.
    weekdays: u64,
    /// Whether days are limited by only one of the two.
    both_hold: bool,
    zone: TimeZone,
}

/// One of the five fields.
struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    words: &'static [&'static str],
}

const MONTHS: &[&str] =
    &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const FIELDS: [Field; 5] = [
    Field { name: "minute", min: 0, max: 59, words: &[] },
    Field { name: "hour", min: 0, max: 23, words: &[] },
    Field { name: "day of the month", min: 1, max: 31, words: &[] },
    Field { name: "month", min: 1, max: 12, words: MONTHS },
    // Both 0 and 7 are Sunday.
    Field { name: "day of the week", min: 0, max: 7, words: WEEKDAYS },
];

/// Words for whole rows of fields.
const SHORT: &[(&str, &str)] = &[
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

const HINT: &str = "minute, hour, day of the month, month, day of the week and a time zone, such as \
    `0 2 * * * Europe/Berlin`";

impl Cron {
    /// Reads `0 2 * * * Europe/Berlin`; without a zone the times are in UTC.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, CronProblem> {
        let words = words_of(text);
        let problem = |sentence: &str, at: Range<usize>| CronProblem {
            sentence: sentence.to_owned(),
            hint: HINT.to_owned(),
            at,
        };
        let short = words.first().and_then(|(_, word)| {
            SHORT.iter().find(|(name, _)| name == word).map(|(_, fields)| *fields)
        });
        let (masks, rest) = match short {
            Some(fields) => {
                let masks: Result<Vec<_>, _> = FIELDS
                    .iter()
                    .zip(words_of(fields))
                    .map(|(field, (_, word))| field.mask(word, 0))
                    .collect();
                (masks?, words.get(1..).unwrap_or_default())
            }
            None if words.len() < FIELDS.len() => {
                return Err(problem("these are not the five fields of a calendar", 0..text.len()));
            }
            None => {
                let masks: Result<Vec<_>, _> = FIELDS
                    .iter()
                    .zip(&words)
                    .map(|(field, (at, word))| field.mask(word, *at))
                    .collect();
                (masks?, words.get(FIELDS.len()..).unwrap_or_default())
            }
        };
        let zone = match rest {
            [] => TimeZone::UTC,
            [(at, name)] => zone(name, *at)?,
            [_, (at, word), ..] => {
                return Err(problem("there is more than a time zone", *at..*at + word.len()));
            }
        };
        let cron = Self::of(text, &masks, zone);
        if cron.next(Timestamp::default()).is_none() {
            return Err(problem("this is never: no month has such a day", 0..text.len()));
        }
        Ok(cron)
    }

    fn of(text: &str, masks: &[(u64, bool)], zone: TimeZone) -> Self {
        let mask = |at: usize| masks.get(at).map_or((0, true), |mask| *mask);
        let ((days, any_day), (weekdays, any_weekday)) = (mask(2), mask(4));
        Self {
            text: text.to_owned(),
            minutes: mask(0).0,
            hours: mask(1).0,
            days,
            months: mask(3).0,
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            both_hold: any_day || any_weekday,
            zone,
        }
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The first of its times after a moment of the wall clock.
    pub(crate) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let from = jiff::Timestamp::from_millisecond(after.as_millis()).ok()?;
        let every_hour = self.hours == full(0, 23);
        let found = if every_hour { self.by_minutes(from) } else { self.by_days(from) };
        found.map(|at| Timestamp::from_millis(at.as_millisecond()))
    }

    fn has_day(&self, date: Date) -> bool {
        let has = |mask: u64, bit: i8| mask >> bit & 1 == 1;
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let matches = if self.both_hold { day && weekday } else { day || weekday };
        matches && has(self.months, date.month())
    }

    /// Through the minutes that pass, whatever the clock does.
    fn by_minutes(&self, from: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let start = from.as_second().div_euclid(60).checked_add(1)?.checked_mul(60)?;
        let mut at = jiff::Timestamp::from_second(start).ok()?.to_zoned(self.zone.clone());
        for _ in 0..DAYS_AHEAD_MAX * 3 {
            if !self.has_day(at.date()) {
                at = at.tomorrow().ok()?.start_of_day().ok()?;
                continue;
            }
            let minute = at.minute();
            let later = self.minutes >> minute;
            if later & 1 == 1 {
                return Some(at.timestamp());
            }
            let wait =
                if later == 0 { 60 - i64::from(minute) } else { later.trailing_zeros().into() };
            at = at.checked_add(wait.minutes()).ok()?;
        }
        None
    }

    /// Through the days, and the times that the clock shows on each.
    fn by_days(&self, from: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut date = from.to_zoned(self.zone.clone()).date().yesterday().ok()?;
        for _ in 0..DAYS_AHEAD_MAX {
            if self.has_day(date)
                && let Some(at) = self.on_day(date, from)
            {
                return Some(at);
            }
            date = date.checked_add(Span::new().days(1)).ok()?;
        }
        None
    }

    fn on_day(&self, date: Date, from: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut found: Option<jiff::Timestamp> = None;
        let hours = (0..24_i8).filter(|hour| self.hours >> hour & 1 == 1);
        let times = hours.flat_map(|hour| {
            let minutes = (0..60_i8).filter(|minute| self.minutes >> minute & 1 == 1);
            minutes.map(move |minute| date.at(hour, minute, 0, 0))
        });
        for time in times {
            // Times after one that the clock leaves out may come before it, by less than a day.
            let at = self.moment(time)?;
            if at > from {
                found = Some(found.map_or(at, |known| known.min(at)));
            }
        }
        found
    }

    fn moment(&self, time: DateTime) -> Option<jiff::Timestamp> {
        self.zone.to_ambiguous_timestamp(time).compatible().ok()
    }
}

/// The words of a text, with where they begin.
fn words_of(text: &str) -> Vec<(usize, &str)> {
    let words = text.split_ascii_whitespace();
    words.map(|word| (word.as_ptr().addr() - text.as_ptr().addr(), word)).collect()
}

fn zone(name: &str, at: usize) -> Result<TimeZone, CronProblem> {
    let unknown = |_| CronProblem {
        sentence: format!("`{name}` is no time zone"),
        hint: String::from("such as `Europe/Berlin`, `America/New_York` or `UTC`"),
        at: at..at + name.len(),
    };
    TimeZone::get(name).map_err(unknown)
}

/// All bits from `min` to `max`.
fn full(min: u32, max: u32) -> u64 {
    (min..=max).fold(0, |mask, bit| mask | 1 << bit)
}

impl Field {
    /// The values that a field names, and whether it names all by a star.
    fn mask(&self, text: &str, at: usize) -> Result<(u64, bool), CronProblem> {
        let mut mask = 0;
        let mut from = at;
        for part in text.split(',') {
            mask |= self.part(part, from)?;
            from += part.len() + 1;
        }
        Ok((mask, text.starts_with('*')))
    }

    /// `5`, `1-5`, `*`, each perhaps with `/2`.
    fn part(&self, part: &str, at: usize) -> Result<u64, CronProblem> {
        let (range, step) = part.split_once('/').unwrap_or((part, "1"));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.star_max()),
            Some((first, last)) => (self.value(first, part, at)?, self.value(last, part, at)?),
            None if part.contains('/') => (self.value(range, part, at)?, self.star_max()),
            None => {
                let only = self.value(range, part, at)?;
                (only, only)
            }
        };
        let is_number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        let step = step.parse().ok().filter(|step| is_number && *step > 0);
        match step {
            Some(step) if first <= last => {
                Ok((first..=last).step_by(step).fold(0, |mask, bit| mask | 1 << bit))
            }
            _ => Err(self.problem(part, at)),
        }
    }

    fn star_max(&self) -> u32 {
        // Sunday once.
        if self.max == 7 { 6 } else { self.max }
    }

    fn value(&self, text: &str, part: &str, at: usize) -> Result<u32, CronProblem> {
        let word = self.words.iter().position(|word| word.eq_ignore_ascii_case(text));
        if let Some(word) = word.and_then(|word| u32::try_from(word).ok()) {
            return Ok(word + self.min);
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        let number = number.filter(|number| (self.min..=self.max).contains(number));
        number.ok_or_else(|| self.problem(part, at))
    }

    fn problem(&self, part: &str, at: usize) -> CronProblem {
        let Self { name, min, max, words } = self;
        let names = match words {
            [first, .., last] => format!(", or from `{first}` to `{last}`"),
            _ => String::new(),
        };
        CronProblem {
            sentence: format!("`{part}` is no {name}: it goes from {min} to {max}{names}"),
            hint: String::from("one value, a list `1,15`, a range `1-5`, or steps `*/10`"),
            at: at..at + part.len(),
        }
    }
}
