//! Figures of several rounds, and what they were measured on.

use std::fmt;
use std::process::Command;

/// One figure, once per round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    /// Adds a round's figure.
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
    }

    /// The middle one.
    pub(crate) fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        let upper = sorted.get(middle).copied().unwrap_or(f64::NAN);
        let lower = sorted.get(middle.saturating_sub(1)).copied().unwrap_or(f64::NAN);
        if sorted.len().is_multiple_of(2) { f64::midpoint(lower, upper) } else { upper }
    }

    /// Round by round, this over `floor`.
    pub(crate) fn over(&self, floor: &Self) -> Self {
        Self(self.0.iter().zip(&floor.0).map(|(figure, floor)| figure / floor).collect())
    }

    /// Round by round, so many times.
    pub(crate) fn scaled(&self, factor: f64) -> Self {
        Self(self.0.iter().map(|figure| figure * factor).collect())
    }

    /// Round by round, this and `other` together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one + other).collect())
    }

    /// Round by round, the lesser of the two.
    pub(crate) fn least(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(one, other)| one.min(*other)).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

/// `MEDIAN (MIN–MAX)`, with as many decimals as the formatter asks for.
impl fmt::Display for Rounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = out.precision().unwrap_or(2);
        let sorted = self.sorted();
        let (least, most) = (sorted.first(), sorted.last());
        let (least, most) = (least.copied().unwrap_or(f64::NAN), most.copied().unwrap_or(f64::NAN));
        let median = self.median();
        let text = format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})");
        write!(out, "{text:>28}")
    }
}

/// Says how a ratio stands to its goal, in one line.
pub(crate) fn goal(what: &str, found: &Rounds, aim: f64, is_met: impl Fn(f64, f64) -> bool) {
    let sign = if is_met(0.0, 1.0) { '≤' } else { '≥' };
    let verdict = if is_met(found.median(), aim) { "met" } else { "MISSED" };
    println!("goal: {what:<56} {found:.2}  aim {sign} {aim}  {verdict}");
}

/// At most.
pub(crate) fn at_most(found: f64, aim: f64) -> bool {
    found <= aim
}

/// At least.
pub(crate) fn at_least(found: f64, aim: f64) -> bool {
    found >= aim
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^53")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// Prints what the figures were measured with.
pub(crate) fn print_versions() {
    let said = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let crates = ["tokio", "hyper", "reqwest", "rusqlite", "libsqlite3-sys"]
        .map(|name| format!("{name} {}", locked_version(name).unwrap_or("?")));
    println!("doorbell {}, {}", env!("CARGO_PKG_VERSION"), crates.join(", "));
    println!(
        "{}, Linux {}, {} cores",
        said("rustc", "--version").unwrap_or_default(),
        said("uname", "-r").unwrap_or_default(),
        std::thread::available_parallelism().map_or(0, usize::from)
    );
}

/// Prints how busy the machine is; with other work on it, believe ratios only.
pub(crate) fn print_load(when: &str) {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = text.split(' ').take(3).collect();
    println!("load average {when}: {}", load.join(" "));
}

fn locked_version(name: &str) -> Option<&'static str> {
    let lock = include_str!("../../Cargo.lock");
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}
