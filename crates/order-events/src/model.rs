//! The events as they are on the wire: the Rust shape of `schemas/order-event.avsc`.
//!
//! The types hold what the schema holds, no more: amounts are doubles and a status is any text, since a
//! peer may write any. [`OrderEvent::validate`] says whether a decoded event is one that can be folded.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::money;
use crate::order_id::{OrderId, OrderIdError};

/// One thing that happened to an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEvent {
    /// Says the same as the payload's branch.
    pub event_type: EventType,
    /// The order this is about; also the record's key.
    pub order_id: String,
    /// When the event was made, ISO 8601.
    pub timestamp: String,
    /// What happened.
    pub payload: Payload,
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EventType {
    /// The order was made.
    Create,
    /// The order's status changed.
    Update,
}

impl EventType {
    /// The symbol in the schema: `CREATE` or `UPDATE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
        }
    }
}

/// The union of the two payloads. The variants stand in the union's order and carry their records' full
/// names: apache-avro finds the branch by them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// A whole new order.
    #[serde(rename = "com.ecommerce.order.CreateOrderPayload")]
    Create(CreateOrderPayload),
    /// A new status of an order.
    #[serde(rename = "com.ecommerce.order.UpdateOrderPayload")]
    Update(UpdateOrderPayload),
}

impl Payload {
    /// The kind of event that this payload makes.
    pub fn event_type(&self) -> EventType {
        match self {
            Self::Create(_) => EventType::Create,
            Self::Update(_) => EventType::Update,
        }
    }
}

/// A whole new order; its id is in the event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrderPayload {
    /// Who ordered.
    pub customer_id: String,
    /// When it was ordered, ISO 8601.
    pub order_date: String,
    /// What was ordered.
    pub items: Vec<OrderItem>,
    /// What it costs, in `currency`.
    pub total_amount: f64,
    /// ISO 4217, for example `USD`.
    pub currency: String,
    /// The first status, normally `new`.
    pub status: String,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderItem {
    /// What is bought.
    pub item_id: String,
    /// How many pieces.
    pub quantity: i32,
    /// Of one piece, in the order's currency.
    pub price: f64,
}

/// A new status of an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateOrderPayload {
    /// See [`crate::Status`] for the known ones.
    pub status: String,
}

impl OrderEvent {
    /// Checks what the schema cannot say. `key` is the record's key, which decides the partition and with it
    /// the order in which an order's events are read: it must be the order id.
    ///
    /// # Errors
    /// The first rule that the event breaks.
    pub fn validate(&self, key: Option<&[u8]>) -> Result<(), InvalidEvent> {
        match key {
            None => return Err(InvalidEvent::NoKey),
            Some(key) if key != self.order_id.as_bytes() => {
                return Err(InvalidEvent::KeyIsNotOrderId {
                    key: String::from_utf8_lossy(key).into_owned(),
                    order_id: self.order_id.clone(),
                });
            }
            Some(_) => {}
        }
        OrderId::check(&self.order_id)?;
        if self.event_type != self.payload.event_type() {
            return Err(InvalidEvent::TypeIsNotBranch {
                event_type: self.event_type.as_str(),
                branch: self.payload.event_type().as_str(),
            });
        }
        match &self.payload {
            Payload::Create(create) => create.validate(),
            Payload::Update(update) => validate_status(&update.status),
        }
    }
}

impl CreateOrderPayload {
    fn validate(&self) -> Result<(), InvalidEvent> {
        for (index, item) in self.items.iter().enumerate() {
            if item.quantity < 0 {
                return Err(InvalidEvent::NegativeQuantity { index, quantity: item.quantity });
            }
            if !money::is_amount(item.price) {
                return Err(InvalidEvent::NotAnAmount { field: "price", value: item.price });
            }
        }
        if !money::is_amount(self.total_amount) {
            return Err(InvalidEvent::NotAnAmount { field: "totalAmount", value: self.total_amount });
        }
        validate_status(&self.status)
    }
}

fn validate_status(status: &str) -> Result<(), InvalidEvent> {
    if status.trim().is_empty() { Err(InvalidEvent::BlankStatus) } else { Ok(()) }
}

