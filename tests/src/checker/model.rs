//! What must be: a model of order-service as simple as it can be made, apart from the service's own code. It
//! goes through the events once, in their order, and keeps everything.

use std::collections::BTreeMap;

use order_events::{EventType, OrderEvent, Payload};
use serde_json::{Value, json};

use crate::kafka::Record;

/// A partition and an offset.
pub type Place = (i32, i64);

/// How many events an order remembers, and how many updates wait for one: loads stay within the first.
const REMEMBERED: usize = 64;
const HELD: usize = 16;

/// What all the events together make.
#[derive(Debug, Default)]
pub struct Model {
    /// Whether unusual changes of status are refused (`STATUS_TRANSITIONS=strict`).
    pub strict: bool,
    /// What is known of each order id.
    pub orders: BTreeMap<String, Order>,
    /// What became of each event.
    pub outcomes: BTreeMap<Place, Outcome>,
    /// Behind the last event of each partition.
    pub ends: BTreeMap<i32, i64>,
}

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It changes its order.
    Applied,
    /// A copy of one before.
    Duplicate,
    /// A copy of an update that waits, which is at this offset: it has the fate of that.
    CopyOf(i64),
    /// It waits for its order.
    Held,
    /// It cannot be processed, for this reason.
    Letter(&'static str),
}

/// What is known of one order id.
#[derive(Debug, Default)]
pub struct Order {
    /// The order as clients see it, without its id and its shipping cost; `None` before its CREATE.
    pub content: Option<Value>,
    /// Every status that it had, the oldest first.
    pub history: Vec<String>,
    /// The offsets of the events that were applied; of those that were sent again, the first offsets.
    pub applied: Vec<i64>,
    /// The updates that wait: offset and status.
    pub held: Vec<(i64, String)>,
    /// Where each event id was first, and what it stands for.
    seen: BTreeMap<String, (i64, Value)>,
    /// Of each update that waits: where it was first, and its event id.
    waiting: BTreeMap<i64, (i64, String)>,
}

impl Model {
    /// Goes one record further. `event` is what the record holds, or why it holds none.
    pub fn take(&mut self, record: &Record, topic: &str, event: Result<OrderEvent, &'static str>) {
        let place = (record.partition, record.offset);
        self.ends.insert(record.partition, record.offset + 1);
        let outcome = match event {
            Err(reason) => Outcome::Letter(reason),
            Ok(event) if !is_sound(&event, record.key.as_deref()) => Outcome::Letter("invalid_event"),
            Ok(event) => self.apply(place, origin(record), &event_id(record, topic), event),
        };
        self.outcomes.insert(place, outcome);
    }

    /// All updates that still wait are given up.
    pub fn end_of_grace(&mut self) {
        for outcome in self.outcomes.values_mut().filter(|outcome| **outcome == Outcome::Held) {
            *outcome = Outcome::Letter("unknown_order");
        }
        self.orders.retain(|_, order| order.content.is_some());
    }

    /// One update that still waits is given up. Nothing is remembered of it.
    pub fn give_up(&mut self, order_id: &str, place: Place) {
        let order = self.orders.get_mut(order_id).unwrap();
        order.held.retain(|(offset, _)| *offset != place.1);
        order.forget(place.1);
        self.outcomes.insert(place, Outcome::Letter("unknown_order"));
    }

    /// What clients are told of an event: of a copy of an update that waited, what became of that.
    pub fn fate(&self, place: Place) -> Option<Outcome> {
        match self.outcomes.get(&place).copied() {
            Some(Outcome::CopyOf(first)) => match self.outcomes.get(&(place.0, first)).copied() {
                Some(fate @ (Outcome::Held | Outcome::Letter(_))) => Some(fate),
                _ => Some(Outcome::Duplicate),
            },
            outcome => outcome,
        }
    }

    /// The events that are to be dead-lettered, and why.
    pub fn letters(&self) -> BTreeMap<Place, &'static str> {
        let reason = |outcome: &Outcome| match outcome {
            Outcome::Letter(reason) => Some(*reason),
            _ => None,
        };
        self.outcomes.iter().filter_map(|(place, outcome)| Some((*place, reason(outcome)?))).collect()
    }

    /// The orders that exist, by id.
    pub fn existing(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.orders.iter().filter_map(|(id, order)| Some((id, order.content.as_ref()?)))
    }

    fn apply(&mut self, place: Place, origin: Option<i64>, event_id: &str, event: OrderEvent) -> Outcome {
        let strict = self.strict;
        let order = self.orders.entry(event.order_id).or_default();
        let says = without_dates(&event.payload);
        if let Some((first, before)) = order.seen.get(event_id) {
            return if *before != says {
                Outcome::Letter("idempotency_conflict")
            } else if order.held.iter().any(|(offset, _)| offset == first) {
                Outcome::CopyOf(*first)
            } else {
                Outcome::Duplicate
            };
        }
        let first = origin.unwrap_or(place.1);
        match &event.payload {
            Payload::Update(_)
                if origin.is_some() && order.applied.iter().skip(1).any(|offset| *offset > first) =>
            {
                return Outcome::Letter("illegal_transition");
            }
            Payload::Update(update) if order.refuses(strict, &update.status) => {
                return Outcome::Letter("illegal_transition");
            }
            Payload::Create(_) if order.content.is_some() => return Outcome::Letter("duplicate_order"),
            Payload::Update(_) if order.content.is_none() && order.held.len() == HELD => {
                return Outcome::Letter("unknown_order");
            }
            _ => order.seen.insert(event_id.to_owned(), (place.1, says)),
        };
        match event.payload {
            Payload::Create(create) => {
                order.content = Some(serde_json::to_value(create).unwrap());
                let status = order.content.as_ref().unwrap()["status"].as_str().unwrap().to_owned();
                order.change(place.1, &status);
                for (offset, status) in order.take_held() {
                    let outcome = order.end_waiting(offset, &status, strict);
                    self.outcomes.insert((place.0, offset), outcome);
                }
            }
            Payload::Update(update) if order.content.is_some() => order.change(first, &update.status),
            Payload::Update(update) => {
                order.held.push((place.1, update.status));
                order.waiting.insert(place.1, (first, event_id.to_owned()));
                return Outcome::Held;
            }
        }
        Outcome::Applied
    }
}

