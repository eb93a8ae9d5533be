//! What survives a restart: everything that was answered with 2xx.

use std::time::Duration;

use end_to_end_tests::{Load, World, eventually, within};
use jiff::Timestamp;
use serde_json::json;

#[tokio::test]
async fn orders_survive_the_restart_of_either_service() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    let mut expected = Vec::new();
    for number in 0..20 {
        let id = format!("ORDER-{number:02}");
        assert_eq!(cart.create(&id, 1 + number).await.status, 201);
        expected.push(id);
    }
    assert_eq!(cart.update("ORDER-07", "shipped").await.status, 200);
    let before = orders.order("ORDER-07", |order| order["status"] == "shipped").await;

    cart.stop().await;
    orders.stop().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    // Ready means restored: no waiting from here on.
    let all = orders.get(&format!("/getAllOrderIdsFromTopic?topic={}", world.topic())).await;
    assert_eq!(all.json["orderIds"], json!(expected));
    assert_eq!(all.json["count"], 20);
    assert_eq!(orders.get("/order-details?orderId=ORDER-07").await.json, before);

    orders.kill().await;
    cart.kill().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    assert_eq!(orders.get("/order-details?orderId=ORDER-07").await.json, before);
    assert_eq!(cart.update("ORDER-07", "delivered").await.status, 200);
    orders.order("ORDER-07", |order| order["status"] == "delivered").await;
}

#[tokio::test]
async fn a_backlog_of_one_partition_is_processed_without_a_pause() {
    let world = World::shared().await.with("TOPIC_PARTITIONS", "1").with("BATCH_MAX_EVENTS", "10");
    // It makes the topic.
    world.cart().await.stop().await;
    Load::new(&world).await.creates(0..2000).await;
    let orders = world.orders_starting().await;
    within(Duration::from_secs(180), "all of it is processed", async || {
        let applied = orders.metric(r#"order_events_consumed_total{outcome="applied",reason=""}"#).await;
        (applied == Some(2000.0)).then_some(())
    })
    .await;
    // 200 batches of some 10 ms. A pause makes every gap long, a busy machine only some of them.
    let mut gaps = gaps_between_commits(&orders.log());
    gaps.sort();
    assert!(gaps.len() >= 199, "{} batches", gaps.len() + 1);
    let usual = gaps[gaps.len() / 4];
    assert!(usual < Duration::from_millis(200), "{usual:?} between two commits");
}

fn gaps_between_commits(log: &str) -> Vec<Duration> {
    let committed = log.lines().filter(|line| line.contains("process: committed "));
    let times: Vec<Timestamp> =
        committed.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
    times.windows(2).map(|pair| pair[1].duration_since(pair[0]).unsigned_abs()).collect()
}

#[tokio::test]
async fn a_service_that_is_stopped_while_it_joins_its_group_ends_well() {
    let world = World::shared().await;
    for _ in 0..8 {
        // It is ready before the group has given it partitions.
        world.orders().await.stop().await;
    }
}

#[tokio::test]
async fn ids_come_sorted_and_in_pages() {
    let world = World::shared().await;
    let (cart, orders) = (world.cart().await, world.orders().await);
    for id in ["D", "B", "5", "A", "C"] {
        assert_eq!(cart.create(id, 1).await.status, 201);
    }
    for id in ["A", "B", "C", "D", "5"] {
        orders.order(id, |_| true).await;
    }
    let path = format!("/getAllOrderIdsFromTopic?topic={}&limit=2", world.topic());
    let mut cursor = String::new();
    let mut pages = Vec::new();
    loop {
        let page = orders.get(&format!("{path}{cursor}")).await.json;
        pages.push(page["orderIds"].clone());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(pages, [json!(["A", "B"]), json!(["C", "D"]), json!(["ORD-5"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_finds_its_create_that_came_while_nobody_processed() {
    let world = World::shared().await.with("UPDATE_GRACE", "500ms").with("INSTANCE_ID", "one");
    let (cart, orders) = (world.cart().await, world.orders().await);
    let update = cart.update("LATE", "confirmed").await;
    let position = update.json["kafka"]["position"].as_str().unwrap().replace(':', "/");
    let event = format!("/events/{}/{position}", world.topic());
    eventually("it is held", async || (orders.get(&event).await.json["outcome"] == "held").then_some(()))
        .await;
    orders.kill().await;
    cart.create("LATE", 1).await;
    // Longer than the grace: by the clock, the update is to be given up at once.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let orders = world.orders().await;
    orders.order("LATE", |order| order["status"] == "confirmed").await;
    assert_eq!(orders.get(&event).await.json["outcome"], "applied");
    // One whose order never comes is given up all the same, also when the log ends with a control record.
    let events = world.events();
    let late = events.read().into_iter().find(|record| record.key.as_deref() == Some(b"LATE")).unwrap();
    let mut value = late.value.unwrap();
    let at = value.windows(4).position(|window| window == b"LATE").unwrap();
    value[at..at + 4].copy_from_slice(b"NONE");
    let (partition, offset) = events.write_in_transaction(b"NONE", &value);
    let event = format!("/events/{}/{partition}/{offset}", world.topic());
    eventually("it is given up", async || {
        (orders.get(&event).await.json["outcome"] == "dead_lettered").then_some(())
    })
    .await;
}
