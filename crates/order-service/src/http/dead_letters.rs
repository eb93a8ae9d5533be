//! `GET /dlq/...`: the dead letters, from memory.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use order_events::codec::DecodeError;
use order_events::{OrderId, Reason};
use service_runtime::input::{Path, Query, parse_whole_number};
use service_runtime::{Fault, Problem};

use super::ORDER_ID;
use super::dead_letter_view::{DeadLetterPage, DeadLetterStats, DeadLetterView};
use crate::dead_letters::{Category, Filter};
use crate::http::error;
use crate::http::state::AppState;

const DEFAULT_LIMIT: usize = 10;
const MAX_LIMIT: usize = 1000;

/// How many dead letters there are.
#[utoipa::path(
    get, path = "/dlq/stats",
    responses(
        (status = 200, body = DeadLetterStats, description = "All that are in the topic."),
        (status = 503, description = "`not-ready`: the dead letters are being read."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letter_stats(
    State(state): State<AppState>,
) -> Result<Json<DeadLetterStats>, Problem> {
    let stats = state.letters()?.index.stats();
    Ok(Json(DeadLetterStats::new(stats, &state.dead_letter_topic)))
}

/// The dead letters that are in memory, the newest first, page by page.
#[utoipa::path(
    get, path = "/dlq/messages",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, nullable = false, description = "The most entries; 10 if it is missing."),
        ("offset" = Option<i64>, Query, minimum = 0, nullable = false, description = "How many of the newest are left out."),
        ("category" = Option<Category>, Query, nullable = false, description = "Only those of this category."),
        ("reason" = Option<Reason>, Query, nullable = false, description = "Only those with this reason."),
        ("orderId" = Option<OrderId>, Query, nullable = false, description = "Only those of this order; also `order_id`."),
    ),
    responses(
        (status = 200, body = DeadLetterPage, description = "A page."),
        (status = 503, description = "`not-ready`: the dead letters are being read."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letters(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<Json<DeadLetterPage>, Problem> {
    let page = ListQuery::read(&mut query, &state);
    let ListQuery { filter, offset, limit } = query.finish(page)?;
    let letters = state.letters()?;
    let found = letters.index.newest(&filter, offset, limit);
    Ok(Json(DeadLetterPage::new(found, letters, limit, offset)))
}

/// The query of a page.
struct ListQuery {
    filter: Filter,
    offset: usize,
    limit: usize,
}

impl ListQuery {
    fn read(query: &mut Query, state: &AppState) -> Option<Self> {
        let limit = query.optional(&["limit"], |text| parse_whole_number(text, 1..=MAX_LIMIT));
        let offset = query.optional(&["offset"], |text| parse_whole_number(text, 0..));
        let category = query.optional(&["category", "error_category"], parse_category);
        let reason = query.optional(&["reason"], parse_reason);
        let order_id = query.optional(ORDER_ID, |typed| state.order_id(typed));
        Some(Self {
            filter: Filter { category: category?, reason: reason?, order_id: order_id? },
            offset: usize::try_from(offset?.unwrap_or(0_i64)).unwrap_or(usize::MAX),
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

pub(super) fn parse_offset(text: &str) -> Result<i64, Fault> {
    parse_whole_number(text, 0..).map_err(|detail| Fault::path("dlq_offset", detail))
}

/// The longest time that the answer waits for the schema of the letter's event.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(1);

/// One dead letter, also when it is not in memory any more.
#[utoipa::path(
    get, path = "/dlq/messages/{dlq_offset}",
    params(("dlq_offset" = i64, Path, minimum = 0, example = 0)),
    responses(
        (status = 200, body = DeadLetterView, description = "The letter."),
        (status = 404, description = "`unknown-dead-letter`."),
        (status = 503, description = "`not-ready`: the dead letters are being read, or Kafka does not answer."),
    ),
    tag = "dead letters",
)]
pub(super) async fn dead_letter(
    State(state): State<AppState>,
    Path(dlq_offset): Path<String>,
) -> Result<Json<DeadLetterView>, Problem> {
    let dlq_offset = parse_offset(&dlq_offset).map_err(|fault| Problem::invalid(vec![fault]))?;
    let letters = state.letters()?;
    let found = letters.lookup.find(dlq_offset).await.map_err(error::letter_unreadable)?;
    let found = found.ok_or_else(|| error::unknown_dead_letter(dlq_offset))?;
    if let Err(DecodeError::SchemaNeeded(id)) = letters.events.decode(found.letter.value.as_deref()) {
        // Without the schema, the letter is shown without its event.
        let taught = letters.registry.teach(&letters.events, id);
        let _ = tokio::time::timeout(SCHEMA_PATIENCE, taught).await;
    }
    Ok(Json(DeadLetterView::alone(found, letters)))
}