/// Why an event that decodes is still none that can be processed. Permanent: no retry mends it.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum InvalidEvent {
    /// Without a key the partition is chance, and so is the order of an order's events.
    #[error("the record has no key; it must be the order id")]
    NoKey,
    /// As without a key.
    #[error("the record's key {key:?} is not the event's order id {order_id:?}")]
    KeyIsNotOrderId {
        /// What the record has.
        key: String,
        /// What it should have.
        order_id: String,
    },
    /// The order id breaks its own rules.
    #[error("the order id is not usable: {0}")]
    OrderId(#[from] OrderIdError),
    /// `eventType` says one thing, the payload another.
    #[error("eventType is {event_type} but the payload is that of {branch}")]
    TypeIsNotBranch {
        /// What `eventType` says.
        event_type: &'static str,
        /// What the payload is.
        branch: &'static str,
    },
    /// An order of less than nothing.
    #[error("item {index} has the negative quantity {quantity}")]
    NegativeQuantity {
        /// The item's place in `items`, from 0.
        index: usize,
        /// What it says.
        quantity: i32,
    },
    /// Not finite.
    #[error("{field} is {value}, which is no amount of money")]
    NotAnAmount {
        /// Which field.
        field: &'static str,
        /// What it says.
        value: f64,
    },
    /// A status must be something.
    #[error("the status is blank")]
    BlankStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create() -> OrderEvent {
        OrderEvent {
            event_type: EventType::Create,
            order_id: "ORD-1".into(),
            timestamp: "2026-01-30T15:00:00Z".into(),
            payload: Payload::Create(CreateOrderPayload {
                customer_id: "CUST-1".into(),
                order_date: "2026-01-30T15:00:00Z".into(),
                items: vec![OrderItem { item_id: "ITEM-1".into(), quantity: 2, price: 49.99 }],
                total_amount: 99.98,
                currency: "USD".into(),
                status: "new".into(),
            }),
        }
    }

    fn payload(event: &mut OrderEvent) -> &mut CreateOrderPayload {
        match &mut event.payload {
            Payload::Create(create) => create,
            Payload::Update(_) => panic!("a CREATE is expected"),
        }
    }

    #[test]
    fn a_sound_event_is_valid() {
        assert_eq!(create().validate(Some(b"ORD-1")), Ok(()));
    }

    #[test]
    fn the_key_must_be_the_order_id() {
        assert_eq!(create().validate(None), Err(InvalidEvent::NoKey));
        assert!(matches!(create().validate(Some(b"ORD-2")), Err(InvalidEvent::KeyIsNotOrderId { .. })));
    }

    #[test]
    fn the_event_type_must_agree_with_the_branch() {
        let mut event = create();
        event.event_type = EventType::Update;
        assert!(matches!(event.validate(Some(b"ORD-1")), Err(InvalidEvent::TypeIsNotBranch { .. })));
    }

    #[test]
    fn a_blank_id_or_status_is_invalid() {
        let mut event = create();
        event.order_id = " ".into();
        assert!(matches!(event.validate(Some(b" ")), Err(InvalidEvent::OrderId(_))));

        let mut event = create();
        payload(&mut event).status = "\t".into();
        assert_eq!(event.validate(Some(b"ORD-1")), Err(InvalidEvent::BlankStatus));
    }

    #[test]
    fn quantities_and_amounts_must_make_sense() {
        let mut event = create();
        payload(&mut event).items[0].quantity = -1;
        assert!(matches!(event.validate(Some(b"ORD-1")), Err(InvalidEvent::NegativeQuantity { .. })));

        for nonsense in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut event = create();
            payload(&mut event).items[0].price = nonsense;
            assert!(matches!(event.validate(Some(b"ORD-1")), Err(InvalidEvent::NotAnAmount { .. })));

            let mut event = create();
            payload(&mut event).total_amount = nonsense;
            assert!(matches!(event.validate(Some(b"ORD-1")), Err(InvalidEvent::NotAnAmount { .. })));
        }
    }
}
