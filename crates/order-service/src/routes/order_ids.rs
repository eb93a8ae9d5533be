//! `GET /getAllOrderIdsFromTopic`: the ids of the orders.

use axum::Json;
use axum::extract::State;
use compact_str::CompactString;
use serde::Serialize;
use service_runtime::Problem;

use crate::error;
use crate::query::Query;
use crate::state::AppState;

const TOPIC: &[&str] = &["topic", "topicName", "topic_name"];

/// The topic under two names, since clients look for either.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderIds {
    topic: String,
    topic_name: String,
    count: usize,
    next_cursor: Option<CompactString>,
    order_ids: Vec<CompactString>,
}

pub(super) async fn all_order_ids(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<Json<OrderIds>, Problem> {
    let topic = query.required(TOPIC);
    let limit = query.optional(&["limit"]).map_or(Some(None), |limit| {
        let parsed = limit.parse::<usize>().ok().filter(|limit| *limit > 0);
        query.checked("limit", parsed.map(Some).ok_or_else(|| "must be a whole number from 1".to_owned()))
    });
    let cursor = query.optional(&["cursor"]);
    let (topic, limit) = query.finish(topic.zip(limit))?;
    if *topic != *state.topic {
        return Err(error::unknown_topic(&topic, &state.topic));
    }
    let view = state.restored_view()?;
    let limit = limit.unwrap_or(usize::MAX);
    // One more than asked for tells whether there is a next page.
    let mut order_ids = view.store.ids(cursor.as_deref(), limit.saturating_add(1));
    let has_more = order_ids.len() > limit;
    order_ids.truncate(limit);
    let next_cursor = if has_more { order_ids.last().cloned() } else { None };
    Ok(Json(OrderIds { topic_name: topic.clone(), topic, count: order_ids.len(), next_cursor, order_ids }))
}
