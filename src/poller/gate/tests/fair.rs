//! Who has how much, and when first.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_noisy_source_takes_a_fifth_unless_it_weighs_more() {
    let share = async |weight: u32| {
        let mut text = sharing("limit: 60/m", 10, "every: 1s..1h");
        let keys = format!("every: 1s..1h, weight: {weight}");
        writeln!(
            text,
            "  noisy: {{ api: shop, url: 'https://shop.example/noisy', key: .id, {keys} }}"
        )
        .unwrap();
        let world = World::new(
            &text,
            Box::new(|counts, request, since| {
                counts.refused += usize::from(counts.in_a_minute("shop", since) > 60);
                if request.url.path() == "/noisy" {
                    let body = format!(r#"[{{"id":1,"at":{}}}]"#, since.as_millis());
                    return Ok(answer(200, &[], &body));
                }
                Ok(listing())
            }),
        );
        sleep(Duration::from_hours(1)).await;
        let counts = world.counts();
        assert_eq!(counts.refused, 0);
        world.end().await;
        counts.of("/noisy") * 100 / (48 * 60)
    };
    let (plain, weighty) = (share(1).await, share(3).await);
    assert!(plain <= 20 && weighty > 25 && weighty <= 60, "{plain} %, and {weighty} %");
}

#[tokio::test(start_paused = true)]
async fn first_polls_come_within_one_interval() {
    let check = async |text: String, within: Duration| {
        let world = World::new(&text, Box::new(|_, _, _| Ok(listing())));
        sleep(within + Duration::from_secs(1)).await;
        let counts = world.counts();
        assert_eq!(counts.asked.len(), 300, "{} of 300 in {within:?}", counts.asked.len());
        world.end().await;
    };
    check(sharing("auth: { bearer: t }", 300, "every: 10s"), Duration::from_secs(10)).await;
    check(sharing("auth: { bearer: t }", 300, "every: 30s..15m"), Duration::from_secs(30)).await;
    // Or as soon as a limit lets them.
    let keys = "every: 1m..1h";
    check(sharing("limit: 600/m", 300, keys), Duration::from_secs(300 / 8 + 3)).await;
}
