//! Events as the world sends them: most are good, some come twice, too early, under a false name, or are none.

use std::sync::Arc;

use order_events::{
    CreateOrderPayload, EventCodec, EventType, OrderEvent, OrderItem, Payload, UpdateOrderPayload,
};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use crate::watch::Ids;

/// How many of the newest orders still get events, at least.
const OPEN: usize = 60;
/// At a high rate, those of this part of a second.
const OPEN_PART: usize = 5;

/// How many events an order gets at the most; a service remembers 64.
const MOST: usize = 40;

/// How often an order is a large one, from 0 to 1, and how many items it has then at the most: some 100 kB.
const LARGE: f64 = 0.003;
const LARGE_ITEMS: usize = 5_000;
const USUAL_ITEMS: usize = 3;

/// What may be sent.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A new order.
    Create,
    /// Another status of an order.
    Update,
    /// An update of an order that is created later.
    Early,
    /// An update of an order that never is.
    Stranger,
    /// An event for the second time.
    Copy,
    /// Another event with the id of one before.
    Conflict,
    /// An order for the second time, as another event.
    Again,
    /// An event without an id.
    Anonymous,
    /// An event under another key, or under none.
    OtherKey,
    /// An event that breaks a rule.
    Invalid,
    /// A schema id that nobody has registered.
    UnknownSchema,
    /// Bytes.
    Garbage,
}

/// How often each kind is sent.
pub type Weights = &'static [(Kind, u32)];

/// Everything. What waits for its order must be allowed to wait for longer than the test takes.
pub const EVERYTHING: Weights = &[
    (Kind::Create, 25),
    (Kind::Update, 40),
    (Kind::Early, 6),
    (Kind::Copy, 8),
    (Kind::Conflict, 5),
    (Kind::Again, 4),
    (Kind::Anonymous, 3),
    (Kind::OtherKey, 3),
    (Kind::Invalid, 2),
    (Kind::UnknownSchema, 1),
    (Kind::Garbage, 3),
];

/// Nothing that comes in time or not, depending on the clock: updates come after their order, or for none.
pub const WITH_STRANGERS: Weights =
    &[(Kind::Create, 30), (Kind::Update, 45), (Kind::Stranger, 20), (Kind::Garbage, 5)];

/// A record to be sent.
pub struct Draft {
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its `ce_id`.
    pub event_id: Option<String>,
    /// For its `ce_type`.
    pub event_type: EventType,
}

/// Makes records.
pub struct Mix {
    /// What the ids of its orders begin with.
    name: &'static str,
    codec: Arc<EventCodec>,
    chance: ChaCha8Rng,
    weights: Weights,
    open: usize,
    ids: Ids,
    orders: Vec<Known>,
    made: u32,
}

/// What was sent of an order.
struct Known {
    id: String,
    created: bool,
    sent: Vec<(String, Payload)>,
}

impl Mix {
    /// Of so many records a second. The ids of its orders begin with `name`, and go into `ids`.
    pub fn new(
        name: &'static str,
        codec: Arc<EventCodec>,
        weights: Weights,
        per_second: u32,
        ids: Ids,
        chance: ChaCha8Rng,
    ) -> Self {
        let open = OPEN.max(per_second as usize / OPEN_PART);
        Self { name, codec, chance, weights, open, ids, orders: Vec::new(), made: 0 }
    }

    /// The next record.
    pub fn draw(&mut self) -> Draft {
        let (kind, _) = *self.weights.choose_weighted(&mut self.chance, |(_, weight)| *weight).unwrap();
        self.made += 1;
        let known = self.choose_known();
        match (kind, known) {
            (Kind::Early | Kind::Stranger, _) => self.early(matches!(kind, Kind::Stranger)),
            (Kind::Garbage, _) => self.garbage(),
            (Kind::Create, _) | (_, None) => self.create(),
            (kind, Some(known)) => self.more_of(kind, known),
        }
    }

    /// One of the newest orders.
    fn choose_known(&mut self) -> Option<usize> {
        let open: Vec<usize> = (self.orders.len().saturating_sub(self.open)..self.orders.len())
            .filter(|index| self.orders[*index].sent.len() < MOST)
            .collect();
        open.choose(&mut self.chance).copied()
    }

    /// A new order, or one that has updates already.
    fn create(&mut self) -> Draft {
        let newest = self.orders.len().saturating_sub(self.open);
        let waiting = (newest..self.orders.len()).find(|index| !self.orders[*index].created);
        let index = waiting.unwrap_or_else(|| self.add(format!("{}O-{}", self.name, self.made)));
        self.orders[index].created = true;
        let payload = self.create_payload();
        self.event(index, payload)
    }

    /// An update without an order. A stranger's order is called as no order is.
    fn early(&mut self, never_created: bool) -> Draft {
        if never_created {
            let id = format!("STRANGER-{}", self.chance.random_range(0..40));
            self.ids.add(id.clone());
            let payload = self.update_payload();
            return self.draft(&id, payload);
        }
        let index = self.add(format!("{}E-{}", self.name, self.made));
        let payload = self.update_payload();
        self.event(index, payload)
    }

