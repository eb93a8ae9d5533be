//! What an order remembers of an event: enough to know a second copy, no more.

use order_events::{CreateOrderPayload, Payload};
use serde::{Deserialize, Serialize};
use twox_hash::{XxHash3_64, XxHash3_128};
use uuid::Uuid;

/// An event's id in 16 bytes: a UUID as it is, any other text as its XXH3 hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventKey(#[serde(with = "apache_avro::serde::fixed")] pub [u8; 16]);

impl EventKey {
    /// The key of an event id (`ce_id`).
    pub fn of(event_id: &str) -> Self {
        match Uuid::try_parse(event_id) {
            Ok(uuid) => Self(uuid.into_bytes()),
            Err(_) => Self(XxHash3_128::oneshot(event_id.as_bytes()).to_be_bytes()),
        }
    }
}

/// What an event says, in 8 bytes. Two events with the same id must have the same; a request that is sent
/// again makes new dates, so dates do not count.
pub(crate) fn fingerprint(payload: &Payload) -> i64 {
    let mut bytes = Vec::with_capacity(128);
    match payload {
        Payload::Create(create) => create_bytes(create, &mut bytes),
        Payload::Update(update) => text(&mut bytes, &update.status),
    }
    XxHash3_64::oneshot_with_seed(payload.event_type() as u64, &bytes).cast_signed()
}

fn create_bytes(create: &CreateOrderPayload, bytes: &mut Vec<u8>) {
    let CreateOrderPayload { customer_id, order_date: _, items, total_amount, currency, status } = create;
    for field in [customer_id, currency, status] {
        text(bytes, field);
    }
    bytes.extend(total_amount.to_le_bytes());
    for item in items {
        text(bytes, &item.item_id);
        bytes.extend(item.quantity.to_le_bytes());
        bytes.extend(item.price.to_le_bytes());
    }
}

/// With its length, so that two texts cannot run into each other.
fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use order_events::{OrderItem, UpdateOrderPayload};

    use super::*;

    fn create(change: impl FnOnce(&mut CreateOrderPayload)) -> i64 {
        let mut create = CreateOrderPayload {
            customer_id: "CUST-1".into(),
            order_date: "2026-01-30T15:00:00Z".into(),
            items: vec![OrderItem { item_id: "ITEM-1".into(), quantity: 2, price: 49.99 }],
            total_amount: 99.98,
            currency: "USD".into(),
            status: "new".into(),
        };
        change(&mut create);
        fingerprint(&Payload::Create(create))
    }

    #[test]
    fn every_field_but_the_date_counts() {
        let original = create(|_| {});
        assert_eq!(create(|order| order.order_date = "later".into()), original);
        assert_ne!(create(|order| order.customer_id = "CUST-2".into()), original);
        assert_ne!(create(|order| order.currency = "EUR".into()), original);
        assert_ne!(create(|order| order.status = "pending".into()), original);
        assert_ne!(create(|order| order.total_amount = 1.0), original);
        assert_ne!(create(|order| order.items[0].quantity = 3), original);
        assert_ne!(create(|order| order.items[0].price = 3.0), original);
        assert_ne!(create(|order| order.items[0].item_id = "ITEM-2".into()), original);
        assert_ne!(create(|order| order.items.clear()), original);
    }

    #[test]
    fn keys_and_fingerprints_are_fixed_for_ever() {
        // They are in the changelog: another algorithm would not know the events that are there.
        let uuid = "800b4d27-3a20-5e4d-943c-fd39d46d6989";
        assert_eq!(EventKey::of(uuid).0[..4], [0x80, 0x0b, 0x4d, 0x27]);
        assert_eq!(EventKey::of("order-events/2/17").0[..4], [0x36, 0xdc, 0xd7, 0x9b]);
        let update = Payload::Update(UpdateOrderPayload { status: "confirmed".into() });
        assert_eq!(fingerprint(&update).cast_unsigned(), 0x9eb3_3d67_f002_33ce);
        assert_eq!(create(|_| {}).cast_unsigned(), 0x9c71_cc18_8385_72a0);
    }
}
