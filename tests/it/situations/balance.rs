//! A bank balance is read from a plain endpoint: no list, no key, no webhooks. The agent wants to know when it *crosses*
//! a threshold, once per crossing.

use crate::support::wait::stays;
use crate::support::{Daemon, Receiver, Reply, Script, Shared};

/// The bank: an account as the teller wrote it, and the time of day, which is another at every look.
struct Bank {
    api: Script,
    says: Shared<String>,
}

impl Bank {
    fn open(balance: &str) -> Self {
        let says = Shared::new(balance.to_owned());
        let (said, looks) = (says.clone(), Shared::new(0));
        let api = Script::start(move |_| {
            let look = looks.with(|looks| {
                *looks += 1;
                *looks
            });
            let balance = said.get();
            Reply::text(
                "application/json",
                format!(r#"{{"account":"DE02","balance":{balance},"as_of":{look}}}"#),
            )
        });
        Self { api, says }
    }

    /// The account has this balance, and doorbell has seen it.
    #[track_caller]
    fn turns(&self, daemon: &mut Daemon, balance: &str) {
        self.says.set(balance.to_owned());
        daemon.wait_for_good_polls("balance", 2);
    }
}

fn config(bank: &Bank, receiver: &Receiver) -> String {
    format!(
        "
sources:
  balance:
    url: '{}'
    every: 100ms      # an hour, at a bank
    backoff: {{ first: 50ms, max: 200ms }}
    ignore: [.as_of]
    fail_when: .balance == null      # at night there is none, which jq takes for less than anything
    events:
      - type: balance.low
        on: updated
        when: .before.balance >= 100 and .after.balance < 100
      - type: balance.recovered
        on: updated
        when: .before.balance < 100 and .after.balance >= 100
endpoints:
  agent: {{ url: '{}', secret: any }}
",
        bank.api.url_of("/v1/accounts/DE02"),
        receiver.url()
    )
}

#[test]
fn a_threshold_rings_once_per_crossing() {
    let (bank, receiver) = (Bank::open("250.00"), Receiver::start());
    let mut daemon = Daemon::run(&config(&bank, &receiver));
    daemon.wait_until_polled("balance");
    let mut story = Vec::new();
    for (balance, rings) in [
        ("120.50", None),
        ("120.5", None),
        ("100", None),
        ("99.99", Some("balance.low ")),
        ("42", None),
        ("99.999", None),
        ("1.0e2", Some("balance.recovered ")),
        ("100.00", None),
        ("4000", None),
        // Far below, and back, and below again: each crossing is one.
        ("-12.30", Some("balance.low ")),
        ("100", Some("balance.recovered ")),
        ("99.99", Some("balance.low ")),
    ] {
        bank.turns(&mut daemon, balance);
        story.extend(rings);
        receiver.wait_for(balance, |ledger| ledger.accepted().len() >= story.len());
        assert_eq!(receiver.ledger().story(), story, "at {balance}");
    }
    let ledger = receiver.ledger();
    assert_eq!(ledger.ids().len(), story.len(), "the same crossing again is another event");
    let first = &ledger.rings[0].event;
    assert_eq!(first["data"]["balance"], 99.99);
    assert_eq!(first["previous"]["balance"], 100);
    // What changes by itself is still delivered, and is no difference.
    assert!(first["data"]["as_of"].is_u64());
    assert_eq!(first["changes"].as_array().unwrap().len(), 1);
    assert!(daemon.term().success());
}

#[test]
fn a_crossing_is_found_after_an_outage_and_rings_once() {
    let (bank, receiver) = (Bank::open("250"), Receiver::start());
    let mut daemon = Daemon::run(&config(&bank, &receiver));
    daemon.wait_until_polled("balance");

    // The balance falls while nobody looks.
    daemon.kill9();
    bank.says.set(String::from("10"));
    daemon.start();
    receiver.expect(&["balance.low "]);

    // It is as low as before after any number of restarts, and the bank's own troubles are no crossing either.
    for hard in [true, false] {
        if hard {
            daemon.kill9();
        } else {
            assert!(daemon.term().success());
        }
        bank.says.set(String::from(if hard { "}" } else { "null" }));
        daemon.start();
        daemon.wait_until("a poll that failed", |daemon| daemon.polls("balance", "failed") > 0.5);
        bank.turns(&mut daemon, "10.00");
        stays("it does not ring again", || receiver.ledger().rings.len() == 1);
    }
    bank.turns(&mut daemon, "180");
    receiver.expect(&["balance.low ", "balance.recovered "]);
}
