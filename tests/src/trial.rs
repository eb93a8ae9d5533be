//! A load, instances that are read all the time, and the checks at the end.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::checker::{Changelog, Checker, Class, Findings, Times, Told};
use crate::follower::Follower;
use crate::seed::{chance, seed};
use crate::service::Service;
use crate::traffic::{EVERYTHING, Rate, Traffic, WITH_STRANGERS, Weights};
use crate::watch::{Ids, Relay, Sightings, Watch};
use crate::world::World;

/// What waits for its order waits for longer than any test takes.
const LONG_GRACE: (&str, &str) = ("UPDATE_GRACE", "10m");
/// What waits for its order is given up soon, in the middle of what happens.
const SHORT_GRACE: (&str, &str) = ("UPDATE_GRACE", "1s");

/// A world under a load that comes from a seed.
pub struct Trial {
    /// Where it happens.
    pub world: World,
    /// Chance for the test itself.
    pub chance: ChaCha8Rng,
    traffic: Option<Traffic>,
    /// Where the changelog is compacted.
    follower: Option<Follower>,
    told: Vec<Told>,
    /// Whether everything that waits for its order is given up in the end.
    gives_up: bool,
}

impl Trial {
    /// Under a load with everything in it, which is taken in batches of a size that chance gives: small ones
    /// fill up, large ones are all that is there.
    pub async fn begin(world: World) -> Self {
        Self::begin_with(world, seed()).await
    }

    /// As [`begin`](Self::begin), with a seed of the caller's.
    pub async fn begin_with(world: World, seed: u64) -> Self {
        let batch = [10, 100, 20_000][chance(seed, 4).random_range(0..3)];
        let world = world.with(LONG_GRACE.0, LONG_GRACE.1).with("BATCH_MAX_EVENTS", &batch.to_string());
        Self::with_seed(world, seed, EVERYTHING, Rate::SMALL).await
    }

    /// Under a load with everything in it, of this size.
    pub async fn of_size(world: World, seed: u64, rate: Rate) -> Self {
        Self::with_seed(world.with(LONG_GRACE.0, LONG_GRACE.1), seed, EVERYTHING, rate).await
    }

    /// Of this size, with updates of orders that never come, which are given up meanwhile.
    pub async fn with_strangers(world: World, seed: u64, rate: Rate) -> Self {
        let world = world.with(SHORT_GRACE.0, SHORT_GRACE.1);
        let mut trial = Self::with_seed(world, seed, WITH_STRANGERS, rate).await;
        trial.gives_up = true;
        trial
    }

    /// Under another load, of so many records a second.
    pub async fn under(world: World, weights: Weights, per_second: u32) -> Self {
        Self::with_seed(world, seed(), weights, Rate { per_second, ..Rate::SMALL }).await
    }

    async fn with_seed(world: World, seed: u64, weights: Weights, rate: Rate) -> Self {
        let traffic = Traffic::begin(&world, seed, weights, rate).await;
        Self {
            world,
            chance: chance(seed, 0),
            traffic: Some(traffic),
            follower: None,
            told: Vec::new(),
            gives_up: false,
        }
    }

    /// Reads the changelog from now on, which is compacted. It must be there.
    pub fn follow_changelog(&mut self) {
        self.follower = Some(Follower::begin(&self.world.changelog()));
    }

    /// Starts an instance with this `INSTANCE_ID`; it listens, ready or not.
    pub async fn named(&self, instance_id: &str) -> Service {
        self.world.fork().with("INSTANCE_ID", instance_id).orders_starting().await
    }

    /// Starts to read an instance. The load must still run.
    pub fn watch(&mut self, service: &Service) -> Watch {
        let (ids, chance) = (self.ids(), chance(self.chance.random(), 0));
        Watch::begin(service.port(), self.world.topic(), ids, chance)
    }

    /// Starts to read in turn the instances that will join. The load must still run.
    pub fn relay(&mut self) -> Relay {
        let (ids, chance) = (self.ids(), chance(self.chance.random(), 0));
        Relay::begin(ids, chance)
    }

    fn ids(&self) -> Ids {
        self.traffic.as_ref().expect("the load runs").ids()
    }

    /// Ends the load.
    pub async fn end_load(&mut self) {
        if let Some(traffic) = self.traffic.take() {
            self.told.extend(traffic.end().await);
        }
    }

    /// Ends the load; what has to be is known then. Nothing that was confirmed is missing.
    pub async fn checker(&mut self) -> Checker<'_> {
        self.end_load().await;
        let checker = Checker::new(&self.world).await;
        checker.check_told(&self.told);
        checker
    }

    /// How many writes were confirmed to clients of cart-service. The load must have ended.
    pub fn confirmed(&self) -> usize {
        self.told.len()
    }

    /// Ends the load, and looks for everything that is wrong: with what was confirmed, what these instances answer,
    /// what is in Kafka, and what was shown meanwhile.
    pub async fn find(&mut self, services: &[&Service], sightings: &[Sightings]) -> Findings {
        self.end_load().await;
        let mut checker = Checker::new(&self.world).await;
        if self.gives_up {
            checker.model.end_of_grace();
            checker.wait_for_letters(services).await;
        }
        let mut findings = checker.find_lost(&self.told);
        findings.extend(checker.find_in_answers(services).await);
        let changelog = self.changelog().await;
        findings.extend(checker.find_in_topics_and(&changelog, Times::Once).await);
        findings.extend(find_in(sightings, &changelog));
        findings
    }

    /// What instances have shown and was not committed, and what went back.
    pub async fn find_in_sightings(&self, sightings: &[Sightings]) -> Findings {
        find_in(sightings, &self.changelog().await)
    }

    /// With what was in it before it was compacted, if it was followed.
    async fn changelog(&self) -> Result<Changelog, String> {
        let topic = self.world.changelog();
        let there = tokio::task::spawn_blocking(move || topic.try_read()).await.unwrap()?;
        Ok(Changelog::of(match &self.follower {
            Some(follower) => follower.with(there),
            None => there,
        }))
    }

    /// What instances have shown was committed, and something was shown.
    pub async fn check_sightings(&self, sightings: &[Sightings]) {
        assert!(sightings.iter().map(Sightings::count).sum::<usize>() > 0, "no state was looked at");
        assert!(sightings.iter().map(Sightings::outcomes).sum::<usize>() > 0, "no outcome was looked at");
        self.find_in_sightings(sightings).await.assert_none();
    }
}

fn find_in(sightings: &[Sightings], changelog: &Result<Changelog, String>) -> Findings {
    let mut findings = Findings::default();
    match changelog {
        Ok(changelog) => sightings.iter().for_each(|one| findings.extend(one.find(changelog))),
        Err(unreadable) => findings.add(Class::Unseen, unreadable.as_str()),
    }
    findings
}
