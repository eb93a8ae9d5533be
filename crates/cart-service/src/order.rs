//! The events of orders.

use jiff::{RoundMode, Timestamp, TimestampRound, Unit};
use order_events::{
    CreateOrderPayload, EventType, OrderEvent, OrderId, OrderItem, Payload, Status, UpdateOrderPayload, money,
};
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::new_order::{DEFAULT_CURRENCY, NewOrder};

const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The event of a new order with `items` random items. What is random follows from `event_id`, so a request
/// that is sent again with its idempotency key makes the same order.
pub(crate) fn created(order_id: &OrderId, items: u32, event_id: Uuid, now: Timestamp) -> OrderEvent {
    let mut rng = seeded(event_id);
    let customer_id = random_id("CUST", &mut rng);
    let mut total = Decimal::ZERO;
    let items = (0..items)
        .map(|_| {
            let quantity: i32 = rng.random_range(1..=5);
            let price = Decimal::new(rng.random_range(100..=50_000), 2);
            total += price * Decimal::from(quantity);
            OrderItem { item_id: random_id("ITEM", &mut rng), quantity, price: money::to_wire(price) }
        })
        .collect();
    let currency = DEFAULT_CURRENCY.to_owned();
    placed(order_id, NewOrder { customer_id, items, total, currency }, now)
}

/// The event of a new order.
pub(crate) fn placed(order_id: &OrderId, order: NewOrder, now: Timestamp) -> OrderEvent {
    let timestamp = iso_8601(now);
    let payload = CreateOrderPayload {
        customer_id: order.customer_id,
        order_date: timestamp.clone(),
        items: order.items,
        total_amount: money::to_wire(order.total),
        currency: order.currency,
        status: Status::New.as_str().to_owned(),
    };
    event(order_id, timestamp, Payload::Create(payload))
}

/// The event of a new status.
pub(crate) fn updated(order_id: &OrderId, status: Status, now: Timestamp) -> OrderEvent {
    let payload = UpdateOrderPayload { status: status.as_str().to_owned() };
    event(order_id, iso_8601(now), Payload::Update(payload))
}

fn event(order_id: &OrderId, timestamp: String, payload: Payload) -> OrderEvent {
    let event_type: EventType = payload.event_type();
    OrderEvent { event_type, order_id: order_id.as_str().to_owned(), timestamp, payload }
}

fn seeded(event_id: Uuid) -> ChaCha8Rng {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(event_id.as_bytes());
    ChaCha8Rng::from_seed(seed)
}

fn random_id(prefix: &str, rng: &mut impl Rng) -> String {
    let suffix = (0..8).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())]));
    format!("{prefix}-{}", suffix.collect::<String>())
}

/// UTC with milliseconds, `2026-01-30T15:00:00.123Z`.
pub(crate) fn iso_8601(time: Timestamp) -> String {
    let to_millis = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Trunc);
    format!("{:.3}", time.round(to_millis).unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-01-30T15:00:00.1239Z".parse().unwrap()
    }

    fn order() -> OrderId {
        OrderId::parse("1", "ORD").unwrap()
    }

    #[test]
    fn a_created_order_adds_up_and_is_valid() {
        for seed in 0..200 {
            let event = created(&order(), 1 + seed % 20, Uuid::from_u128(seed.into()), now());
            event.validate(Some(b"ORD-1")).unwrap();
            let Payload::Create(payload) = event.payload else { panic!("a CREATE is expected") };
            let sum: Decimal = payload
                .items
                .iter()
                .map(|item| money::from_wire(item.price).unwrap() * Decimal::from(item.quantity))
                .sum();
            assert_eq!(money::from_wire(payload.total_amount), Some(sum.normalize()));
            assert_eq!(payload.items.len(), 1 + seed as usize % 20);
            assert_eq!(payload.status, "new");
        }
    }

    #[test]
    fn the_same_event_id_makes_the_same_order() {
        let make = |id| created(&order(), 3, Uuid::from_u128(id), now());
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn times_have_milliseconds_and_end_with_z() {
        assert_eq!(iso_8601(now()), "2026-01-30T15:00:00.123Z");
        assert_eq!(iso_8601("2026-01-30T15:00:00Z".parse().unwrap()), "2026-01-30T15:00:00.000Z");
    }
}
