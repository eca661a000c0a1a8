//! When an item says that it changed.

use crate::core::json::{self, Value};
use crate::core::time::Timestamp;

/// Greater numbers are milliseconds: as seconds they would lie beyond the year 5138.
const SECONDS_MAX: f64 = 1e11;

/// The moment that a value names: RFC 3339, or Unix seconds or milliseconds, as a number or as text.
pub(crate) fn moment(value: &Value) -> Option<Timestamp> {
    if let Some(text) = json::as_text(value)
        && let Ok(time) = text.trim().parse::<jiff::Timestamp>()
    {
        return Some(Timestamp::from_millis(time.as_millisecond()));
    }
    let text = json::number_text(value).or_else(|| json::as_text(value).map(str::to_owned))?;
    let number = text.trim().parse::<f64>().ok().filter(|number| number.is_finite())?;
    let millis = if number.abs() < SECONDS_MAX { number * 1_000.0 } else { number };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "bounded here; below a millisecond does not matter"
    )]
    let millis = millis.clamp(-1e15, 1e15).round() as i64;
    Some(Timestamp::from_millis(millis))
}
