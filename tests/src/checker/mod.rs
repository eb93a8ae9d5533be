//! The independent checker: it reads the events from the beginning, says what must have become of them, and
//! holds that against everything that can be seen of order-service from outside. What differs is an [`Anomaly`].

mod anomaly;
mod ask;
mod changelog;
mod letters;
mod listed;
mod model;
mod orders;
mod outcomes;
mod redriven;
mod states;
mod together;
mod told;
mod topics;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use order_events::codec::Undecodable;
use order_events::registry::FetchError;
use order_events::{EventCodec, OrderEvent, SchemaRegistry};
use tokio::task::block_in_place;

pub use self::anomaly::{Anomaly, Class, Findings};
pub use self::changelog::Changelog;
pub use self::letters::Times;
pub use self::model::{Model, Order, Outcome, Place};
pub use self::told::Told;
use crate::kafka::Record;
use crate::load;
use crate::service::Service;
use crate::wait::{PATIENCE, until};
use crate::world::World;

/// The events of a world, and what must become of them. Each `find_` gives what is wrong; the `check_` of the same name
/// fails the test if anything is.
pub struct Checker<'a> {
    world: &'a World,
    events: Vec<Record>,
    /// What must be.
    pub model: Model,
}

impl<'a> Checker<'a> {
    /// Reads the events topic. Nothing may be written to it any more.
    pub async fn new(world: &'a World) -> Self {
        let events = block_in_place(|| world.events().read());
        let registry = load::registry(world);
        let codec = registry.codec(world.topic()).await.unwrap();
        let mut model = Model::default();
        for record in &events {
            let event = decoded(&registry, &codec, record.value.as_deref()).await;
            model.take(record, world.topic(), event);
        }
        Self { world, events, model }
    }

    /// Waits until every instance lists as many dead letters as there must be. What is missing is a finding later.
    pub(crate) async fn wait_for_letters(&self, services: &[&Service]) {
        let expected = self.model.letters().len();
        for service in services {
            // An instance that is late is found by what looks at its answers.
            let _ = ask::caught_up(service, &self.model).await;
            until(PATIENCE, async || {
                let stats = ask::ask_one(service, "/dlq/stats").await.ok()?.json;
                (stats["total_messages"].as_u64()? >= expected as u64).then_some(())
            })
            .await;
        }
    }

    /// Waits until every instance has seen everything, then looks for what is wrong with what they answer.
    pub async fn find_in_answers(&self, services: &[&Service]) -> Findings {
        self.find_in_answers_but_for(services, &BTreeSet::new()).await
    }

    /// As [`find_in_answers`](Self::find_in_answers), but for the outcomes of these events.
    pub async fn find_in_answers_but_for(&self, services: &[&Service], events: &BTreeSet<Place>) -> Findings {
        let (mut findings, services) = self.find_in_those_that_catch_up(services).await;
        let letters = match self.letters().await {
            Ok(letters) => letters,
            Err(unreadable) => {
                findings.add(Class::Unseen, unreadable);
                return findings;
            }
        };
        for service in services {
            findings.take(outcomes::find(service, self.world.topic(), &self.model, events).await);
            findings.take(listed::find(service, &letters, &self.model).await);
        }
        findings
    }

    /// As [`find_in_answers`](Self::find_in_answers), but only in the orders.
    pub async fn find_in_orders(&self, services: &[&Service]) -> Findings {
        self.find_in_those_that_catch_up(services).await.0
    }

    /// What is wrong with the orders; and the instances that have caught up.
    async fn find_in_those_that_catch_up<'s>(
        &self,
        services: &[&'s Service],
    ) -> (Findings, Vec<&'s Service>) {
        let (mut findings, mut there) = (Findings::default(), Vec::new());
        for service in services {
            match ask::caught_up(service, &self.model).await {
                Ok(()) => there.push(*service),
                Err(late) => findings.add(Class::Unseen, late),
            }
        }
        let topic = self.world.changelog();
        // Without it nobody can be blamed.
        let read =
            move || block_in_place(|| Changelog::read(&topic)).unwrap_or_else(|error| panic!("{error}"));
        let changelog: orders::Committed = LazyLock::new(Box::new(read));
        for service in &there {
            findings.take(orders::find(service, self.world.topic(), &self.model, &changelog).await);
        }
        (findings, there)
    }

    /// The dead letter topic.
    async fn letters(&self) -> Result<Vec<Record>, String> {
        let letters = self.world.dead_letters();
        letters.settled().await?;
        block_in_place(|| letters.try_read())
    }

    /// As [`find_in_answers`](Self::find_in_answers).
    pub async fn check_answers(&self, services: &[&Service]) {
        self.find_in_answers(services).await.assert_none();
    }

    /// As [`find_in_answers_but_for`](Self::find_in_answers_but_for).
    pub async fn check_answers_but_for(&self, services: &[&Service], events: &BTreeSet<Place>) {
        self.find_in_answers_but_for(services, events).await.assert_none();
    }

    /// As [`find_in_orders`](Self::find_in_orders).
    pub async fn check_orders(&self, services: &[&Service]) {
        self.find_in_orders(services).await.assert_none();
    }

    /// As [`find_in_topics`](Self::find_in_topics).
    pub async fn check_topics(&self, times: Times) {
        self.find_in_topics(times).await.assert_none();
    }

    /// As [`find_lost`](Self::find_lost).
    pub fn check_told(&self, told: &[Told]) {
        self.find_lost(told).assert_none();
    }
}

/// What a record holds, or why it holds no event.
async fn decoded(
    registry: &SchemaRegistry,
    codec: &EventCodec,
    value: Option<&[u8]>,
) -> Result<OrderEvent, &'static str> {
    match registry.decode(codec, value).await {
        Ok(event) => Ok(event),
        Err(FetchError::Permanent(Undecodable::UnknownSchema { .. })) => Err("unknown_schema"),
        Err(FetchError::Permanent(_)) => Err("undecodable"),
        Err(error) => panic!("{error}"),
    }
}
