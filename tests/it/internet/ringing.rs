//! Receivers whose names lead nowhere, whose certificates prove nothing, and who send on who rings.

use serde_json::Value;

use super::Internet;
use crate::misbehaviour::tickets;
use crate::support::Daemon;
use crate::support::scene::items;
use crate::support::wait::wait_until;

/// A source, and endpoints with these names, URLs and further keys, on an internet of its own. A new ticket is to ring.
fn ringing(endpoints: &[(&str, &str, &str)]) -> Internet {
    let source = tickets("http://public.test/items", "every: 200ms");
    let endpoint = |(name, url, keys): &(&str, &str, &str)| {
        let usual = "sign: none, timeout: 2s, retry: { first: 50ms, max: 100ms, for: 1h }";
        format!("  {name}: {{ url: '{url}', {usual}, {keys} }}\n")
    };
    let endpoints: String = endpoints.iter().map(endpoint).collect();
    let mut internet = Internet::before(&format!("{source}endpoints:\n{endpoints}"));
    internet.run();
    internet.daemon.wait_until_polled("tickets");
    internet.list(&items(3));
    internet
}

/// The only delivery to an endpoint, once there is one.
fn delivery(daemon: &Daemon, endpoint: &str) -> Value {
    daemon.control_json(&format!("/v1/deliveries?endpoint={endpoint}"))[0].clone()
}

fn fault(daemon: &Daemon, endpoint: &str) -> String {
    let row = daemon.control_json(&format!("/v1/endpoints/{endpoint}"));
    row["fault"]["code"].as_str().unwrap_or_default().to_owned()
}

/// What waits for a name that leads nowhere is tried again, and arrives once it leads somewhere; nobody is sent on.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn names_of_receivers_that_lead_nowhere() {
    let lost = ["gone", "failing", "empty", "silent"];
    let lost: Vec<_> = lost.map(|name| (name, format!("http://{name}.test/{name}"))).into();
    let mut endpoints: Vec<_> = lost.iter().map(|(name, url)| (*name, url.as_str(), "")).collect();
    endpoints.extend([
        ("moving", "http://moving.test/moving", ""),
        ("inside", "http://inside.test/inside", ""),
        ("sent-in", "http://public.test/to?http://169.254.169.254/secrets", ""),
        ("sent-down", "https://good.test/to?http://public.test/open", "tls: { ca: HOME/ca.pem }"),
    ]);
    let mut internet = ringing(&endpoints);
    internet.move_to("gone");
    for (name, _) in lost.iter().map(|(name, url)| (*name, url)).chain([("moving", &String::new())])
    {
        internet
            .daemon
            .wait_until(name, |daemon| delivery(daemon, name)["attempts"].as_u64() >= Some(2));
        let fault = fault(&internet.daemon, name);
        assert!(["resolve", "timeout"].contains(&fault.as_str()), "{name}: {fault}");
    }
    for name in ["sent-in", "sent-down"] {
        internet.daemon.wait_until(name, |daemon| fault(daemon, name) == "redirect");
    }
    // An operator may name a host of the house.
    internet
        .daemon
        .wait_until("inside", |daemon| delivery(daemon, "inside")["status"] == "delivered");
    internet.move_to("public");
    internet
        .daemon
        .wait_until("moved", |daemon| delivery(daemon, "moving")["status"] == "delivered");
    let heard = internet.heard();
    let rung = |path: &str| heard.iter().filter(|line| line.contains(path)).collect::<Vec<_>>();
    assert_eq!((rung("/inside").len(), rung("/moving").len()), (1, 1), "{heard:?}");
    assert!(rung("/moving")[0].starts_with("93.184.216.34 "), "{heard:?}");
    let is_astray = |line: &&String| line.starts_with("169.254.") || line.contains(" /open ");
    assert_eq!(heard.iter().find(is_astray), None);
    for (name, _) in &lost {
        assert!(rung(&format!("/{name} ")).is_empty(), "{heard:?}");
    }
}

/// What a certificate does not prove is refused before a word is said, and for good where waiting mends nothing.
#[test]
#[ignore = "long: makes namespaces and certificates"]
fn certificates_of_receivers_that_prove_nothing() {
    let ours = "tls: { ca: HOME/ca.pem }";
    let bad = [
        ("stranger", "https://good.test/stranger", ""),
        ("selfsigned", "https://selfsigned.test:448/selfsigned", ours),
        ("misnamed", "https://misnamed.test:444/misnamed", ours),
        ("expired", "https://expired.test:446/expired", ours),
        ("early", "https://early.test:447/early", ours),
        ("old", "https://old.test:445/old", ours),
        ("open", "https://public.test:80/open", ours),
    ];
    let good = ("good", "https://good.test/good", ours);
    let mut internet = ringing(&[&bad[..], &[good]].concat());
    for (name, ..) in bad {
        internet.daemon.wait_until(name, |daemon| fault(daemon, name) == "tls");
    }
    internet.daemon.wait_until("good", |daemon| delivery(daemon, "good")["status"] == "delivered");
    for name in ["stranger", "selfsigned", "misnamed"] {
        let row = delivery(&internet.daemon, name);
        assert_eq!((&row["status"], &row["attempts"]), (&"exhausted".into(), &1.into()), "{row}");
    }
    let rung = || internet.heard().into_iter().filter(|line| !line.contains(" /items "));
    wait_until("the good one", || rung().count() == 1);
    assert!(rung().all(|line| line.contains(" /good ")), "{:?}", internet.heard());
}
