//! Topics that are not what they were: truncated, deleted, made anew, made by somebody else.

use std::time::Duration;

use end_to_end_tests::checker::{Checker, Times};
use end_to_end_tests::{Load, Record, Service, World, eventually, within};
use rustix::process::Signal;
use tokio::task::block_in_place;

const ORDERS: u32 = 300;
const FEW: u32 = 30;

/// An instance of a world with so many orders, which are processed.
async fn processed(world: &World, orders: u32) -> Service {
    let service = world.orders().await;
    Load::new(world).await.creates(0..orders).await;
    eventually("all orders are there", async || (count(&service).await == u64::from(orders)).then_some(()))
        .await;
    service
}

async fn count(service: &Service) -> u64 {
    service.get("/health").await.json["orders_in_memory"].as_u64().unwrap()
}

/// Behind the last event of each partition.
fn ends(world: &World) -> Vec<(i32, i64)> {
    let events = block_in_place(|| world.events().read());
    let end = |partition| {
        let offsets =
            events.iter().filter(|record| record.partition == partition).map(|record| record.offset);
        (partition, offsets.max().map_or(0, |last| last + 1))
    };
    (0..3).map(end).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_after_they_were_processed_are_not_missed() {
    let world = World::shared().await;
    processed(&world, ORDERS).await.stop().await;
    world.events().truncate(&ends(&world)).await;
    let service = world.orders().await;
    assert_eq!(count(&service).await, u64::from(ORDERS));
    assert_eq!(service.get("/health").await.json["events_lost"], 0);
    // And it goes on.
    Load::new(&world).await.updates(0..ORDERS).await;
    for number in 0..ORDERS {
        service.order(&format!("ORD-{number}"), |order| order["status"] == "confirmed").await;
    }
    assert_eq!(service.metric("order_events_lost_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_gone_before_they_were_processed_are_counted() {
    let world = World::shared().await;
    processed(&world, ORDERS).await.stop().await;
    let load = Load::new(&world).await;
    let before = ends(&world);
    load.updates(0..ORDERS).await;
    let after = ends(&world);
    world.events().truncate(&after).await;
    load.creates(ORDERS..2 * ORDERS).await;

    let lost: i64 = before.iter().zip(&after).map(|((_, before), (_, after))| after - before).sum();
    assert_eq!(lost, i64::from(ORDERS));
    let service = world.orders().await;
    eventually("it goes on behind them", async || {
        (count(&service).await == u64::from(2 * ORDERS)).then_some(())
    })
    .await;
    assert_eq!(service.get("/health").await.json["events_lost"], lost);
    assert_eq!(service.metric("order_events_lost_total").await, Some(f64::from(ORDERS)));
    let log = service.log();
    let told = log.lines().filter(|line| line.contains("ERROR") && line.contains("lost="));
    assert_eq!(told.count(), 3, "once a partition");
    assert!(service.get("/order-details?orderId=ORD-7").await.text.contains("\"new\""));
    service.stop().await;
    // It is not forgotten, and not counted twice.
    let service = world.orders().await;
    service.processing(3).await;
    assert_eq!(service.get("/health").await.json["events_lost"], lost);
    assert_eq!(service.metric("order_events_lost_total").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_deleted_under_a_running_instance_are_counted() {
    let world = World::shared().await;
    let service = processed(&world, ORDERS).await;
    service.signal(Signal::STOP);
    let load = Load::new(&world).await;
    // The one event answers the fetch that is under way. A process that is stopped sends no other.
    load.updates(0..1).await;
    load.updates(1..ORDERS).await;
    world.events().truncate(&ends(&world)).await;
    load.creates(ORDERS..2 * ORDERS).await;
    service.signal(Signal::CONT);
    eventually("it goes on behind them", async || {
        (count(&service).await == u64::from(2 * ORDERS)).then_some(())
    })
    .await;
    // What it had fetched before is not lost.
    let lost = service.get("/health").await.json["events_lost"].as_f64().unwrap();
    assert!(lost > 0.0 && lost <= f64::from(ORDERS), "{lost}");
    assert_eq!(service.metric("order_events_lost_total").await, Some(lost));
    let mut of_the_log = 0;
    for line in service.log().lines().filter(|line| line.contains("ERROR") && line.contains(" lost=")) {
        let (_, rest) = line.split_once(" lost=").unwrap();
        of_the_log += rest.split(' ').next().unwrap().parse::<u32>().unwrap();
    }
    assert_eq!(f64::from(of_the_log), lost);
}

/// The orders of the topic that was deleted stay, and those of the new one come.
async fn has_both(service: &Service) {
    eventually("the new orders are there", async || {
        (count(service).await == u64::from(ORDERS + FEW)).then_some(())
    })
    .await;
    let health = service.get("/health").await.json;
    assert_eq!((&health["events_cut"], &health["events_lost"]), (&ORDERS.into(), &0.into()), "{health}");
    assert_eq!(service.metric("order_events_cut_total").await, Some(f64::from(ORDERS)));
}

/// Fewer events than before: that alone shows that it is another topic.
#[tokio::test(flavor = "multi_thread")]
async fn an_events_topic_that_was_made_anew_is_processed_from_its_begin() {
    let world = World::shared().await;
    processed(&world, ORDERS).await.stop().await;
    world.events().delete().await;
    world.events().create(3, &[]).await;
    Load::new(&world).await.creates(ORDERS..ORDERS + FEW).await;
    has_both(&world.orders_starting().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_events_topic_that_is_made_anew_under_a_running_instance_is_processed_from_its_begin() {
    let world = World::shared().await;
    let service = processed(&world, ORDERS).await;
    world.events().delete().await;
    world.events().create(3, &[]).await;
    Load::new(&world).await.creates(ORDERS..ORDERS + FEW).await;
    has_both(&service).await;
}

/// What it says of a changelog that is gone, once it says so.
async fn says_that_it_is_lost(service: &Service) -> String {
    within(Duration::from_secs(90), "it says that the changelog is lost", async || {
        let health = service.get("/health").await.json;
        let obstacles = health["obstacles"].as_array().unwrap().iter();
        let reasons = obstacles.filter(|obstacle| obstacle["kind"] == "changelog_lost");
        reasons.map(|obstacle| obstacle["reason"].as_str().unwrap().to_owned()).next()
    })
    .await
}

/// Takes the changelog away from a running instance, which goes on to be read. The next one asks before it begins anew, and
/// has everything then.
async fn goes_on_without_its_changelog(made_anew: bool) {
    let world = World::shared().await;
    let service = processed(&world, FEW).await;
    let changelog = world.changelog();
    changelog.delete().await;
    if made_anew {
        changelog.create(3, &[("cleanup.policy", "compact")]).await;
    }
    // One batch, longer than the log was.
    service.signal(Signal::STOP);
    Load::new(&world).await.creates(FEW..ORDERS).await;
    service.signal(Signal::CONT);
    let reason = says_that_it_is_lost(&service).await;
    assert!(reason.contains("is gone"), "{reason}");
    assert_eq!(service.get("/order-details?orderId=ORD-7").await.status, 200, "reads are stale");
    assert_eq!(count(&service).await, u64::from(FEW));
    service.stop().await;
    if made_anew {
        let records = block_in_place(|| changelog.read());
        let progress = |record: &Record| record.key.as_deref() == Some(b"\0progress");
        assert!(!records.iter().any(progress), "the next start would not build the first orders again");
    } else {
        assert_eq!(changelog.partition_count(), 0, "it is made by no running instance");
    }

    // No instance takes the empty changelog for the truth, not for a moment and not if another one owns the partition.
    let both = [world.orders_starting().await, world.orders_starting().await];
    let told = tokio::join!(says_that_it_is_lost(&both[0]), async {
        while !both[0].get("/health").await.text.contains("changelog_lost") {
            for service in &both {
                assert_eq!(service.get("/order-details?orderId=ORD-7").await.status, 503);
                assert_eq!(service.get("/health/ready").await.status, 503);
            }
        }
    });
    assert!(told.0.contains("has nothing of partitions"), "{}", told.0);
    for service in both {
        assert_eq!(service.get("/order-details?orderId=ORD-7").await.status, 503, "nothing is known of it");
        service.stop().await;
    }
    // The events are still there: all orders are built again.
    let service = world.fork().with("ACCEPT_LOST_CHANGELOG", "true").orders().await;
    let checker = Checker::new(&world).await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_is_deleted_under_a_running_instance_stops_it_and_not_its_reads() {
    goes_on_without_its_changelog(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_is_made_anew_under_a_running_instance_stops_it_and_not_its_reads() {
    goes_on_without_its_changelog(true).await;
}

/// An instance that does not write to the changelog any more, and follows it.
async fn follows(world: &World) -> Service {
    let service = processed(world, FEW).await;
    world.changelog().configure("cleanup.policy", "delete").await;
    eventually("it only follows", async || {
        service.log().contains("processing nothing; following the changelog").then_some(())
    })
    .await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_whose_begin_is_deleted_before_an_instance_has_read_it_is_read_anew() {
    let world = World::shared().await;
    let service = follows(&world).await;
    let changelog = world.changelog();
    service.signal(Signal::STOP);
    // The first one answers the fetch that is under way.
    for _ in 0..3 {
        changelog.write(Some(b"\0unknown"), None, &[]).await;
    }
    let (partition, last) = changelog.write(Some(b"\0unknown"), None, &[]).await;
    changelog.truncate(&[(partition, last + 1)]).await;
    service.signal(Signal::CONT);
    let line = format!("partition {partition} begins at offset {}, but was known only up to", last + 1);
    eventually("it has noticed", async || {
        let log = service.log();
        (log.contains(&line) && log.contains("reading what is left of it anew")).then_some(())
    })
    .await;
    // Nothing is left of it, its progress included.
    let reason = says_that_it_is_lost(&service).await;
    assert!(reason.contains(&format!("has nothing of partitions [{partition}]")), "{reason}");
}

/// Its partition has no end that was seen before, but another identity.
#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_was_made_anew_and_is_longer_stops_who_follows_it_and_not_its_reads() {
    let world = World::shared().await.with("TOPIC_PARTITIONS", "1");
    let service = follows(&world).await;
    let changelog = world.changelog();
    let known = block_in_place(|| changelog.read()).last().unwrap().offset;
    service.signal(Signal::STOP);
    changelog.delete().await;
    changelog.create(1, &[("cleanup.policy", "delete")]).await;
    // Up to where it reads on: behind a control record.
    for _ in 0..=known + 1 {
        changelog.write(Some(b"\0unknown"), None, &[]).await;
    }
    let identity = format!(r#"{{"id":"another","source":"{}"}}"#, world.topic());
    changelog.write(Some(b"\0id"), Some(identity.as_bytes()), &[]).await;
    service.signal(Signal::CONT);
    let reason = says_that_it_is_lost(&service).await;
    assert!(reason.contains("another topic"), "{reason}");
    assert_eq!(count(&service).await, u64::from(FEW));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_of_another_topic_is_refused() {
    let world = World::shared().await;
    processed(&world, ORDERS).await.stop().await;
    let other = format!("{}-other", world.topic());
    let changed = world.fork().with("ORDER_TOPIC", &other);
    changed.cart().await.stop().await;
    Load::new(&changed).await.creates(ORDERS..2 * ORDERS).await;
    let (code, said) = changed.run_to_end("order-service").await;
    assert_eq!(code, Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains(&format!("ORDER_TOPIC={}", world.topic())) && last.contains(&other), "{last}");
    assert!(last.contains("CONSUMER_GROUP_ID"), "{last}");
    // The message's first advice.
    assert_eq!(count(&world.orders().await).await, u64::from(ORDERS));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_lost_are_told_by_every_instance_before_another_comes() {
    let world = World::shared().await;
    processed(&world, ORDERS).await.stop().await;
    let before = ends(&world);
    Load::new(&world).await.updates(0..ORDERS).await;
    let after = ends(&world);
    world.events().truncate(&after).await;
    let lost: i64 = before.iter().zip(&after).map(|((_, before), (_, after))| after - before).sum();
    let (one, two) = (world.orders().await, world.orders().await);
    for service in [&one, &two] {
        eventually("it tells what is lost", async || {
            (service.get("/health").await.json["events_lost"] == lost).then_some(())
        })
        .await;
        let event = format!("/events/{}/0/{}", world.topic(), after[0].1 - 1);
        eventually("nobody waits for it", async || {
            (service.get(&event).await.json["outcome"] == "forgotten").then_some(())
        })
        .await;
    }
}
