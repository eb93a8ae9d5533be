//! Instances that come and go, by SIGTERM and by SIGKILL, and one that does not know that it is dead.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use end_to_end_tests::checker::Times;
use end_to_end_tests::{Relay, Service, Sightings, Topic, Trial, Watch, World, chance, eventually, rounds};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;
use tokio::task::block_in_place;

/// An instance, and what reads it.
struct Member {
    service: Service,
    watch: Watch,
}

impl Member {
    /// One that has a name, or one that has none.
    async fn join(trial: &mut Trial, relay: &Relay, number: usize) -> Self {
        let service = match trial.chance.random_bool(0.5) {
            true => trial.named(&format!("member-{number}")).await,
            false => trial.world.orders_starting().await,
        };
        let watch = trial.watch(&service);
        relay.join(&service);
        Self { service, watch }
    }

    async fn leave(self, relay: &Relay, with_sigterm: bool) -> Sightings {
        relay.leave(&self.service);
        match with_sigterm {
            true => self.service.stop().await,
            false => self.service.kill().await,
        }
        self.watch.end().await
    }
}

/// Instances join and leave at random, `most` at a time.
async fn come_and_go(most: usize, rounds: usize) {
    let mut trial = Trial::begin(World::shared().await).await;
    let relay = trial.relay();
    let mut members = vec![Member::join(&mut trial, &relay, 0).await];
    let mut sightings = Vec::new();
    for number in 1..=rounds {
        let pause = trial.chance.random_range(0..1_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        if members.len() == most || (members.len() > 1 && trial.chance.random_bool(0.4)) {
            let leaving = trial.chance.random_range(0..members.len());
            let with_sigterm = trial.chance.random_bool(0.5);
            sightings.push(members.swap_remove(leaving).leave(&relay, with_sigterm).await);
        }
        if members.len() < most {
            members.push(Member::join(&mut trial, &relay, number).await);
        }
    }
    // Between instances that stay, so that some are seen in any case.
    for member in &members {
        member.service.goes_on().await;
    }
    relay.has_turned(50).await;
    sightings.push(relay.end().await);
    let mut services = Vec::new();
    for member in members {
        sightings.push(member.watch.end().await);
        services.push(member.service.ready().await);
    }
    let checker = trial.checker().await;
    checker.check_answers(&services.iter().collect::<Vec<_>>()).await;
    checker.check_topics(Times::Once).await;
    trial.check_sightings(&sightings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_come_and_go() {
    come_and_go(2, rounds(6, 40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_come_and_go() {
    come_and_go(3, rounds(6, 40)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_slept_through_its_end_is_fenced() {
    let mut trial = Trial::begin(World::shared().await).await;
    let zombie = trial.named("zombie").await;
    eventually("it processes", async || (zombie.active().await == 3).then_some(())).await;
    let (heir, mut sightings) = (trial.named("heir").await.ready().await, Vec::new());
    let watches = [trial.watch(&zombie), trial.watch(&heir)];
    for round in 1.. {
        eventually("it has work", async || (zombie.active().await > 0).then_some(())).await;
        // Any moment of a transaction.
        let moment = trial.chance.random_range(0..50_000);
        tokio::time::sleep(Duration::from_micros(moment)).await;
        zombie.signal(Signal::STOP);
        eventually("the other one has taken over", async || (heir.active().await == 3).then_some(())).await;
        zombie.signal(Signal::CONT);
        eventually("it is back", async || (heir.active().await < 3).then_some(())).await;
        // Once at least it was in the middle of one, which it could not end any more. Most often, the first time is.
        let slept_through = zombie.log().matches("next_attempt_in=").count();
        if round >= 2 && slept_through > 0 {
            break;
        }
        assert!(round < 8, "it was in no transaction when it was frozen: {}", zombie.log_path().display());
    }
    for watch in watches {
        sightings.push(watch.end().await);
    }
    let checker = trial.checker().await;
    checker.check_answers(&[&zombie, &heir]).await;
    checker.check_topics(Times::Once).await;
    trial.check_sightings(&sightings).await;
}

/// Joins the group and leaves it again, at random moments: each time, the generation of the others ends.
fn join_and_leave(topic: &Topic, group: &str, mut chance: ChaCha8Rng, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        let consumer: BaseConsumer = topic
            .client()
            .set("group.id", group)
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", "6000")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        consumer.subscribe(&[topic.name()]).unwrap();
        let polls = chance.random_range(1..60);
        for _ in 0..polls {
            let _ = consumer.poll(Duration::from_millis(10));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_joins_and_leaves_all_the_time_changes_nothing() {
    let mut trial = Trial::begin(World::shared().await).await;
    let service = trial.named("one").await;
    service.goes_on().await;
    let watch = trial.watch(&service);
    let stop = Arc::new(AtomicBool::new(false));
    let stranger = {
        let (topic, group, stop) = (trial.world.events(), trial.world.group(), stop.clone());
        let chance = chance(trial.chance.random(), 0);
        std::thread::spawn(move || join_and_leave(&topic, &group, chance, &stop))
    };
    for _ in 0..10 {
        service.goes_on().await;
        let moment = Duration::from_millis(trial.chance.random_range(0..400));
        tokio::time::sleep(moment).await;
    }
    stop.store(true, Ordering::SeqCst);
    block_in_place(|| stranger.join()).unwrap();
    service.processing(3).await;
    service.goes_on().await;
    let sightings = watch.end().await;
    let checker = trial.checker().await;
    checker.check_answers(&[&service]).await;
    checker.check_topics(Times::Once).await;
    trial.check_sightings(&[sightings]).await;
}
