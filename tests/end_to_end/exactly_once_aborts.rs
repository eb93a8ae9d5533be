//! Transactions that do not go through, at every step: what was aborted is never shown, and is done again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use end_to_end_tests::checker::Times;
use end_to_end_tests::{Topic, Trial, World};
use rand::RngExt;
use rdkafka::producer::{BaseProducer, Producer};
use rustix::process::Signal;
use tokio::task::block_in_place;

/// The steps of a transaction that must be hit.
const STEPS: [&str; 3] = ["records", "offsets", "commit"];

/// How often it is tried to hit them by chance. The commit takes the least time: most often it is hit in the first rounds.
const ROUNDS: RangeInclusive<usize> = 3..=12;

/// Takes the transactional id of an instance away from it: whatever transaction it is in is aborted.
fn fence(topic: &Topic, transactional_id: &str) {
    let producer: BaseProducer = topic.client().set("transactional.id", transactional_id).create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
}

/// At which step of a transaction it was fenced, and how often.
fn failures(log: &str) -> BTreeMap<&'static str, usize> {
    let steps = [
        ("records", "error=Message production error"),
        ("records", "error=Transaction error: Failed to add partitions"),
        ("offsets", "error=Transaction error: Failed to add offsets"),
        ("offsets", "error=Transaction error: Failed to commit offsets"),
        ("commit", "error=Transaction error: Failed to end transaction"),
        ("commit", "error=Transaction error: EndTxn commit failed"),
    ];
    let mut failures = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("order_service::pipeline: ")) {
        if let Some((step, _)) = steps.iter().find(|(_, sign)| line.contains(sign)) {
            *failures.entry(*step).or_default() += 1;
        }
    }
    failures
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_fenced_at_every_step_does_everything_once() {
    let mut trial = Trial::begin(World::shared().await).await;
    let transactional_id = format!("{}/instance/one", trial.world.group());
    let events = trial.world.events();
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for round in 1..=*ROUNDS.end() {
        let service = trial.named("one").await;
        let watch = trial.watch(&service);
        for _ in 0..17 {
            service.goes_on().await;
            let moment = Duration::from_micros(trial.chance.random_range(0..20_000));
            tokio::time::sleep(moment).await;
            // Stopped at this moment, whatever step it is at, and not only when the fence is through.
            service.signal(Signal::STOP);
            block_in_place(|| fence(&events, &transactional_id));
            service.signal(Signal::CONT);
        }
        service.goes_on().await;
        for (step, count) in failures(&service.log()) {
            *steps.entry(step).or_default() += count;
        }
        service.kill().await;
        // Before another instance can do again what this one may have shown too early.
        let sightings = watch.end().await;
        trial.check_sightings(&[sightings]).await;
        if ROUNDS.contains(&round) && STEPS.iter().all(|step| steps.contains_key(step)) {
            break;
        }
    }
    for step in STEPS {
        assert!(steps.contains_key(step), "it was never fenced at its {step}: {steps:?}");
    }
    let service = trial.named("one").await.ready().await;
    let checker = trial.checker().await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
}
