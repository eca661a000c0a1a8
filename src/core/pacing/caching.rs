//! How long a cache may keep an answer (RFC 9111 §4.2, §5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::{AGE, CACHE_CONTROL, EXPIRES};

use super::{text, whole_seconds};
use crate::core::limits::SOURCE_RETRY_AFTER_MAX;
use crate::core::time::Timestamp;

/// For how long from `now`; `None` when nobody said, or at once.
pub(super) fn fresh_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let lifetime = match directives(headers) {
        Directives { no_cache: true, .. } => return None,
        Directives { max_age: Some(max_age), .. } => max_age,
        Directives { .. } => expires_in(headers, now)?,
    };
    let age = text(headers, &AGE).and_then(whole_seconds).unwrap_or_default();
    let left = lifetime.saturating_sub(age).min(SOURCE_RETRY_AFTER_MAX);
    (!left.is_zero()).then_some(left)
}

#[derive(Default)]
struct Directives {
    /// Whatever stands there must be asked for again.
    no_cache: bool,
    max_age: Option<Duration>,
}

fn directives(headers: &HeaderMap) -> Directives {
    let mut found = Directives::default();
    let lines = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    for directive in lines.flat_map(|line| line.split(',')) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "no-cache" | "no-store" => found.no_cache = true,
            // Twice: the shorter one is safe (RFC 9111 §4.2.1).
            "max-age" => {
                let max_age = whole_seconds(value).unwrap_or_default();
                found.max_age = Some(found.max_age.map_or(max_age, |known| known.min(max_age)));
            }
            _ => {}
        }
    }
    found
}

/// What is no date is in the past.
fn expires_in(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let at = httpdate::parse_http_date(text(headers, &EXPIRES)?).ok()?;
    let since_epoch = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(0).after(since_epoch).since(now))
}
