//! Mercury: <https://docs.mercury.com/reference/getaccount>.

use serde_json::json;

use super::kitchen::{Kitchen, unauthorized};
use crate::support::{Reply, Script, Shared};

#[test]
fn a_balance_rings_once_per_crossing() {
    let balance = Shared::new(7200.25);
    let shown = balance.clone();
    let api = Script::start(move |received| {
        if received.header("authorization") != Some("Bearer m3rcury") {
            return unauthorized();
        }
        assert_eq!(received.target, "/api/v1/account/5f3cbd18-7f6a-4e0f-9c8e-0a2c1b7a4d11");
        Reply::json(&json!({
            "id": "5f3cbd18-7f6a-4e0f-9c8e-0a2c1b7a4d11", "name": "Mercury Checking ••1234",
            "accountNumber": "1234567890", "routingNumber": "026073150", "status": "active",
            "type": "mercury", "kind": "checking", "createdAt": "2024-03-01T09:00:00Z",
            "availableBalance": shown.get(), "currentBalance": shown.get() + 12.5,
        }))
    });
    let mut kitchen = Kitchen::of("Bank balance")
        .host("https://api.mercury.com", &api)
        .secret("MERCURY_TOKEN", "m3rcury")
        .run();

    kitchen.rings("balance", &[]);
    for (amount, story) in [
        (5000.00, &[][..]),
        (4999.99, &["balance.low "]),
        (12.00, &[]),
        (-3.50, &[]),
        (5000.00, &["balance.recovered "]),
        (4000.00, &["balance.low "]),
    ] {
        balance.set(amount);
        kitchen.rings("balance", story);
    }
    let data = json!({ "account": "Mercury Checking ••1234", "balance": 4000.0 });
    assert_eq!(kitchen.data("balance.low"), data);
}
