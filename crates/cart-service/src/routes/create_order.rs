//! `POST /create-order`: an id and a number of items become an order; `POST /orders`: a whole order. Both become a
//! CREATE event.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use order_events::{CreateOrderPayload, EventOutcome, OrderEvent, Payload, TraceContext};
use serde::Serialize;
use service_runtime::input::Body;
use service_runtime::{Prefer, Problem};
use tracing::info;
use utoipa::{IntoResponses, ToSchema};

use super::Kafka;
use super::write::{WriteFailures, WriteHeaders, publish};
use crate::api::{CreateOrderRequest, NewOrderRequest, WriteParameters};
use crate::idempotency::{self, EventId, event_id};
use crate::new_order::NewOrder;
use crate::state::AppState;
use crate::{order, request};

/// An order as clients see it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OrderView<'a> {
    order_id: &'a str,
    #[serde(flatten)]
    payload: &'a CreateOrderPayload,
}

impl<'a> OrderView<'a> {
    /// The order in a CREATE event; `None` for an UPDATE.
    fn of(event: &'a OrderEvent) -> Option<Self> {
        match &event.payload {
            Payload::Create(payload) => Some(Self { order_id: &event.order_id, payload }),
            Payload::Update(_) => None,
        }
    }
}

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

/// What a new order is answered with.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
enum CreateResponses {
    /// The event is in the log; with `Prefer: wait`, `outcome` tells what became of it.
    #[response(status = 201, headers(("location" = String, description = "The order, at order-service.")))]
    Created(Created<'static>),
    /// The time to wait is up: the event is in the log, but not processed yet.
    #[response(status = 202, headers(("location" = String, description = "Tells what becomes of the event.")))]
    Pending(Created<'static>),
    /// `duplicate-order`: only with `Prefer: wait`.
    #[response(status = 409)]
    Duplicate,
}

/// Makes an order with an id and a number of items; the rest of it is made up.
#[utoipa::path(
    post, path = "/create-order", request_body = CreateOrderRequest,
    params(WriteParameters),
    responses(CreateResponses, WriteFailures),
    tag = "orders",
)]
pub(super) async fn create_order(
    State(state): State<AppState>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let mut fields = body.fields();
    let order_id = request::order_id(&mut fields, &state.orders.order_id_prefix);
    let items = request::items_count(&mut fields, state.orders.max_items);
    let (key, (order_id, items)) = body.finish(key.zip(order_id.zip(items)))?;

    let id = event_id(&order_id, key.as_ref());
    let event = order::created(&order_id, items, id.uuid, Timestamp::now());
    create(&state, &event, id, prefer, trace).await
}

/// Makes a whole order.
#[utoipa::path(
    post, path = "/orders", request_body = NewOrderRequest,
    params(WriteParameters),
    responses(CreateResponses, WriteFailures),
    tag = "orders",
)]
pub(super) async fn place_order(
    State(state): State<AppState>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let settings = &state.orders;
    let mut fields = body.fields();
    let chosen = request::chosen_order_id(&mut fields, &settings.order_id_prefix);
    let order = NewOrder::read(&mut fields, settings.max_items);
    let (key, (chosen, order)) = body.finish(key.zip(chosen.zip(order)))?;

    let order_id = chosen.unwrap_or_else(|| idempotency::order_id(&settings.order_id_prefix, key.as_ref()));
    let id = event_id(&order_id, key.as_ref());
    let event = order::placed(&order_id, order, Timestamp::now());
    create(&state, &event, id, prefer, trace).await
}

/// Publishes the CREATE `event` of a new order, and tells the client of it.
async fn create(
    state: &AppState,
    event: &OrderEvent,
    event_id: EventId,
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