    fn more_of(&mut self, kind: Kind, index: usize) -> Draft {
        match kind {
            Kind::Again if self.orders[index].created => {
                let payload = self.create_payload();
                let id = self.orders[index].id.clone();
                self.draft(&id, payload)
            }
            Kind::Copy | Kind::Conflict => self.repeat(index, matches!(kind, Kind::Copy)),
            Kind::Anonymous => {
                let payload = self.update_payload();
                let mut draft = self.event(index, payload);
                draft.event_id = None;
                draft
            }
            Kind::OtherKey => {
                let mut draft = self.wasted_update(index);
                draft.key = self.chance.random_bool(0.7).then(|| b"another key".to_vec());
                draft
            }
            Kind::UnknownSchema => {
                let mut draft = self.wasted_update(index);
                draft.value.as_mut().unwrap()[1..5].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff]);
                draft
            }
            Kind::Invalid => {
                let id = self.orders[index].id.clone();
                self.draft(&id, Payload::Update(UpdateOrderPayload { status: " ".into() }))
            }
            _ => {
                let payload = self.update_payload();
                self.event(index, payload)
            }
        }
    }

    /// An event that was sent, as it was or with another content.
    fn repeat(&mut self, index: usize, is_copy: bool) -> Draft {
        let known = &self.orders[index];
        let (event_id, mut payload) = known.sent.choose(&mut self.chance).unwrap().clone();
        if !is_copy {
            payload = self.update_payload();
        } else if let Payload::Create(create) = &mut payload {
            create.order_date = format!("later {}", self.made);
        }
        let id = self.orders[index].id.clone();
        let mut draft = self.draft(&id, payload);
        draft.event_id = Some(event_id);
        draft
    }

    /// An update that must not be applied, so that nothing is remembered of it.
    fn wasted_update(&mut self, index: usize) -> Draft {
        let id = self.orders[index].id.clone();
        let payload = self.update_payload();
        self.draft(&id, payload)
    }

    fn garbage(&mut self) -> Draft {
        let key = format!("GARBAGE-{}", self.chance.random_range(0..10));
        let mut value: Vec<u8> = (0..self.chance.random_range(0..40)).map(|_| self.chance.random()).collect();
        if let Some(first) = value.first_mut() {
            *first |= 1;
        }
        let value = self.chance.random_bool(0.8).then_some(value);
        Draft { key: Some(key.into_bytes()), value, event_id: None, event_type: EventType::Update }
    }

    fn add(&mut self, id: String) -> usize {
        self.ids.add(id.clone());
        self.orders.push(Known { id, created: false, sent: Vec::new() });
        self.orders.len() - 1
    }

    /// An event that is remembered.
    fn event(&mut self, index: usize, payload: Payload) -> Draft {
        let id = self.orders[index].id.clone();
        let draft = self.draft(&id, payload.clone());
        self.orders[index].sent.push((draft.event_id.clone().unwrap(), payload));
        draft
    }

    fn draft(&mut self, order_id: &str, payload: Payload) -> Draft {
        let event_type = payload.event_type();
        let timestamp = "2026-01-30T15:00:00Z".to_owned();
        let event = OrderEvent { event_type, order_id: order_id.to_owned(), timestamp, payload };
        let mut value = Vec::new();
        self.codec.encode(&event, &mut value).unwrap();
        let event_id = Uuid::from_u128(self.chance.random()).to_string();
        Draft { key: Some(order_id.into()), value: Some(value), event_id: Some(event_id), event_type }
    }

    fn create_payload(&mut self) -> Payload {
        let most = if self.chance.random_bool(LARGE) { LARGE_ITEMS } else { USUAL_ITEMS };
        let items = (0..self.chance.random_range(1..=most)).map(|item| OrderItem {
            item_id: format!("ITEM-{item}"),
            quantity: self.chance.random_range(1..9),
            price: f64::from(self.chance.random_range(1..10_000)) / 100.0,
        });
        Payload::Create(CreateOrderPayload {
            items: items.collect(),
            customer_id: format!("CUST-{}", self.made),
            order_date: "2026-01-30T15:00:00Z".into(),
            total_amount: 12.5,
            currency: "EUR".into(),
            status: "New".into(),
        })
    }

    /// Mostly a status that no other event asks for, so that it tells which event an order has seen last.
    fn update_payload(&mut self) -> Payload {
        let known = [" Confirmed", "SHIPPED", "Canceled", "delivered"];
        let status = match self.chance.random_bool(0.1) {
            true => (*known.choose(&mut self.chance).unwrap()).to_owned(),
            false => format!("step {}", self.made),
        };
        Payload::Update(UpdateOrderPayload { status })
    }
}
