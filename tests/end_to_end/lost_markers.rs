//! The control record of a committed transaction did not come into one partition of the changelog, as Kafka 4.3.1 loses it
//! where a partition has no leader just then. The coordinator takes the transaction for complete.

use std::time::Duration;

use end_to_end_tests::checker::{Checker, Times};
use end_to_end_tests::segment::{batches, make_aborted};
use end_to_end_tests::{Load, Service, World, eventually, within};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rustix::process::Signal;
use tokio::task::block_in_place;

const BEFORE: u32 = 100;
const ALL: u32 = 200;

async fn has_everything(world: &World, service: &Service) {
    let checker = Checker::new(world).await;
    checker.check_answers(&[service]).await;
    checker.check_topics(Times::Once).await;
}

/// Makes the last transaction in partition 0 of the changelog an aborted one.
fn take_back_the_last(world: &World) {
    world.change_segment(&world.changelog(), |bytes| {
        let batches = batches(bytes);
        let last = batches.iter().rfind(|batch| batch.is_control()).unwrap();
        make_aborted(bytes, last);
    });
}

/// Its producer lives, and the abort of its next transaction takes the last one along. Nothing else happens: no other owner,
/// no new consumer.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_an_abort_took_along_is_made_again() {
    let world = World::own().await.with("KAFKA_SESSION_TIMEOUT_MS", "60000").with("INSTANCE_ID", "one");
    let service = world.orders().await;
    let load = Load::new(&world).await;
    load.creates(0..BEFORE).await;
    service.shows(BEFORE).await;
    load.creates(BEFORE..ALL).await;
    service.shows(ALL).await;
    service.signal(Signal::STOP);
    take_back_the_last(&world);
    service.signal(Signal::CONT);
    // Its next transaction fails.
    let namesake: BaseProducer = world
        .changelog()
        .client()
        .set("transactional.id", format!("{}/instance/one", world.group()))
        .create()
        .unwrap();
    block_in_place(|| namesake.init_transactions(Duration::from_secs(60)).unwrap());
    Load::new(&world).await.updates(0..BEFORE).await;
    eventually("it has noticed", async || service.log().contains("its commit marker was lost").then_some(()))
        .await;
    has_everything(&world, &service).await;
    assert_eq!(service.log().matches("partitions assigned").count(), 1);
    assert_eq!(service.metric("order_changelog_read_anew_total").await, Some(1.0));
    service.stop().await;
    has_everything(&world, &world.orders().await).await;
}

/// Its owner is dead, and its id has no transaction that could be aborted.
#[tokio::test(flavor = "multi_thread")]
async fn a_range_that_a_dead_owner_left_open_is_closed() {
    let world = World::own().await;
    let service = world.orders().await;
    let load = Load::new(&world).await;
    load.creates(0..BEFORE).await;
    service.shows(BEFORE).await;
    load.creates(BEFORE..ALL).await;
    service.shows(ALL).await;
    service.kill().await;
    world.change_segment(&world.changelog(), |bytes| {
        let batches = batches(bytes);
        let last = batches.last().unwrap();
        assert!(last.is_control());
        let end = last.bytes.start;
        bytes.truncate(end);
    });
    let service = world.orders().await;
    service.processing(3).await;
    assert!(service.log().contains("closed what a lost control record of the last owner left open"));
    has_everything(&world, &service).await;
    let again = service.metric("order_events_processed_again_total").await;
    assert!(again > Some(0.0) && again < Some(f64::from(ALL)), "{again:?}");
}

/// Nobody knows its transactional id.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_of_somebody_unknown_is_told() {
    let world = World::shared().await;
    world.orders().await.stop().await;
    let stranger: BaseProducer = world
        .changelog()
        .client()
        .set("transactional.id", format!("{}-stranger", world.topic()))
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    let patience = Duration::from_secs(60);
    let changelog = world.changelog();
    block_in_place(|| {
        stranger.init_transactions(patience).unwrap();
        stranger.begin_transaction().unwrap();
        let record =
            BaseRecord::to(changelog.name()).partition(1).key("\0unknown").payload("never committed");
        stranger.send(record).map_err(|(error, _)| error).unwrap();
        stranger.flush(patience).unwrap();
    });
    let service = world.orders_starting().await;
    let reason = within(patience, "it is told", async || {
        let obstacle = &service.get("/health").await.json["obstacles"][0];
        (obstacle["kind"] == "takeover").then(|| obstacle["reason"].as_str().unwrap().to_owned())
    })
    .await;
    let command = format!("find-hanging --topic {} --partition 1", changelog.name());
    assert!(reason.contains("partitions [1]") && reason.contains(&command), "{reason}");
    block_in_place(|| stranger.abort_transaction(patience).unwrap());
    service.processing(3).await;
    eventually("it is over", async || {
        (service.get("/health").await.json["status"] == "healthy").then_some(())
    })
    .await;
}
