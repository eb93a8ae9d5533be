//! The publication of a new order, and its answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use order_events::{EventOutcome, OrderEvent, TraceContext};
use serde::Serialize;
use service_runtime::{Prefer, Problem};
use tracing::info;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Kafka;
use super::write::publish;
use crate::order::OrderView;
use crate::state::AppState;

/// A new order is in the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Created<'a> {
    message: &'static str,
    order_id: &'a str,
    order: Option<OrderView<'a>>,
    event_id: String,
    kafka: Kafka,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventOutcome>,
}

/// Publishes the CREATE `event` of a new order, and tells the client of it.
pub(super) async fn create(
    state: &AppState,
    event: &OrderEvent,
    event_id: Uuid,
    prefer: Prefer,
    trace: TraceContext,
) -> Result<Response, Problem> {
    let published = publish(state, event, event_id, prefer, trace).await?;
    let order_id = event.order_id.as_str();
    info!(order_id, %event_id, position = %published.position, "order created");
    let (status, location) = (published.status(StatusCode::CREATED), published.location(state, order_id));
    let created = Created {
        message: "Order created and published",
        order_id,
        order: OrderView::of(event),
        event_id: event_id.to_string(),
        kafka: published.position.into(),
        outcome: published.outcome,
    };
    Ok((status, location, prefer.applied(), Json(created)).into_response())
}
