//! `PROCESSING_GUARANTEE=at_least_once`, on a broker that lets order-service have no transactions: the same orders, and
//! each dead letter, perhaps twice after a crash.

use std::time::Duration;

use end_to_end_tests::checker::Times;
use end_to_end_tests::{Trial, World};
use rand::RngExt;

use crate::permissions::deny;

async fn trial() -> Trial {
    let world = World::shared().await.with("PROCESSING_GUARANTEE", "at_least_once");
    // The load has transactional ids of another name.
    deny(&world, &format!("transactions:{}", world.group()), "WRITE");
    Trial::begin(world).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_crashes_everything_counts_once() {
    let mut trial = trial().await;
    let first = trial.named("one").await;
    first.goes_on().await;
    let watch = trial.watch(&first);
    let second = trial.named("two").await;
    for _ in 0..20 {
        second.goes_on().await;
    }
    let sightings = watch.end().await;
    let checker = trial.checker().await;
    checker.check_answers(&[&first, &second]).await;
    checker.check_topics(Times::Once).await;
    trial.check_sightings(&[sightings]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_crashes_the_orders_are_right_and_no_dead_letter_is_missing() {
    let mut trial = trial().await;
    for _ in 0..8 {
        let service = trial.named("one").await;
        service.processing(3).await;
        service.goes_on().await;
        let moment = Duration::from_micros(trial.chance.random_range(0..300_000));
        tokio::time::sleep(moment).await;
        service.kill().await;
    }
    let service = trial.named("one").await.ready().await;
    let checker = trial.checker().await;
    checker.check_orders(&[&service]).await;
    checker.check_topics(Times::AtLeastOnce).await;
}
