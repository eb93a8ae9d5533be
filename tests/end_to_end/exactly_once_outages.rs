//! The broker and the registry go away under load; nothing is lost, done twice or given up.

use std::time::Duration;

use end_to_end_tests::checker::{Checker, Times};
use end_to_end_tests::{Record, Service, Trial, Watch, World, eventually, murmur2, rounds};
use rand::RngExt;
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread")]
async fn outages_of_the_broker_change_nothing() {
    let mut trial = Trial::begin(World::own().await).await;
    let services = [trial.named("one").await, trial.world.orders_starting().await];
    let watches = services.each_ref().map(|service| trial.watch(service));
    for round in 0..rounds(2, 10) {
        for service in &services {
            service.goes_on().await;
        }
        let moment = Duration::from_micros(trial.chance.random_range(0..300_000));
        tokio::time::sleep(moment).await;
        let broker = trial.world.stack().broker();
        block_in_place(|| if round % 2 == 0 { broker.kill() } else { broker.stop() }).unwrap();
        block_in_place(|| broker.start()).unwrap();
    }
    for service in &services {
        service.goes_on().await;
    }
    check(trial, &services, watches).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_hangs_under_load_changes_nothing() {
    let mut trial = Trial::begin(World::own().await).await;
    let service = trial.named("one").await;
    let watch = trial.watch(&service);
    for _ in 0..rounds(1, 4) {
        service.goes_on().await;
        let moment = Duration::from_micros(trial.chance.random_range(0..50_000));
        tokio::time::sleep(moment).await;
        trial.world.stack().broker().pause().unwrap();
        // Longer than the commit's time-out of 5 s: its outcome is not known then.
        tokio::time::sleep(Duration::from_secs(8)).await;
        trial.world.stack().broker().resume().unwrap();
    }
    service.goes_on().await;
    check(trial, &[service], [watch]).await;
}

/// Ends the load, and checks everything.
async fn check<const N: usize>(mut trial: Trial, services: &[Service; N], watches: [Watch; N]) {
    let mut sightings = Vec::new();
    for watch in watches {
        sightings.push(watch.end().await);
    }
    let checker = trial.checker().await;
    checker.check_answers(&services.each_ref()).await;
    checker.check_topics(Times::Once).await;
    trial.check_sightings(&sightings).await;
}

fn start_registry(world: &World) {
    let registry = world.stack().registry();
    block_in_place(|| registry.start().and_then(|()| registry.wait_ready(Duration::from_secs(60)))).unwrap();
}

/// Orders like one that exists, written by a peer: as many as asked for, all of one partition.
async fn peers_orders(world: &World, like: &Record, schema_id: u32, partition: i32, count: usize) {
    let (key, mut value) = (like.key.clone().unwrap(), like.value.clone().unwrap());
    value[1..5].copy_from_slice(&schema_id.to_be_bytes());
    let at = value.windows(key.len()).position(|window| window == key).unwrap();
    let ids = (0..).map(|number| format!("P{number:0width$}", width = key.len() - 1));
    for id in ids.filter(|id| murmur2::partition(id.as_bytes(), 3) == partition).take(count) {
        value[at..at + key.len()].copy_from_slice(id.as_bytes());
        world.events().write(Some(id.as_bytes()), Some(&value), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_wait_for_the_registry_hold_up_no_other_and_give_nothing_up() {
    let world = World::own().await.with("BATCH_MAX_EVENTS", "4");
    let (cart, orders) = (world.cart().await, world.orders().await);
    assert_eq!(cart.create("AN-ORDER-OF-OURS", 1).await.status, 201);
    orders.order("AN-ORDER-OF-OURS", |_| true).await;
    let like = world.events().read().remove(0);
    let schema_id = world.register_in_other_words("in a peer's words").await;
    block_in_place(|| world.stack().registry().stop()).unwrap();
    for partition in [0, 1] {
        peers_orders(&world, &like, schema_id, partition, 10).await;
    }
    eventually("it waits and says for what", async || {
        orders.get("/health/ready").await.text.contains("schema registry").then_some(())
    })
    .await;
    // More than one batch.
    let mut of_the_third = (0..).map(|number| format!("ORDER-{number}"));
    for _ in 0..10 {
        let id = of_the_third.find(|id| murmur2::partition(id.as_bytes(), 3) == 2).unwrap();
        assert_eq!(cart.create(&id, 1).await.status, 201);
        orders.order(&id, |_| true).await;
    }
    start_registry(&world);
    let checker = Checker::new(&world).await;
    assert!(checker.model.letters().is_empty());
    checker.check_answers(&[&orders.ready().await]).await;
    checker.check_topics(Times::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_registry_under_load_changes_nothing() {
    let mut trial = Trial::begin(World::own().await).await;
    let (staying, leaving) = (trial.world.orders().await, trial.world.orders().await);
    eventually("the second one has a share", async || (leaving.active().await > 0).then_some(())).await;
    let schema_id = trial.world.register_in_other_words("in a peer's words").await;
    block_in_place(|| trial.world.stack().registry().stop()).unwrap();
    let events = block_in_place(|| trial.world.events().read());
    let create = |record: &&Record| record.header("ce_type").is_some_and(|kind| kind.ends_with("created"));
    let like = events.iter().find(create).expect("there is a CREATE");
    for partition in 0..3 {
        peers_orders(&trial.world, like, schema_id, partition, 3).await;
    }
    for service in [&staying, &leaving] {
        eventually("it waits for the registry", async || {
            service.get("/health/ready").await.text.contains("schema registry").then_some(())
        })
        .await;
    }
    // What is blocked changes hands meanwhile.
    leaving.stop().await;
    staying.processing(3).await;
    start_registry(&trial.world);
    staying.goes_on().await;
    let checker = trial.checker().await;
    checker.check_answers(&[&staying.ready().await]).await;
    checker.check_topics(Times::Once).await;
}
