//! `GET /dlq/...`: the dead letters, from memory.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use order_events::codec::DecodeError;
use order_events::{
    CreateOrderPayload, EventOutcome, EventType, OrderEvent, OrderId, Payload, Reason, UpdateOrderPayload,
};
use serde::{Deserialize, Serialize};
use service_runtime::input::{Query, parse_whole_number};
use service_runtime::{Fault, Problem};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::ORDER_ID;
use crate::dead_letters::{Category, Filed, Filter, Found, Redrive};
use crate::error;
use crate::state::{AppState, View};

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 1000;

/// A page of the largest letters would take more memory than there is.
const MAX_VALUE_IN_PAGE: usize = 16 << 10;

/// What other programs wrote has no category or reason that is known here.
const UNKNOWN: &str = "UNKNOWN";

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterStats)]
pub(super) struct Stats {
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

/// How many dead letters there are.
#[utoipa::path(
    get, path = "/dlq/stats",
    responses(
        (status = 200, body = Stats, description = "All that are in the topic."),
        (status = 503, description = "`not-ready`: the dead letters are being read."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letter_stats(State(state): State<AppState>) -> Result<Json<Stats>, Problem> {
    let stats = state.letters()?.stats();
    let named = |counts: BTreeMap<Option<&'static str>, u64>| {
        counts.into_iter().map(|(name, count)| (name.unwrap_or(UNKNOWN), count)).collect()
    };
    Ok(Json(Stats {
        total_messages: stats.total,
        in_memory: stats.in_memory,
        redriven: stats.redriven,
        error_categories: named(stats.categories),
        reasons: named(stats.reasons),
        topic: state.dead_letter_source.topic().to_owned(),
    }))
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterPage)]
pub(super) struct Page {
    messages: Vec<Message>,
    count: usize,
    limit: usize,
    offset: usize,
}

/// How a failure is met, see [`Category`].
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum CategoryName {
    NoRetryDlq,
    RetryThenDlq,
    RetryForever,
}

/// Why an event cannot be processed, see [`Reason`].
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReasonName {
    Undecodable,
    UnknownSchema,
    InvalidEvent,
    DuplicateOrder,
    UnknownOrder,
    IllegalTransition,
    IdempotencyConflict,
    ProcessingFailed,
}

/// One letter, as clients see it.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
pub(super) struct Message {
    #[serde(rename = "orderId")]
    order_id: Option<String>,
    #[schema(value_type = Option<CategoryName>)]
    error_category: Option<&'static str>,
    #[schema(value_type = Option<ReasonName>)]
    reason: Option<&'static str>,
    error_message: String,
    retry_count: u32,
    /// When it failed, RFC 3339.
    timestamp: String,
    original_topic: Option<String>,
    original_partition: Option<i32>,
    original_offset: Option<i64>,
    /// Base64. Null in a page if it is larger than 16 KiB: ask for the letter alone.
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
    #[schema(value_type = Option<ReasonName>)]
    reason: Option<&'static str>,
    /// The letter that it became, if it could not be processed again.
    dead_again: Option<i64>,
}

impl Message {
    /// Shows the value if it has no more bytes than `most`.
    fn new(found: Found, view: &View, most: usize) -> Self {
        let Found { letter, redrive, dead_again } = found;
        let value = letter.value.as_deref().filter(|value| value.len() <= most);
        Self {
            order_id: letter.order_id.as_ref().map(ToString::to_string),
            error_category: letter.category.map(Category::as_str),
            reason: letter.reason.map(Reason::as_str),
            error_message: letter.message.to_string(),
            retry_count: letter.retry_count,
            timestamp: letter.failed_at_text(),
            original_topic: letter.topic.as_deref().map(str::to_owned),
            original_partition: letter.partition,
            original_offset: letter.offset,
            original_value: value.map(|value| STANDARD.encode(value)),
            event: view.events.decode(value).ok().map(Event::from),
            dlq_offset: letter.dlq_offset,
            redrive: redrive.map(|redrive| RedriveView::new(&redrive, dead_again, view)),
        }
    }
}

impl RedriveView {
    fn new(redrive: &Redrive, dead_again: Option<i64>, view: &View) -> Self {
        let partition = usize::try_from(redrive.partition).unwrap_or(usize::MAX);
        let known = view.processed.look(partition, redrive.offset);
        let (outcome, reason) = known.map_or((EventOutcome::Forgotten, None), |known| known.outcome());
        Self {
            attempt: redrive.attempt,
            at: redrive.at_text(),
            by: redrive.by.clone(),
            request_id: redrive.request_id.clone(),
            forced: redrive.forced,
            position: format!("{}:{}", redrive.partition, redrive.offset),
            outcome,
            reason: reason.map(Reason::as_str),
            dead_again,
        }
    }
}

/// The dead letters that are in memory, the newest first, page by page.
#[utoipa::path(
    get, path = "/dlq/messages",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, nullable = false, description = "The most entries; 10 if it is missing."),
        ("offset" = Option<i64>, Query, minimum = 0, nullable = false, description = "How many of the newest are left out."),
        ("category" = Option<CategoryName>, Query, nullable = false, description = "Only those of this category."),
        ("reason" = Option<ReasonName>, Query, nullable = false, description = "Only those with this reason."),
        ("orderId" = Option<OrderId>, Query, nullable = false, description = "Only those of this order; also `order_id`."),
    ),
    responses(
        (status = 200, body = Page, description = "A page."),
        (status = 503, description = "`not-ready`: the dead letters are being read."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letters(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<Json<Page>, Problem> {
    let page = Wanted::read(&mut query, &state);
    let Wanted { filter, offset, limit } = query.finish(page)?;
    let (letters, view) = (state.letters()?, state.view()?);
    let found = letters.newest(&filter, offset, limit);
    let messages: Vec<Message> =
        found.into_iter().map(|found| Message::new(found, view, MAX_VALUE_IN_PAGE)).collect();
    Ok(Json(Page { count: messages.len(), messages, limit, offset }))
}

/// A page of dead letters.
struct Wanted {
    filter: Filter,
    offset: usize,
    limit: usize,
}

impl Wanted {
    fn read(query: &mut Query, state: &AppState) -> Option<Self> {
        let limit = query.optional(&["limit"], |text| parse_whole_number(text, 1..=MAX_LIMIT));
        let offset = query.optional(&["offset"], |text| parse_whole_number(text, 0..));
        let category = query.optional(&["category", "error_category"], parse_category);
        let reason = query.optional(&["reason"], parse_reason);
        let order_id = query.optional(ORDER_ID, |typed| state.order_id(typed));
        Some(Self {
            filter: Filter { category: category?, reason: reason?, order_id: order_id? },
            offset: offset?.unwrap_or(0),
            limit: limit?.unwrap_or(DEFAULT_LIMIT),
        })
    }
}

pub(super) fn parse_category(name: &str) -> Result<Category, String> {
    let names = || Category::ALL.map(Category::as_str).join(", ");
    Category::named(name).ok_or_else(|| format!("must be one of {}", names()))
}

pub(super) fn parse_reason(name: &str) -> Result<Reason, String> {
    let names = || Reason::ALL.map(Reason::as_str).join(", ");
    name.parse().map_err(|_| format!("must be one of {}", names()))
}

pub(super) fn parse_offset(text: &str) -> Result<i64, Problem> {
    let parsed = parse_whole_number(text, 0..);
    parsed.map_err(|detail| Problem::invalid(vec![Fault::path("dlq_offset", detail)]))
}

/// One dead letter, also when it is not in memory any more.
#[utoipa::path(
    get, path = "/dlq/messages/{dlq_offset}",
    params(("dlq_offset" = i64, Path, minimum = 0, example = 0)),
    responses(
        (status = 200, body = Message, description = "The letter."),
        (status = 404, description = "`unknown-dead-letter`."),
        (status = 503, description = "`not-ready`: the dead letters are being read, or Kafka does not answer."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letter(
    State(state): State<AppState>,
    Path(dlq_offset): Path<String>,
) -> Result<Json<Message>, Problem> {
    let dlq_offset = parse_offset(&dlq_offset)?;
    let (letters, view) = (state.letters()?, state.view()?);
    let found = match letters.get(dlq_offset) {
        Some(found) => found,
        None => letters.with_redrive(stored(&state, dlq_offset).await?),
    };
    if let Err(DecodeError::SchemaNeeded(id)) = view.events.decode(found.letter.value.as_deref()) {
        // If it cannot be had, the letter is shown without its event.
        let _ = view.events.fetch_schema(id).await;
    }
    Ok(Json(Message::new(found, view, usize::MAX)))
}

/// A letter that is in the topic, but not in memory any more.
async fn stored(state: &AppState, dlq_offset: i64) -> Result<Filed, Problem> {
    let unknown = || error::unknown_dead_letter(dlq_offset);
    if dlq_offset >= state.letters()?.next_offset() {
        return Err(unknown());
    }
    let source = state.dead_letter_source.clone();
    let read = spawn_blocking(move || source.read(&[dlq_offset])).await.map_err(error::internal)?;
    let record = read.map_err(|error| error::letter_unreadable(&error))?.remove(&dlq_offset);
    let letter = record.filter(|record| Redrive::of(record).is_none());
    letter.map(|letter| Filed::of(&letter)).ok_or_else(unknown)
}
