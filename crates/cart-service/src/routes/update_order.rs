//! `PUT` and `POST /update-order`: a new status becomes an UPDATE event.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use order_events::EventOutcome;
use serde::Serialize;
use service_runtime::{Prefer, Problem};
use tracing::info;

use super::outcome::{outcome, status as status_of};
use super::{Kafka, trace};
use crate::error;
use crate::idempotency::{IdempotencyKey, event_id};
use crate::order;
use crate::request::Body;
use crate::state::AppState;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Updated<'a> {
    message: &'static str,
    order_id: &'a str,
    update: NewStatus<'a>,
    order: NewStatus<'a>,
    event_id: String,
    kafka: Kafka,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventOutcome>,
}

#[derive(Serialize, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct NewStatus<'a> {
    order_id: &'a str,
    status: &'static str,
}

pub(super) async fn update_order(
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
    let status = body.status();
    let (order_id, status) = body.finish(order_id.zip(status))?;

    let id = event_id(&order_id, key.as_ref());
    let event = order::updated(&order_id, status, Timestamp::now());
    let published = state.publisher.publish(&event, id, trace(&headers)).await;
    let position = published.map_err(|failure| error::problem(&failure, id))?;
    info!(%order_id, %status, event_id = %id, %position, "order updated");
    let outcome = outcome(&state, prefer, &position, id).await?;

    let update = NewStatus { order_id: order_id.as_str(), status: status.as_str() };
    let updated = Updated {
        message: "Order status update published",
        order_id: order_id.as_str(),
        update,
        order: update,
        event_id: id.to_string(),
        kafka: position.into(),
        outcome,
    };
    Ok((status_of(outcome, StatusCode::OK), prefer.applied(), Json(updated)).into_response())
}
