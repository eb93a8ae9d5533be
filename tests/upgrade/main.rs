//! An older version and this one on one stack: a rolling upgrade under load, the way back, and forward again. Run by
//! `make test-upgrade`, which builds the older version and tells where its programs are.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "figures are its output")]

mod rollout;

use std::collections::{BTreeMap, BTreeSet};

use end_to_end_tests::checker::{Checker, Outcome, Place, Times};
use end_to_end_tests::{Service, Sightings};

use self::rollout::{Ending, Rollout, Version};

/// The load has everything in it, and every answer is checked. One may differ, and differs in nothing but `/events`: the
/// outcome of a copy of an update that was held. The older version takes it for a `duplicate`, and shows as `applied`
/// what this one calls `duplicate_of` (CHANGELOG.md).
fn copies_of_held_updates(checker: &Checker<'_>) -> BTreeSet<Place> {
    let outcomes = checker.model.outcomes.iter();
    outcomes.filter(|(_, outcome)| matches!(outcome, Outcome::CopyOf(_))).map(|(place, _)| *place).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_the_way_back_and_another_upgrade_under_load_lose_nothing() {
    let mut rollout = Rollout::begin().await;
    let one = rollout.join(Version::Old, "one").await;
    let two = rollout.join(Version::Old, "two").await;

    let three = rollout.join(Version::New, "three").await;
    rollout.both_carts_make_the_same_events().await;
    rollout.redrive(&two, &three).await;
    rollout.leave(one, Ending::Sigterm).await;
    rollout.leave(two, Ending::Kill).await;
    rollout.processes_all(&three).await;
    // Under the name of one of the older version, as a StatefulSet replaces it.
    let one = rollout.join(Version::New, "one").await;

    let two = rollout.join(Version::Old, "two").await;
    rollout.redrive(&one, &two).await;
    rollout.leave(three, Ending::Kill).await;
    rollout.leave(one, Ending::Sigterm).await;
    rollout.processes_all(&two).await;
    assert_eq!(two.warnings_of_a_strange_record(), 1, "{}", two.log());

    let one = rollout.join(Version::New, "one").await;
    rollout.leave(two, Ending::Sigterm).await;
    rollout.processes_all(&one).await;
    let three = rollout.join(Version::New, "three").await;

    rollout.end_load().await;
    let (one, three) = (rollout.unwatch(one).await, rollout.unwatch(three).await);
    let checker = rollout.trial.checker().await;
    let copies = copies_of_held_updates(&checker);
    checker.check_answers_but_for(&[&one, &three], &copies).await;
    checker.check_topics(Times::Once).await;
    tell(&checker, &rollout.sightings);
    tell_copies(&one, rollout.trial.world.topic(), &copies).await;
    rollout.trial.check_sightings(&rollout.sightings).await;

    // Whoever goes back then finds everything.
    let old = rollout.start(Version::Old, "two").await;
    let checker = Checker::new(&rollout.trial.world).await;
    checker.check_answers_but_for(&[&old], &copies).await;
    tell_copies(&old, rollout.trial.world.topic(), &copies).await;
}

fn tell(checker: &Checker<'_>, sightings: &[Sightings]) {
    let seen: usize = sightings.iter().map(Sightings::count).sum();
    let (records, letters) = (checker.model.outcomes.len(), checker.model.letters().len());
    println!("upgrade: {records} records, {letters} dead letters, {seen} states seen");
}

/// What an instance says of the copies of held updates.
async fn tell_copies(service: &Service, topic: &str, copies: &BTreeSet<Place>) {
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    for (partition, offset) in copies {
        let answer = service.get(&format!("/events/{topic}/{partition}/{offset}")).await;
        *outcomes.entry(answer.json["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    println!("upgrade: {} copies of held updates: {outcomes:?}", copies.len());
    for outcome in outcomes.keys() {
        assert!(["applied", "duplicate", "held"].contains(&outcome.as_str()), "{outcome}");
    }
}
