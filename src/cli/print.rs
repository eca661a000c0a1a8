//! How commands write to a person: styles, columns, and text from outside made harmless for a terminal.
//!
//! Styles go through `anstream`, which drops them when nobody's eyes are at the other end or `NO_COLOR` is set.

#[cfg(test)]
mod tests;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::core::time::humane;
pub(crate) use crate::core::words::count;

/// What matters most in a line.
pub(crate) const STRONG: Style = Style::new().bold();
/// What may be passed over.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// As it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// Worth a look.
pub(crate) const NEWS: Style = AnsiColor::Yellow.on_default();
/// A name: who speaks, which command.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();

/// Text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Text in a style, filled up with spaces to `width` characters; longer text is kept whole.
pub(crate) fn column(style: Style, text: &str, width: usize) -> String {
    let missing = width.saturating_sub(text.chars().count());
    format!("{}{:missing$}", styled(style, text), "")
}

/// Text from outside: control characters, which could move the cursor or worse, become `·`, as do characters that turn
/// the writing direction; of longer text the first `chars_max` characters and `…` remain.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    let turns = |it: char| matches!(it, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown: String = text
        .chars()
        .take(chars_max)
        .map(|it| if it.is_control() || turns(it) { '·' } else { it })
        .collect();
    if text.chars().nth(chars_max).is_some() {
        shown.push('…');
    }
    shown
}

/// A short time, to the millisecond below ten seconds: `85ms`, `1.240s`, `12s`.
pub(crate) fn brief(duration: Duration) -> String {
    match duration.as_millis() {
        1_000..10_000 => format!("{:.3}s", duration.as_secs_f64()),
        _ => humane(duration),
    }
}

/// A size, rounded: `412 B`, `12.3 KiB`, `1.0 MiB`.
pub(crate) fn size(bytes: usize) -> String {
    let tenths = |unit: usize| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{} KiB", tenths(1_024)),
        _ => format!("{} MiB", tenths(1_048_576)),
    }
}

/// A line on standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// A remark on standard error, for people alone.
pub(crate) fn note(text: &str) -> io::Result<()> {
    writeln!(anstream::stderr().lock(), "{}", styled(FAINT, text))
}

/// A question on standard error; the answer is on the same line.
pub(crate) fn ask(text: &str) -> io::Result<()> {
    let mut err = anstream::stderr().lock();
    write!(err, "{text}")?;
    err.flush()
}

/// What went wrong, on standard error. When even that cannot be written, nothing is left to say it with.
pub(crate) fn failure(text: &str) {
    writeln!(anstream::stderr().lock(), "{} {text}", styled(BAD, "error:")).unwrap_or_default();
}

/// Waits until nobody reads standard output any more: what is followed may be quiet for long. Never ends where that cannot
/// be seen, as with a file.
#[expect(deprecated, reason = "its safe successor is not there yet; standard output stays open")]
pub(crate) async fn hang_up() {
    let stdout = AsyncFd::with_interest(io::stdout(), Interest::ERROR);
    match &stdout {
        Ok(stdout) if stdout.ready(Interest::ERROR).await.is_ok() => {}
        _ => std::future::pending().await,
    }
}

/// Ends a command whose reader may have gone away (`… | head`), which is no failure.
pub(crate) fn ended(result: io::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    match result {
        Err(fault) if fault.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        other => Ok(other?),
    }
}
