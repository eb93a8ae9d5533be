//! An instance that is killed at any moment leaves nothing undone, does nothing twice, and has shown nothing
//! that was not committed.

use std::time::Duration;

use end_to_end_tests::checker::Times;
use end_to_end_tests::traffic::WITH_STRANGERS;
use end_to_end_tests::{Trial, World, eventually, rounds};
use rand::RngExt;

#[tokio::test(flavor = "multi_thread")]
async fn kills_at_random_moments_change_nothing() {
    let mut trial = Trial::begin(World::shared().await).await;
    let (kills, mut seen) = (rounds(8, 40), 0);
    for _ in 0..kills {
        let service = trial.named("one").await;
        let watch = trial.watch(&service);
        service.processing(3).await;
        service.goes_on().await;
        let moment = Duration::from_micros(trial.chance.random_range(0..300_000));
        tokio::time::sleep(moment).await;
        service.kill().await;
        let sightings = watch.end().await;
        seen += sightings.count();
        // Before another instance can do again what this one may have shown too early.
        trial.check_sightings(&[sightings]).await;
    }
    assert!(seen > 25 * kills, "only {seen} states were looked at");
    let service = trial.named("one").await.ready().await;
    let checker = trial.checker().await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_orders_that_never_come_are_given_up_once() {
    let world = World::shared().await.with("UPDATE_GRACE", "300ms");
    let mut trial = Trial::under(world, WITH_STRANGERS, 300).await;
    for _ in 0..rounds(4, 20) {
        let service = trial.named("one").await;
        service.processing(3).await;
        service.goes_on().await;
        let moment = Duration::from_micros(trial.chance.random_range(0..500_000));
        tokio::time::sleep(moment).await;
        // What is held now is given up by the next one, which comes too late for all of it.
        service.kill().await;
    }
    let service = trial.named("one").await.ready().await;
    let dead_letters = trial.world.dead_letters();
    let mut checker = trial.checker().await;
    checker.model.end_of_grace();
    checker.check_orders(&[&service]).await;
    let expected = checker.model.letters().len();
    eventually("all are given up", async || {
        let there = tokio::task::block_in_place(|| dead_letters.read().len());
        (there >= expected).then_some(())
    })
    .await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
}
