//! `GET /order-details` and `GET /orders/{orderId}`: one order, as it is or as a certain event has left it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use order_events::position::NoPlace;
use order_events::{OrderId, Place};
use serde::Serialize;
use service_runtime::input::{Path, Query};
use service_runtime::{Conditional, Fault, Prefer, Problem};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::ORDER_ID;
use crate::error;
use crate::order_view::OrderView;
use crate::processed::Known;
use crate::state::AppState;

const POSITION: &[&str] = &["position"];

/// The order's fields, and the same once more under `order`: clients look for them in either place.
#[derive(Serialize, ToSchema)]
struct Details {
    #[serde(flatten)]
    flat: OrderView,
    order: OrderView,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "only described")]
struct OrderQuery {
    /// `<partition>:<offset>`: the order as that event has left it.
    #[param(pattern = "^[0-9]{1,9}:[0-9]{1,18}$", example = "0:42", nullable = false, required = false)]
    position: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only described")]
struct OrderHeaders {
    /// With `position`: wait so many seconds, at most 30, for that event.
    #[param(rename = "Prefer", example = "wait=5", nullable = false, required = false)]
    prefer: Option<String>,
    /// An `ETag`: 304 if nothing has changed.
    #[param(rename = "If-None-Match", nullable = false, required = false)]
    if_none_match: Option<String>,
}

/// What a read of one order is answered with when it is not that order.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "only described")]
enum OtherResponses {
    /// The client has it already.
    #[response(status = 304, headers(("etag" = String)))]
    NotModified,
    /// `unknown-order`, `unknown-partition`.
    #[response(status = 404)]
    Unknown,
    /// `not-ready`: the orders are being restored. `not-processed`: the event at `position` is not processed yet.
    #[response(status = 503)]
    NotReady,
}

/// One order, flat and once more under `order`.
#[utoipa::path(
    get, path = "/order-details",
    params(
        ("orderId" = OrderId, Query, description = "Also `order_id`. Digits only get the prefix `ORD-`."),
        OrderQuery,
        OrderHeaders,
    ),
    responses(
        (status = 200, body = Details, description = "The order.", headers(("etag" = String))),
        OtherResponses,
    ),
    tag = "orders",
)]
pub(super) async fn order_details(
    State(state): State<AppState>,
    prefer: Prefer,
    conditional: Conditional,
    mut query: Query,
) -> Result<Response, Problem> {
    let place = query.optional(POSITION, parse_position);
    let order_id = query.required(ORDER_ID, |typed| state.order_id(typed));
    let (order_id, place) = query.finish(order_id.zip(place))?;
    let order = find(&state, order_id, place, prefer).await?;
    let applied = place.and_then(|_| prefer.applied());
    Ok((applied, conditional.answer(&Details { flat: order.clone(), order })).into_response())
}

/// One order.
#[utoipa::path(
    get, path = "/orders/{orderId}",
    params(
        ("orderId" = OrderId, Path, description = "Digits only get the prefix `ORD-`."),
        OrderQuery,
        OrderHeaders,
    ),
    responses(
        (status = 200, body = OrderView, description = "The order.", headers(("etag" = String))),
        OtherResponses,
    ),
    tag = "orders",
)]
pub(super) async fn order(
    State(state): State<AppState>,
    Path(typed): Path<String>,
    prefer: Prefer,
    conditional: Conditional,
    mut query: Query,
) -> Result<Response, Problem> {
    let place = query.optional(POSITION, parse_position);
    let order_id = query.checked(state.order_id(&typed).map_err(|detail| Fault::path("orderId", detail)));
    let (order_id, place) = query.finish(order_id.zip(place))?;
    let order = find(&state, order_id, place, prefer).await?;
    let applied = place.and_then(|_| prefer.applied());
    Ok((applied, conditional.answer(&order)).into_response())
}

async fn find(
    state: &AppState,
    order_id: OrderId,
    place: Option<Place>,
    prefer: Prefer,
) -> Result<OrderView, Problem> {
    if let Some(place) = place {
        await_event(state, place, prefer).await?;
    }
    match state.view()?.store.order(order_id.as_str()).map_err(error::internal)? {
        Some(order) => Ok(OrderView::new(order_id.into_string(), order, state.orders.shipping_rate)),
        None => {
            // Before everything is restored, a missing order may exist.
            state.restored_view()?;
            Err(error::unknown_order(order_id.as_str()))
        }
    }
}

/// Waits until the order is as the event at that place has left it.
async fn await_event(state: &AppState, place: Place, prefer: Prefer) -> Result<(), Problem> {
    match state.known(place, prefer.wait(), |known| *known != Known::Pending).await? {
        Some(Known::Pending) => Err(error::not_processed(place)),
        Some(_) => Ok(()),
        None => Err(error::unknown_partition(&state.topic, place.partition)),
    }
}

fn parse_position(text: &str) -> Result<Place, String> {
    text.parse().map_err(|error: NoPlace| format!("{error}; this is {text:?}"))
}
