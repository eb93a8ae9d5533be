//! Transactions that do not go through, at every step: what was aborted is never shown, and is done again.

use std::time::Duration;

use end_to_end_tests::checker::Times;
use end_to_end_tests::{Api, Proxy, Service, Topic, Trial, World, eventually, rounds};
use rand::RngExt;
use rdkafka::producer::{BaseProducer, Producer};
use tokio::task::block_in_place;

/// The steps of a transaction.
const STEPS: [Api; 5] =
    [Api::AddPartitionsToTxn, Api::Produce, Api::AddOffsetsToTxn, Api::TxnOffsetCommit, Api::EndTxn];

/// `client.id` of the producer of order-service.
const WRITER: &str = "order-service";

/// A load, and an instance whose requests can be held back.
async fn begin() -> (Trial, Proxy, Service) {
    let world = World::shared().await;
    let proxy = Proxy::before(world.stack()).await;
    let trial = Trial::begin(world).await;
    let world = trial.world.fork().with("INSTANCE_ID", "one");
    let service = world.with("KAFKA_BOOTSTRAP_SERVERS", &proxy.addresses()).orders().await;
    (trial, proxy, service)
}

/// Takes the transactional id of an instance away from it: whatever transaction it is in is aborted.
fn fence(topic: &Topic, transactional_id: &str) {
    let producer: BaseProducer = topic.client().set("transactional.id", transactional_id).create().unwrap();
    producer.init_transactions(Duration::from_secs(30)).unwrap();
}

/// How often a transaction failed.
fn failures(service: &Service) -> usize {
    service.log().matches("next_attempt_in=").count()
}

async fn check(mut trial: Trial, service: Service) {
    let checker = trial.checker().await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_is_fenced_at_every_step_does_everything_once() {
    let (mut trial, proxy, service) = begin().await;
    let (events, transactional_id) = (trial.world.events(), format!("{}/instance/one", trial.world.group()));
    let mut watch = trial.watch(&service);
    for _ in 0..rounds(3, 20) {
        for step in STEPS {
            service.goes_on().await;
            let moment = Duration::from_millis(trial.chance.random_range(0..100));
            tokio::time::sleep(moment).await;
            let before = failures(&service);
            let mut held = proxy.hold(WRITER, step);
            held.reached().await;
            if step == Api::EndTxn {
                // All of it is written, nothing committed: nothing of it may have been shown.
                trial.check_sightings(&[watch.end().await]).await;
                watch = trial.watch(&service);
            }
            block_in_place(|| fence(&events, &transactional_id));
            held.release().await;
            eventually(&format!("its transaction fails at {step:?}"), async || {
                (failures(&service) > before).then_some(())
            })
            .await;
        }
    }
    service.goes_on().await;
    trial.check_sightings(&[watch.end().await]).await;
    check(trial, service).await;
}

/// Longer than the commit's time-out of 5 s. The outcome of the transaction is not known then, and the end of the next one
/// could be taken for its end (KAFKA-17754).
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_arrives_after_the_next_transaction_ends_nothing() {
    let (mut trial, proxy, service) = begin().await;
    let watch = trial.watch(&service);
    for _ in 0..rounds(1, 10) {
        service.goes_on().await;
        let before = failures(&service);
        let mut held = proxy.hold(WRITER, Api::EndTxn);
        held.reached().await;
        eventually("the commit times out", async || (failures(&service) > before).then_some(())).await;
        service.goes_on().await;
        // The next transaction is open when the old commit arrives.
        let mut next = proxy.hold(WRITER, Api::EndTxn);
        next.reached().await;
        held.release().await;
        next.release().await;
    }
    service.goes_on().await;
    trial.check_sightings(&[watch.end().await]).await;
    check(trial, service).await;
}
