//! `POST /create-order`: an id and a number of items become a whole order and its CREATE event.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use order_events::EventOutcome;
use serde::Serialize;
use service_runtime::{Prefer, Problem};
use tracing::info;

use super::outcome::{outcome, status};
use super::{Kafka, trace};
use crate::error;
use crate::idempotency::{IdempotencyKey, event_id};
use crate::order::{self, OrderView};
use crate::request::Body;
use crate::state::AppState;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    message: &'static str,
    order_id: &'a str,
    order: Option<OrderView<'a>>,
    event_id: String,
    kafka: Kafka,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventOutcome>,
}

pub(super) async fn create_order(
    State(state): State<AppState>,
    headers: HeaderMap,
    prefer: Prefer,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = IdempotencyKey::from_headers(&headers).unwrap_or_else(|fault| {
        body.fault(fault);
        None
    });
    let order_id = body.order_id(&state.orders.order_id_prefix);
    let items = body.items_count(state.orders.max_items);
    let (order_id, items) = body.finish(order_id.zip(items))?;

    let id = event_id(&order_id, key.as_ref());
    let event = order::created(&order_id, items, id, Timestamp::now());
    let published = state.publisher.publish(&event, id, trace(&headers)).await;
    let position = published.map_err(|failure| error::problem(&failure, id))?;
    info!(%order_id, event_id = %id, %position, "order created");
    let outcome = outcome(&state, prefer, &position, id).await?;

    let created = Created {
        message: "Order created and published",
        order_id: order_id.as_str(),
        order: OrderView::of(&event),
        event_id: id.to_string(),
        kafka: position.into(),
        outcome,
    };
    Ok((status(outcome, StatusCode::CREATED), prefer.applied(), Json(created)).into_response())
}
