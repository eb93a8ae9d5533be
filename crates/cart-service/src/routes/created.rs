//! The publication of a new order, and its answer.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use order_events::{EventOutcome, OrderEvent, TraceContext};
use serde::Serialize;
use service_runtime::{Prefer, Problem};
use tracing::info;
use utoipa::{IntoResponses, ToSchema};
use uuid::Uuid;

use super::Kafka;
use super::write::publish;
use crate::order::OrderView;
use crate::state::AppState;

/// A new order is in the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Created<'a> {
    message: &'static str,
    order_id: &'a str,
    order: Option<OrderView<'a>>,
    event_id: String,
    kafka: Kafka,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventOutcome>,
}

/// What a new order is answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
pub(super) enum CreateResponses {
    /// The event is in the log; with `Prefer: wait`, `outcome` tells what became of it.
    #[response(status = 201, headers(("location" = String, description = "The order, at order-service.")))]
    Created(Created<'static>),
    /// The time to wait is up: the event is in the log, but not processed yet.
    #[response(status = 202, headers(("location" = String, description = "Tells what becomes of the event.")))]
    Pending(Created<'static>),
    /// `duplicate-order`: only with `Prefer: wait`.
    #[response(status = 409)]
    Duplicate,
    /// `idempotency-key-reused`: only with `Prefer: wait`.
    #[response(status = 422)]
    KeyReused,
    /// `dead-lettered`: only with `Prefer: wait`.
    #[response(status = 500)]
    DeadLettered,
    /// `not-published`: the event is not in the log. `delivery-unknown`: it may be.
    #[response(status = 503)]
    NotPublished,
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
