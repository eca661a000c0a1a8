//! Everything that leads into the house, in every spelling.

use std::fmt::Write as _;

use super::Internet;
use crate::misbehaviour::tickets;
use crate::support::wait::PATIENCE;
use crate::support::wait::poll_for;

const NOT_PUBLIC: &str = include_str!("../../cases/not_public.txt");
const PUBLIC: &str = "93.184.216.34";

/// A server of somebody else sends whoever asks on to the house: no connection is ever made there, also not to the
/// address where clouds keep their secrets, which listens.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn no_spelling_leads_into_the_house() {
    // The servers of the house are there, and count. What the operator's own file names may be reached.
    for host in ["169.254.169.254", "127.0.0.1"] {
        let own = Internet::before(&tickets(&format!("http://{host}/items"), ""));
        own.daemon.poll("tickets").rang(&[]);
        assert_eq!(own.connected(), [host]);
    }

    let hosts: Vec<_> = NOT_PUBLIC.lines().filter(|line| !line.starts_with('#')).collect();
    let mut config = String::from("sources:\n");
    for (number, host) in hosts.iter().chain(&["good.test"]).enumerate() {
        let url = format!("http://public.test/to?http://{host}/latest/meta-data");
        let keys = "key: .id, every: 2s, backoff: { first: 200ms, max: 2s }, redirects: 3";
        writeln!(config, "  s{number}: {{ url: '{url}', {keys} }}").unwrap();
    }
    let mut internet = Internet::before(&config);
    internet.run();
    let fault = |number: usize| {
        let row = internet.daemon.control_json(&format!("/v1/sources/s{number}"));
        row["fault"]["code"].as_str().map(str::to_owned)
    };
    for (number, host) in hosts.iter().enumerate() {
        let fault = poll_for(2 * PATIENCE, || fault(number)).unwrap_or_else(|| {
            panic!("{host} is no fault: {}", internet.daemon.control_json("/v1/sources"))
        });
        let is_refused = ["blocked", "resolve", "redirect"].contains(&fault.as_str());
        assert!(is_refused, "{host}: {fault}");
    }
    let last = format!("s{}", hosts.len());
    internet.daemon.wait_until_polled(&last);
    let connected = internet.connected();
    assert!(!connected.is_empty());
    assert!(connected.iter().all(|address| address == PUBLIC), "{connected:?}");
    assert!(internet.heard().iter().all(|line| line.starts_with(PUBLIC)));
    let heard = internet.heard().iter().filter(|line| line.contains("/to?")).count();
    assert!(heard > hosts.len(), "{heard} of {} were sent on", hosts.len());
}
