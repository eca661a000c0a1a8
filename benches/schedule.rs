//! How late changes are seen for how many requests: the schedule beside a fixed interval and halve/grow on a trace of
//! real changes, with as many requests, at an average of one poll a source every 60, 15 and 5 minutes.
//!
//! `cargo bench --bench schedule`, or `cargo bench --bench schedule -- TRACE.csv` with a trace of one's own, lines of
//! `source_id,unix_seconds`. What it measures is `doorbell simulate`; nothing here depends on the machine.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot go on may say so by ending")]

use std::process::Command;

use serde_json::Value;

/// 28 public repositories over eight weeks.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/traces/repositories.csv");
/// Minutes between polls of a source, on average, as requests of a source in an hour.
const PER_SOURCE: [(u32, u32); 3] = [(60, 1), (15, 4), (5, 12)];
/// The figures, and the most that ours may be of a fixed interval's.
const AIMS: [(&str, Option<f64>); 4] = [
    ("mean_s", Some(0.55)),
    ("p50_s", None),
    ("p95_s", Some(0.85)),
    ("per_source_mean_s", Some(1.0)),
];

fn main() {
    // Cargo hands over flags of its own.
    let trace = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let trace = trace.unwrap_or_else(|| SAMPLE.to_owned());
    let sources = simulate(&trace, "1/h").get("sources").and_then(Value::as_u64).unwrap();
    println!("{trace}: {sources} sources");
    for (minutes, per_hour) in PER_SOURCE {
        let budget = sources * u64::from(per_hour);
        report(minutes, budget, &simulate(&trace, &format!("{budget}/h")));
    }
}

fn simulate(trace: &str, budget: &str) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["simulate", "--json", "--events", trace, "--budget", budget])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn report(minutes: u32, budget: u64, answer: &Value) {
    let of = |policy: &str, name: &str| {
        answer.pointer(&format!("/policies/{policy}/{name}")).and_then(Value::as_f64).unwrap()
    };
    let hours = (whole(answer, "to") - whole(answer, "from")) / 3_600.0;
    let budget = f64::from(u32::try_from(budget).unwrap());
    let spent = of("doorbell", "requests") / (budget * hours);
    let busiest = of("doorbell", "busiest_hour") / budget;
    println!(
        "\none poll a source every {minutes} minutes on average: {} requests",
        of("doorbell", "requests")
    );
    println!("  {:<28} {:>10} {:>10} {:>10}", "seconds", "doorbell", "fixed", "halve/grow");
    for (name, aim) in AIMS {
        let [ours, fixed, grow] =
            ["doorbell", "fixed", "halve_grow"].map(|policy| of(policy, name));
        let (ratio, rival) = (ours / fixed, grow / fixed);
        println!(
            "  {name:<28} {ours:>10.1} {fixed:>10.1} {grow:>10.1}   {ratio:.3} (halve/grow {rival:.3}) of fixed{}",
            verdict(ratio, aim)
        );
    }
    println!(
        "  {:<28} {spent:>10.4}{}",
        "requests over budget",
        verdict((spent - 1.0).abs(), Some(0.01))
    );
    println!(
        "  {:<28} {busiest:>10.4}{}",
        "busiest hour over average",
        verdict(busiest, Some(1.25))
    );
    for rival in ["fixed", "halve_grow"] {
        let requests = of(rival, "requests") / of("doorbell", "requests");
        let name = format!("requests of {rival} over ours");
        println!("  {name:<28} {requests:>10.4}{}", verdict((requests - 1.0).abs(), Some(0.01)));
    }
}

fn whole(answer: &Value, name: &str) -> f64 {
    answer.get(name).and_then(Value::as_f64).unwrap()
}

fn verdict(found: f64, aim: Option<f64>) -> String {
    match aim {
        None => String::new(),
        Some(aim) if found <= aim => format!("   aim ≤ {aim}  met"),
        Some(aim) => format!("   aim ≤ {aim}  MISSED"),
    }
}
