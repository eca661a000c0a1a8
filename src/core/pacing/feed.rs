//! How often a feed says that there is news: `ttl` of RSS 2.0, `sy:updatePeriod` and `sy:updateFrequency` of the
//! Syndication module. Often a default of the template: a hint, never a floor.

use std::time::Duration;

use memchr::memmem;

/// How much of a feed's beginning is looked at: its own fields stand before its entries.
const HEAD_BYTES: usize = 16 * 1024;

/// How far apart news is, by the feed's own word; `None` if it says nothing, or nonsense.
pub(crate) fn pace_of(body: &[u8]) -> Option<Duration> {
    let head = body.get(..HEAD_BYTES.min(body.len()))?;
    let until =
        [b"<item".as_slice(), b"<entry"].into_iter().filter_map(|tag| memmem::find(head, tag));
    let head = head.get(..until.min().unwrap_or(head.len()))?;
    if let Some(minutes) = inside(head, "ttl").and_then(|text| text.parse::<u32>().ok()) {
        return (minutes > 0).then(|| Duration::from_secs(u64::from(minutes) * 60));
    }
    let period = match inside(head, "sy:updatePeriod")? {
        "hourly" => Duration::from_hours(1),
        "daily" => Duration::from_hours(24),
        "weekly" => Duration::from_hours(7 * 24),
        "monthly" => Duration::from_hours(30 * 24),
        "yearly" => Duration::from_hours(365 * 24),
        _ => return None,
    };
    let times = inside(head, "sy:updateFrequency").map_or(Some(1), |text| text.parse().ok())?;
    period.checked_div(times)
}

/// The text of the first element of this name.
fn inside<'b>(head: &'b [u8], name: &str) -> Option<&'b str> {
    let opening = memmem::find(head, format!("<{name}>").as_bytes())? + name.len() + 2;
    let text = head.get(opening..)?;
    let text = text.get(..memchr::memchr(b'<', text)?)?;
    std::str::from_utf8(text).ok().map(str::trim)
}
