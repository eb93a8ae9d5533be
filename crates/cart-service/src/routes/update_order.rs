//! `PUT` and `POST /update-order`, `PATCH /orders/{orderId}`: a new status becomes an UPDATE event.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use order_events::{EventOutcome, OrderId, Status, TraceContext};
use serde::Serialize;
use service_runtime::input::{Body, Path};
use service_runtime::{Fault, Prefer, Problem};
use tracing::info;
use utoipa::{IntoResponses, ToSchema};

use super::Kafka;
use super::write::{WriteFailures, WriteHeaders, publish};
use crate::api::{PatchOrderRequest, UpdateOrderRequest, WriteParameters};
use crate::idempotency::{IdempotencyKey, event_id};
use crate::request::{ORDER_ID, parse_order_id};
use crate::state::AppState;
use crate::{order, request};

/// A new status is in the log.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Updated<'a> {
    message: &'static str,
    order_id: &'a str,
    update: StatusOf<'a>,
    order: StatusOf<'a>,
    event_id: String,
    kafka: Kafka,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<EventOutcome>,
}

/// An order's id and its new status.
#[derive(Serialize, ToSchema, Clone, Copy)]
#[serde(rename_all = "camelCase")]
struct StatusOf<'a> {
    order_id: &'a str,
    status: &'static str,
}

/// What a new status is answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
enum UpdateResponses {
    /// The event is in the log; with `Prefer: wait`, `outcome` tells what became of it.
    #[response(status = 200)]
    Updated(Updated<'static>),
    /// The time to wait is up: the event is in the log, but not processed yet.
    #[response(status = 202, headers(("location" = String, description = "Tells what becomes of the event.")))]
    Pending(Updated<'static>),
    /// `unknown-order`: only with `Prefer: wait`.
    #[response(status = 404)]
    UnknownOrder,
    /// `illegal-transition`: only with `Prefer: wait`.
    #[response(status = 409)]
    IllegalTransition,
}

/// Gives an order a new status.
#[utoipa::path(
    put, path = "/update-order", request_body = UpdateOrderRequest, params(WriteParameters),
    responses(UpdateResponses, WriteFailures),
    tag = "orders",
)]
pub(super) async fn update_order(
    State(state): State<AppState>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let mut fields = body.fields();
    let order_id = request::order_id(&mut fields, &state.orders.order_id_prefix);
    let status = request::status(&mut fields);
    let (key, change) = body.finish(key.zip(order_id.zip(status)))?;
    update(&state, change, key.as_ref(), prefer, trace).await
}

/// The same as PUT, for clients that have no other verb.
#[utoipa::path(
    post, path = "/update-order", request_body = UpdateOrderRequest, params(WriteParameters),
    responses(UpdateResponses, WriteFailures),
    tag = "orders",
)]
pub(super) async fn update_order_by_post(
    state: State<AppState>,
    headers: WriteHeaders,
    body: Body,
) -> Result<Response, Problem> {
    update_order(state, headers, body).await
}

/// Gives an order a new status.
#[utoipa::path(
    patch, path = "/orders/{orderId}", request_body = PatchOrderRequest,
    params(("orderId" = OrderId, Path, description = "Digits only get the prefix `ORD-`."),
        WriteParameters),
    responses(UpdateResponses, WriteFailures),
    tag = "orders",
)]
pub(super) async fn patch_order(
    State(state): State<AppState>,
    Path(order_id): Path<String>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let order_id = OrderId::parse(&order_id, &state.orders.order_id_prefix);
    let order_id = body.checked(order_id.map_err(|error| Fault::path("orderId", error.to_string())));
    let mut fields = body.fields();
    let status = request::status(&mut fields);
    let same = fields.optional(ORDER_ID, |value| {
        let in_body = parse_order_id(value, &state.orders.order_id_prefix)?;
        match &order_id {
            Some(in_path) if *in_path != in_body => Err(format!("is {value}, but the path says {in_path}")),
            _ => Ok(()),
        }
    });
    let order_id = order_id.zip(same).map(|(order_id, _)| order_id);
    let (key, change) = body.finish(key.zip(order_id.zip(status)))?;
    update(&state, change, key.as_ref(), prefer, trace).await
}

/// Publishes the UPDATE event of a new status, and tells the client of it.
async fn update(
    state: &AppState,
    (order_id, status): (OrderId, Status),
    key: Option<&IdempotencyKey>,
    prefer: Prefer,
    trace: TraceContext,
) -> Result<Response, Problem> {
    let event_id = event_id(&order_id, key);
    let event = order::updated(&order_id, status, Timestamp::now());
    let published = publish(state, &event, event_id, prefer, trace).await?;
    info!(order_id = order_id.as_str(), %status, %event_id, position = %published.position, "order updated");
    let code = published.status(StatusCode::OK);
    // What was changed, the client knows; what becomes of it, it may want to ask.
    let location = (code == StatusCode::ACCEPTED).then(|| published.location(state, order_id.as_str()));
    let update = StatusOf { order_id: order_id.as_str(), status: status.as_str() };
    let updated = Updated {
        message: "Order status update published",
        order_id: order_id.as_str(),
        update,
        order: update,
        event_id: event_id.to_string(),
        kafka: published.position.into(),
        outcome: published.outcome,
    };
    Ok((code, location.flatten(), prefer.applied(), Json(updated)).into_response())
}
