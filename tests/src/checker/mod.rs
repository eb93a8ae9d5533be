//! The independent checker: it reads the events from the beginning, says what must have become of them, and
//! holds that against everything that can be seen of order-service from outside.

mod answers;
mod changelog;
mod letters;
mod model;

use std::collections::{BTreeMap, BTreeSet};

use order_events::codec::Undecodable;
use order_events::registry::FetchError;
use order_events::{EventCodec, OrderEvent};
use serde_json::{Value, json};
use tokio::task::block_in_place;

pub use self::changelog::Changelog;
pub use self::letters::Times;
pub use self::model::{Model, Order, Outcome, Place};
use crate::kafka::Record;
use crate::load;
use crate::service::Service;
use crate::wait::eventually;
use crate::world::World;

/// The events of a world, and what must become of them.
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
        let codec = load::codec(world).await;
        let mut model = Model::default();
        for record in &events {
            let event = decoded(&codec, record.value.as_deref()).await;
            model.take(record, world.topic(), event);
        }
        Self { world, events, model }
    }

    /// Waits until every instance has seen everything, then checks what they answer.
    pub async fn check_answers(&self, services: &[&Service]) {
        self.check_answers_but_for(services, &BTreeSet::new()).await;
    }

    /// As [`check_answers`](Self::check_answers), but for the outcomes of these events.
    pub async fn check_answers_but_for(&self, services: &[&Service], events: &BTreeSet<Place>) {
        self.check_orders(services).await;
        for service in services {
            answers::check_outcomes(service, self.world.topic(), &self.model, events).await;
        }
    }

    /// As [`check_answers`](Self::check_answers), but for the outcomes of the events.
    pub async fn check_orders(&self, services: &[&Service]) {
        for service in services {
            answers::caught_up(service, &self.model).await;
        }
        for service in services {
            answers::check_orders(service, self.world.topic(), &self.model).await;
        }
    }

    /// Checks what is in Kafka. The instances must have seen everything.
    pub async fn check_topics(&self, times: Times) {
        let letters = self.world.dead_letters();
        letters.settled().await;
        block_in_place(|| letters::check(&letters, &self.model, &self.events, self.world.topic(), times));
        let changelog = block_in_place(|| Changelog::read(&self.world.changelog()));
        self.check_changelog(&changelog);
        if times == Times::Once {
            let sources: Vec<_> = changelog.identities.iter().map(|identity| &identity["source"]).collect();
            assert_eq!(sources, [self.world.topic()], "what identifies the changelog");
            self.check_committed_offsets().await;
        }
    }

    /// The group's offsets, which tools show, are committed with the rest. Without transactions they come a moment later.
    async fn check_committed_offsets(&self) {
        let (group, events) = (self.world.group(), self.world.events());
        eventually(&format!("{group} has committed {:?}", self.model.ends), async || {
            (block_in_place(|| events.committed_by(&group)) == self.model.ends).then_some(())
        })
        .await;
    }

    fn check_changelog(&self, changelog: &Changelog) {
        for (partition, end) in &self.model.ends {
            assert_eq!(changelog.progress[partition]["nextOffset"], json!(end), "partition {partition}");
        }
        let partitions: BTreeMap<_, _> = self
            .events
            .iter()
            .filter_map(|record| Some((record.key.as_deref()?, record.partition)))
            .collect();
        for (id, states) in &changelog.states {
            let (partition, state) = states.last().unwrap();
            assert_eq!(Some(partition), partitions.get(id.as_bytes()), "the partition of {id}");
            let expected = self.model.orders.get(id).filter(|order| !order.is_unknown());
            check_state(id, expected, state);
        }
        let known = self.model.orders.iter().filter(|(_, order)| !order.is_unknown());
        for (id, _) in known {
            assert!(changelog.states.contains_key(id), "{id} is not in the changelog");
        }
    }

    /// Nothing that was confirmed to a client is missing.
    pub fn check_told(&self, told: &[Told]) {
        for told in told {
            let place = (told.partition, told.offset);
            let found = self.events.binary_search_by_key(&place, |record| (record.partition, record.offset));
            let Ok(index) = found else { panic!("{told:?} was confirmed and is not there") };
            let record = &self.events[index];
            assert_eq!(record.header("ce_id").as_deref(), Some(told.event_id.as_str()), "{told:?}");
        }
    }
}

/// What cart-service told a client of an event.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its id.
    pub event_id: String,
    /// Where it is.
    pub partition: i32,
    /// Where it is.
    pub offset: i64,
}

fn check_state(id: &str, expected: Option<&Order>, state: &Value) {
    let Some(expected) = expected else {
        assert_eq!(*state, Value::Null, "nothing is known of {id}");
        return;
    };
    assert_eq!(state["order"], expected.content.clone().unwrap_or_default(), "{id}");
    let offsets = |of: &Value, field: &str| -> Vec<i64> {
        of.as_array().unwrap().iter().map(|event| event.pointer(field).unwrap().as_i64().unwrap()).collect()
    };
    assert_eq!(offsets(&state["applied"], "/offset"), expected.applied, "{id}");
    let held: Vec<i64> = expected.held.iter().map(|(offset, _)| *offset).collect();
    assert_eq!(offsets(&state["held"], "/event/offset"), held, "{id}");
}

/// What a record holds, or why it holds no event.
async fn decoded(codec: &EventCodec, value: Option<&[u8]>) -> Result<OrderEvent, &'static str> {
    match codec.decode_fetching(value).await {
        Ok(event) => Ok(event),
        Err(FetchError::Permanent(Undecodable::UnknownSchema { .. })) => Err("unknown_schema"),
        Err(FetchError::Permanent(_)) => Err("undecodable"),
        Err(error) => panic!("{error}"),
    }
}