impl Order {
    /// Whether nothing is kept of it.
    pub fn is_unknown(&self) -> bool {
        self.content.is_none() && self.held.is_empty()
    }

    /// The updates that wait, in the order in which they were sent for the first time.
    fn take_held(&mut self) -> Vec<(i64, String)> {
        let mut held = std::mem::take(&mut self.held);
        held.sort_by_key(|(offset, _)| self.waiting[offset].0);
        held
    }

    /// What becomes of an update that has waited, now that its order is there.
    fn end_waiting(&mut self, offset: i64, status: &str, strict: bool) -> Outcome {
        if self.refuses(strict, status) {
            self.forget(offset);
            return Outcome::Letter("illegal_transition");
        }
        self.change(self.waiting[&offset].0, status);
        Outcome::Applied
    }

    /// Nothing is remembered of an update that has waited in vain.
    fn forget(&mut self, offset: i64) {
        let (_, event_id) = self.waiting.remove(&offset).unwrap();
        self.seen.remove(&event_id);
    }

    /// Whether the order cannot become this.
    fn refuses(&self, strict: bool, status: &str) -> bool {
        let Some(content) = &self.content else { return false };
        strict && !is_usual(content["status"].as_str().unwrap(), &canonical(status))
    }

    fn change(&mut self, offset: i64, status: &str) {
        let status = canonical(status);
        self.content.as_mut().unwrap()["status"] = json!(status);
        self.history.push(status);
        self.applied.push(offset);
        assert!(self.applied.len() < REMEMBERED, "the load has too many events of one order");
    }
}

/// What makes an event one that can be applied.
fn is_sound(event: &OrderEvent, key: Option<&[u8]>) -> bool {
    let payload_is_sound = match &event.payload {
        Payload::Create(create) => {
            event.event_type == EventType::Create
                && !create.status.trim().is_empty()
                && create.total_amount.is_finite()
                && create.items.iter().all(|item| item.quantity >= 0 && item.price.is_finite())
        }
        Payload::Update(update) => event.event_type == EventType::Update && !update.status.trim().is_empty(),
    };
    payload_is_sound && !event.order_id.trim().is_empty() && key == Some(event.order_id.as_bytes())
}

/// The same, forward, or cancelled before it is shipped.
fn is_usual(from: &str, to: &str) -> bool {
    const WAY: [&str; 6] = ["new", "pending", "confirmed", "processing", "shipped", "delivered"];
    let place = |status| WAY.iter().position(|step| *step == status);
    match (place(from), place(to)) {
        (Some(from), Some(to)) => from <= to,
        (Some(from), None) => to == "cancelled" && WAY[from] != "shipped" && WAY[from] != "delivered",
        (None, _) => from == "cancelled" && to == "cancelled",
    }
}

/// Where it was first, if it was sent again: an earlier place of the same partition.
pub(super) fn origin(record: &Record) -> Option<i64> {
    let place = record.header("dlq-redrive-origin")?;
    let (partition, offset) = place.split_once(':')?;
    let offset: i64 = offset.parse().ok()?;
    (partition.parse() == Ok(record.partition) && offset < record.offset).then_some(offset)
}

/// Its `ce_id`; a record without one is only itself.
fn event_id(record: &Record, topic: &str) -> String {
    let place = || format!("{topic}/{}/{}", record.partition, record.offset);
    record.header("ce_id").unwrap_or_else(place)
}

/// A request that is sent again makes new dates.
fn without_dates(payload: &Payload) -> Value {
    let mut says = serde_json::to_value(payload).unwrap();
    for branch in says.as_object_mut().unwrap().values_mut() {
        branch.as_object_mut().unwrap().remove("orderDate");
    }
    says
}

fn canonical(status: &str) -> String {
    let lower = status.trim().to_lowercase();
    match lower.as_str() {
        "canceled" => "cancelled".to_owned(),
        "new" | "pending" | "confirmed" | "processing" | "shipped" | "delivered" | "cancelled" => lower,
        _ => status.to_owned(),
    }
}
