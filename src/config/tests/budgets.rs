//! What a source may spend, and with whom it shares that.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::valid;
use crate::core::budget::{Holder, Rate};
use crate::core::schedule::Every;
use crate::core::source::Source;

const TEXT: &str = r#"
defaults: { limit: 1/s, concurrency: 9, every: 1m }
apis:
  company: { limit: 100/s }
  helpdesk: { api: company, limit: [5000/h, 20/s], concurrency: 4 }
  plain: { cron: "@daily" }
sources:
  both: { api: helpdesk, url: https://a.example/, limit: { rate: 2/s, burst: 40 } }
  shared: { api: helpdesk, url: https://a.example/ }
  wider: { api: company, url: https://a.example/ }
  plain: { api: plain, url: https://b.example/ }
  timed: { url: https://c.example/, cron: "0 2 * * *", limit: 100/15m }
"#;

fn source(text: &str, name: &str) -> Source {
    let found = valid(text).sources.into_iter().find(|source| source.name.as_str() == name);
    Arc::unwrap_or_clone(found.unwrap_or_else(|| panic!("no source {name}")))
}

fn told(source: &Source) -> Vec<String> {
    let told = source.budgets.iter().map(|allowance| {
        let kind = match allowance.holder {
            Holder::Api(_) => "api",
            Holder::Source(_) => "source",
            Holder::Servers => "nobody",
        };
        let rate = |rate: &Rate| {
            let burst = rate.burst.map_or_else(String::new, |burst| format!("+{burst}"));
            format!("{}/{}s{burst}", rate.count, rate.period.as_secs())
        };
        let rates: Vec<_> = allowance.limit.iter().map(rate).collect();
        format!(
            "{kind} {} {} {:?}",
            allowance.holder.as_str(),
            rates.join(" "),
            allowance.concurrency
        )
    });
    told.collect()
}

#[test]
fn every_budget_of_the_chain_holds_and_the_default_is_for_those_without_any() {
    let check = |name: &str, expected: &[&str]| {
        assert_eq!(told(&source(TEXT, name)), expected, "{name}");
    };
    let shared = ["api helpdesk 5000/3600s 20/1s Some(4)", "api company 100/1s None"];
    check("both", &["source both 2/1s+40 None", shared[0], shared[1]]);
    check("shared", &shared);
    check("wider", &shared[1..]);
    check("plain", &["source plain 1/1s Some(9)"]);
    check("timed", &["source timed 100/900s Some(9)"]);
}

#[test]
fn the_nearer_of_interval_and_calendar_counts() {
    let minute = Every::Fixed(Duration::from_mins(1));
    assert_eq!((source(TEXT, "shared").every, source(TEXT, "shared").cron.clone()), (minute, None));
    let cron = |name: &str| source(TEXT, name).cron.clone().map(|cron| cron.as_str().to_owned());
    assert_eq!(cron("plain").as_deref(), Some("@daily"));
    assert_eq!(cron("timed").as_deref(), Some("0 2 * * *"));
}

#[test]
fn a_limit_alone_takes_no_new_baseline_and_is_named() {
    let other = TEXT.replace("5000/h", "50/h").replace("concurrency: 4", "concurrency: 5");
    let (old, new) = (source(TEXT, "shared"), source(&other, "shared"));
    assert_eq!((old.identity(), old.comparison()), (new.identity(), new.comparison()));
    assert_eq!(old.credentials(), new.credentials());
    assert_eq!(crate::core::parts::source_keys(&old, &new), ["limit", "concurrency"]);
    let timed = source(&TEXT.replace("0 2 * * *", "0 3 * * *"), "timed");
    assert_eq!(crate::core::parts::source_keys(&source(TEXT, "timed"), &timed), ["cron"]);
    assert!(NonZeroU32::new(50).is_some_and(|count| new.budgets[0].limit[0].count == count));
}
