//! Bytes of a log are damaged on a broker's disk. What cannot be read is not skipped, and not passed over in silence.

use std::fs;

use end_to_end_tests::checker::{Checker, Times};
use end_to_end_tests::segment::batches;
use end_to_end_tests::{Load, Service, Topic, World, eventually};

/// So many orders a batch of records.
const STEP: u32 = 60;
const BATCHES: u32 = 5;

/// Changes the first byte of the records of the second batch that is compressed, while the broker is stopped; doing it
/// again mends it.
fn flip_while_stopped(world: &World, topic: &Topic) {
    world.while_stopped(|| {
        let segment = world.segment(topic);
        let mut bytes = fs::read(&segment).unwrap();
        let batches = batches(&bytes);
        let second = batches.iter().filter(|batch| batch.is_compressed()).nth(1).expect("a second batch");
        bytes[second.records()] ^= 0xff;
        fs::write(segment, bytes).unwrap();
    });
}

async fn count(service: &Service) -> u64 {
    service.get("/health").await.json["orders_in_memory"].as_u64().unwrap()
}

async fn says_that_it_cannot_read(service: &Service, topic: &Topic) {
    eventually("it says what it cannot read", async || {
        let text = service.get("/health/ready").await.text;
        (text.contains("damaged") && text.contains(topic.name())).then_some(())
    })
    .await;
    let metric =
        service.metric(&format!("order_unreadable_fetches_total{{topic=\"{}\"}}", topic.name())).await;
    assert!(metric.unwrap() > 0.0);
    assert!(service.log().lines().any(|line| line.contains("ERROR") && line.contains(topic.name())));
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_events_are_waited_for_and_told() {
    let world = World::own().await;
    world.orders().await.stop().await;
    let load = Load::new(&world).await;
    for batch in 0..BATCHES {
        load.creates(batch * STEP..(batch + 1) * STEP).await;
    }
    flip_while_stopped(&world, &world.events());
    let service = world.orders_starting().await;
    says_that_it_cannot_read(&service, &world.events()).await;
    // Other partitions go on.
    eventually("the orders of the others are there", async || {
        (count(&service).await > u64::from(STEP * BATCHES / 2)).then_some(())
    })
    .await;
    assert!(count(&service).await < u64::from(STEP * BATCHES));

    flip_while_stopped(&world, &world.events());
    let checker = Checker::new(&world).await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
    service.ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_changelog_is_not_restored_with_a_hole() {
    let world = World::own().await;
    // Only what is compressed is seen to be damaged.
    world.changelog().create(3, &[("cleanup.policy", "compact"), ("compression.type", "lz4")]).await;
    let service = world.orders().await;
    let load = Load::new(&world).await;
    for batch in 0..BATCHES {
        load.creates(batch * STEP..(batch + 1) * STEP).await;
        let so_far = u64::from((batch + 1) * STEP);
        eventually("they are there", async || (count(&service).await == so_far).then_some(())).await;
    }
    service.stop().await;
    flip_while_stopped(&world, &world.changelog());
    let service = world.orders_starting().await;
    says_that_it_cannot_read(&service, &world.changelog()).await;
    assert_eq!(service.get("/orders").await.status, 503);

    flip_while_stopped(&world, &world.changelog());
    let service = service.ready().await;
    let checker = Checker::new(&world).await;
    checker.check_answers(&[&service]).await;
}
