//! What the server charges for, and what it says is left.

use super::*;

/// A server that takes `most` requests in each whole minute, tells what is left, and charges for a 304 or not.
fn metered(most: usize, charges_unchanged: bool) -> Rule {
    Box::new(move |counts, request, since| {
        let is_same = request.headers.contains_key("if-none-match")
            && (request.url.path() != "/0" || since.as_secs() % 100 >= 2);
        let window = counts.lately.entry(format!("{}", since.as_secs() / 60)).or_default();
        if charges_unchanged || !is_same {
            window.push_back(since);
        }
        let count = window.len();
        if count > most {
            counts.refused += 1;
            return Ok(answer(429, &[], ""));
        }
        let told = [
            ("etag", String::from("\"x\"")),
            ("x-ratelimit-limit", most.to_string()),
            ("x-ratelimit-remaining", (most - count).to_string()),
            ("x-ratelimit-reset", (60 - since.as_secs() % 60).to_string()),
        ];
        let body = if request.url.path() == "/0" { since.as_secs() / 100 } else { 0 };
        let status = if is_same { 304 } else { 200 };
        let body = if is_same { String::new() } else { format!(r#"[{{"id":1,"at":{body}}}]"#) };
        Ok(answer(status, &told, &body))
    })
}

#[tokio::test(start_paused = true)]
async fn a_304_is_charged_by_those_who_charge_and_not_by_the_others() {
    let asked = async |charges: bool| {
        let world = World::new(&sharing("limit: 60/m", 20, "every: 1s..1h"), metered(60, charges));
        sleep(Duration::from_mins(40)).await;
        let counts = world.counts();
        assert_eq!(counts.refused, 0);
        world.end().await;
        counts.all()
    };
    let (charged, free) = (asked(true).await, asked(false).await);
    let planned = 48 * 40;
    assert!((planned * 3 / 4..=planned + 6).contains(&charged), "{charged} of {planned}");
    // As often as their bounds and what they find let them, and not more than a courtesy.
    assert!(free > planned * 5 / 2 && free < 10 * 2_400, "{free}, and {charged} when charged");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_begins_to_charge_meets_no_crowd() {
    let world = World::new(&sharing("limit: 60/m", 20, "every: 1s..1h"), metered(60, false));
    sleep(Duration::from_mins(15)).await;
    let before = world.counts().all();
    *locked(&world.server.rule) = metered(60, true);
    sleep(Duration::from_mins(30)).await;
    let counts = world.counts();
    // What the server says is left stops them, and what is charged again is planned for again.
    assert_eq!(counts.refused, 0);
    assert!(counts.all() - before <= 62 * 30, "{}", counts.all() - before);
    world.end().await;
}

/// Sources that change all the time, at a server that takes thirty requests in each whole minute.
async fn even_spending(keys: &str) {
    let world = World::new(
        &sharing(keys, 40, "every: 1s..10m"),
        Box::new(|counts, _, since| {
            let window = counts.lately.entry(format!("{}", since.as_secs() / 60)).or_default();
            window.push_back(since);
            let count = window.len();
            if count > 30 {
                counts.refused += 1;
                return Ok(answer(429, &[], ""));
            }
            let told = [
                ("x-ratelimit-limit", String::from("30")),
                ("x-ratelimit-remaining", (30 - count).to_string()),
                ("x-ratelimit-reset", (60 - since.as_secs() % 60).to_string()),
            ];
            Ok(answer(200, &told, &format!(r#"[{{"id":1,"at":{}}}]"#, since.as_millis())))
        }),
    );
    sleep(Duration::from_mins(50)).await;
    let counts = world.counts();
    // Before the first answer nothing was known.
    assert!(counts.refused <= 40, "{keys}: {}", counts.refused);
    let late = counts.asked.values().flatten().filter(|at| at.as_secs() >= 20 * 60);
    let late: Vec<_> = late.map(|at| at.as_secs() % 60).collect();
    assert!((30 * 15..=30 * 30).contains(&late.len()), "{keys}: {}", late.len());
    let early = late.iter().filter(|second| **second < 20).count();
    assert!(early < late.len() / 2, "{keys}: {early} of {} in a third", late.len());
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_left_lasts_until_there_is_more() {
    even_spending("auth: { bearer: t }").await;
    even_spending("limit: 600/m").await;
}
