//! Dead letters, as clients see them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use order_events::{
    CreateOrderPayload, EventOutcome, EventType, OrderEvent, Payload, Reason, UpdateOrderPayload,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::dead_letters::{self, Category, RedriveNote, TrackedLetter};
use crate::http::state::Letters;
use crate::view::processed::Known;

/// A page of the largest letters would take more memory than there is.
const MAX_VALUE_IN_PAGE: usize = 16 << 10;

/// So would many pages of many letters at once.
const MAX_VALUES_OF_PAGE: usize = 4 << 20;

/// What other programs wrote has no category or reason that is known here.
const UNKNOWN: &str = "UNKNOWN";

#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterStats {
    total_messages: u64,
    /// How many of them a page can show.
    in_memory: usize,
    redriven: u64,
    #[schema(value_type = BTreeMap<String, u64>)]
    error_categories: BTreeMap<&'static str, u64>,
    #[schema(value_type = BTreeMap<String, u64>)]
    reasons: BTreeMap<&'static str, u64>,
    topic: String,
}

impl DeadLetterStats {
    pub(super) fn new(stats: dead_letters::Stats, topic: &str) -> Self {
        let named = |counts: BTreeMap<Option<&'static str>, u64>| {
            counts.into_iter().map(|(name, count)| (name.unwrap_or(UNKNOWN), count)).collect()
        };
        Self {
            total_messages: stats.total,
            in_memory: stats.in_memory,
            redriven: stats.redriven,
            error_categories: named(stats.categories),
            reasons: named(stats.reasons),
            topic: topic.to_owned(),
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(super) struct DeadLetterPage {
    messages: Vec<DeadLetterView>,
    count: usize,
    limit: usize,
    offset: usize,
}

impl DeadLetterPage {
    pub(super) fn new(found: Vec<TrackedLetter>, letters: &Letters, limit: usize, offset: usize) -> Self {
        let mut left = MAX_VALUES_OF_PAGE;
        let message = |found: TrackedLetter| {
            let size = found.letter.value.as_ref().map_or(0, |value| value.len());
            let is_shown = size <= MAX_VALUE_IN_PAGE.min(left);
            left -= if is_shown { size } else { 0 };
            DeadLetterView::new(found, letters, is_shown)
        };
        let messages: Vec<DeadLetterView> = found.into_iter().map(message).collect();
        Self { count: messages.len(), messages, limit, offset }
    }
}

/// One letter, as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct DeadLetterView {
    #[serde(rename = "orderId")]
    order_id: Option<String>,
    error_category: Option<Category>,
    reason: Option<Reason>,
    error_message: String,
    retry_count: u32,
    /// When it failed, RFC 3339.
    timestamp: String,
    original_topic: Option<String>,
    original_partition: Option<i32>,
    original_offset: Option<i64>,
    /// Base64. Null in a page if it is larger than 16 KiB, or does not fit into the 4 MiB of values of the page: ask
    /// for the letter alone.
    original_value: Option<String>,
    /// The value, if it is shown, is an event, and its schema is known here.
    event: Option<Event>,
    dlq_offset: i64,
    redrive: Option<RedriveView>,
}

/// An event, without the words that Avro's JSON puts around a union.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[schema(value_type = String)]
    event_type: EventType,
    order_id: String,
    timestamp: String,
    /// The order of a CREATE, or the status of an UPDATE.
    #[schema(value_type = Object)]
    payload: EventPayload,
}

#[derive(Serialize)]
#[serde(untagged)]
enum EventPayload {
    Create(CreateOrderPayload),
    Update(UpdateOrderPayload),
}

impl From<OrderEvent> for Event {
    fn from(event: OrderEvent) -> Self {
        let OrderEvent { event_type, order_id, timestamp, payload } = event;
        let payload = match payload {
            Payload::Create(create) => EventPayload::Create(create),
            Payload::Update(update) => EventPayload::Update(update),
        };
        Self { event_type, order_id, timestamp, payload }
    }
}

/// A redrive, and what has become of the event.
#[derive(Serialize, ToSchema)]
pub(super) struct RedriveView {
    attempt: u32,
    /// RFC 3339.
    at: String,
    by: Option<String>,
    request_id: Option<String>,
    forced: bool,
    /// Where the event is now: `<partition>:<offset>`.
    position: String,
    outcome: EventOutcome,
    /// Text, since a newer version may know more reasons.
    reason: Option<String>,
    /// The letter that it became, if it could not be processed again.
    dead_again: Option<i64>,
}

impl DeadLetterView {
    /// A letter alone, with its value whatever the size.
    pub(super) fn alone(found: TrackedLetter, letters: &Letters) -> Self {
        Self::new(found, letters, true)
    }

    fn new(found: TrackedLetter, letters: &Letters, with_value: bool) -> Self {
        let TrackedLetter { letter, redrive, dead_again } = found;
        let value = letter.value.as_deref().filter(|_| with_value);
        Self {
            order_id: letter.order_id.as_ref().map(ToString::to_string),
            error_category: letter.category,
            reason: letter.reason,
            error_message: letter.message.to_string(),
            retry_count: letter.retry_count,
            timestamp: letter.failed_at_text(),
            original_topic: letter.topic.as_deref().map(str::to_owned),
            original_partition: letter.partition,
            original_offset: letter.offset,
            original_value: value.map(|value| STANDARD.encode(value)),
            event: letters.events.decode(value).ok().map(Event::from),
            dlq_offset: letter.dlq_offset,
            redrive: redrive.map(|redrive| RedriveView::new(&redrive, dead_again, letters)),
        }
    }
}

impl RedriveView {
    fn new(redrive: &RedriveNote, dead_again: Option<i64>, letters: &Letters) -> Self {
        let partition = usize::try_from(redrive.partition).unwrap_or(usize::MAX);
        let known = letters.processed.look(partition, redrive.offset);
        let known = known.unwrap_or(Known::Forgotten);
        let (outcome, reason) = known.report();
        Self {
            attempt: redrive.attempt,
            at: redrive.at_text(),
            by: redrive.by.clone(),
            request_id: redrive.request_id.clone(),
            forced: redrive.forced,
            position: redrive.place().to_string(),
            outcome,
            reason: reason.map(Cow::into_owned),
            dead_again,
        }
    }
}
