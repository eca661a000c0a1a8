//! The demo's last words: what was seen, whether it was right, and where to go from here.

use std::io::{self, Write};
use std::time::Duration;

use crate::cli::demo::story::Ledger;
use crate::cli::print::{BAD, FAINT, GOOD, NAME, STRONG, brief, column, count, styled};

/// Where to go from here: what to type, and what it does.
const HINTS: [(&str, &str); 3] = [
    (
        "doorbell check",
        "write a sources.yaml for an API that you use; this says what is wrong in it",
    ),
    (
        "doorbell poll NAME",
        "asks one source now and prints the events it would make; sends nothing",
    ),
    ("doorbell listen", "a receiver like this one for `doorbell run` to ring at"),
];

/// Writes the summary.
pub(super) fn write(ledger: &Ledger, out: &mut (dyn Write + Send)) -> io::Result<()> {
    writeln!(out)?;
    for (name, text) in rows(ledger) {
        writeln!(out, "  {}  {text}", column(FAINT, name, 10))?;
    }
    writeln!(out)?;
    for missing in &ledger.missing {
        writeln!(out, "  {} {missing} did not ring in time", styled(BAD, "✗"))?;
    }
    for stray in &ledger.strays {
        writeln!(out, "  {} {stray} rang, and should not have", styled(BAD, "✗"))?;
    }
    if ledger.is_as_told() {
        writeln!(out, "  {}\n", styled(GOOD, "✓ Everything rang as it should."))?;
        writeln!(out, "  {}", styled(STRONG, "What next"))?;
        for (command, does) in HINTS {
            writeln!(out, "  {}  {does}", column(NAME, command, 18))?;
        }
    } else {
        let advice =
            "Not everything went as it should. Is this machine very busy? Else this is a bug.";
        writeln!(out, "  {}", styled(BAD, advice))?;
    }
    out.flush()
}

fn rows(ledger: &Ledger) -> [(&'static str, String); 5] {
    let attempts = ledger.hits.len();
    let refused = ledger.hits.iter().filter(|hit| !hit.is_accepted()).count();
    let rang = ledger.expected_count.saturating_sub(ledger.missing.len());
    let same = if ledger.is_byte_identical() { "the same id and bytes" } else { "OTHER BYTES" };
    [
        (
            "polls",
            format!(
                "{}, {} of them answered 304",
                ledger.traffic.polls, ledger.traffic.not_modified
            ),
        ),
        ("events", format!("{rang} of {} rang", ledger.expected_count)),
        (
            "deliveries",
            format!(
                "{}: {refused} refused, {} tried again with {same}",
                count(attempts, "attempt"),
                ledger.repeat_count()
            ),
        ),
        ("signatures", format!("{} of {attempts} verified", ledger.verified_count())),
        ("latency", latency(&ledger.latencies)),
    ]
}

/// From change to first attempt.
fn latency(latencies: &[Duration]) -> String {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(median), Some(longest)) => format!(
            "{} in the median from change to ring, {} at most",
            brief(*median),
            brief(*longest)
        ),
        _ => String::from("nothing rang"),
    }
}
