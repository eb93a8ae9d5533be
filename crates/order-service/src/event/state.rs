//! What is known of an order, as the changelog has it.

use order_events::CreateOrderPayload;
use serde::{Deserialize, Serialize};

use super::key::EventKey;
use super::original::OriginalRecord;
use super::redrive_origin;

/// What is known of one order id. As it is in the changelog: see `schemas/changelog.avsc`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderState {
    /// The order, once its CREATE was applied; until then there are only held updates. Its `status` is the
    /// current one.
    pub order: Option<CreateOrderPayload>,
    /// The timestamp of the last record that was applied, in milliseconds since 1970.
    pub updated_at: i64,
    /// The events that were applied, the oldest first.
    pub applied: Vec<RememberedEvent>,
    /// Updates that wait for the CREATE, in the order in which they came.
    pub held: Vec<HeldUpdate>,
}

/// What is remembered of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedEvent {
    /// Knows a second copy.
    pub key: EventKey,
    /// Knows another event with the same id.
    pub fingerprint: i64,
    /// Where it is in the order's partition of the events topic; of an update that was a dead letter and was sent
    /// again, where it was first.
    pub offset: i64,
}

/// An update that came before its order's CREATE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldUpdate {
    /// The event, as it will be remembered.
    pub event: RememberedEvent,
    /// The status that it asks for.
    pub status: String,
    /// When it is given up, in milliseconds since 1970.
    pub give_up_at: i64,
    /// The record that it came in, should it have to be dead-lettered.
    pub original: OriginalRecord,
}

impl HeldUpdate {
    /// How many bytes it takes of a state.
    pub(super) fn size(&self) -> usize {
        self.status.len() + self.original.size()
    }

    /// Where the event is in its partition; of one that was sent again, where it was first.
    pub(super) fn first_offset(&self) -> i64 {
        let origin = redrive_origin::of_copied(&self.original.headers).map(|place| place.offset);
        origin.filter(|origin| *origin < self.event.offset).unwrap_or(self.event.offset)
    }
}
