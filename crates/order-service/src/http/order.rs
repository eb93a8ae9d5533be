//! `GET /order-details` and `GET /orders/{orderId}`: one order, as it is or as a certain event has left it.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use order_events::{CreateOrderPayload, OrderId, Place};
use serde::Serialize;
use service_runtime::input::{Path, Query};
use service_runtime::{Conditional, Fault, Prefer, Problem};
use utoipa::{IntoParams, IntoResponses, ToSchema};

use super::{ORDER_ID, order_position};
use crate::http::error;
use crate::http::order_view::OrderView;
use crate::http::state::AppState;
use crate::view::View;

/// The order's fields, and the same once more under `order`: clients look for them in either place.
#[derive(Serialize, ToSchema)]
struct Details {
    #[serde(flatten)]
    flat: OrderView,
    order: OrderView,
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
    #[response(status = 304, headers(("etag" = String), ("order-position" = String)))]
    NotModified,
    /// `unknown-order`, `unknown-partition`.
    #[response(status = 404, headers(("order-position" = String)))]
    Unknown,
    /// `not-ready`: the orders of its partition, or of all for one that is not found, are being restored. `not-processed`: the event at `position` is not processed yet.
    #[response(status = 503)]
    NotReady,
}

/// One order, flat and once more under `order`.
#[utoipa::path(
    get, path = "/order-details",
    params(
        ("orderId" = OrderId, Query, description = "Also `order_id`. Digits only get the prefix `ORD-`."),
        order_position::PositionQuery,
        OrderHeaders,
    ),
    responses(
        (status = 200, body = Details, description = "The order.", headers(("etag" = String), ("order-position" = String))),
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
    let places = order_position::read(&mut query);
    let order_id = query.required(ORDER_ID, |typed| state.order_id(typed));
    let (order_id, places) = query.finish(order_id.zip(places))?;
    let details = |order: OrderView| Details { flat: order.clone(), order };
    answer(&state, order_id, &places, (prefer, conditional), details).await
}

/// One order.
#[utoipa::path(
    get, path = "/orders/{orderId}",
    params(
        ("orderId" = OrderId, Path, description = "Digits only get the prefix `ORD-`."),
        order_position::PositionQuery,
        OrderHeaders,
    ),
    responses(
        (status = 200, body = OrderView, description = "The order.", headers(("etag" = String), ("order-position" = String))),
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
    let places = order_position::read(&mut query);
    let order_id = query.checked(state.order_id(&typed).map_err(|detail| Fault::path("orderId", detail)));
    let (order_id, places) = query.finish(order_id.zip(places))?;
    answer(&state, order_id, &places, (prefer, conditional), |order| order).await
}

/// What is known of an order, in the form of `view`, if it is as new as `places`.
async fn answer<T: Serialize>(
    state: &AppState,
    order_id: OrderId,
    places: &[Place],
    (prefer, conditional): (Prefer, Conditional),
    view: impl FnOnce(OrderView) -> T,
) -> Result<Response, Problem> {
    order_position::reach(state, places, prefer).await?;
    let (reached, order) = find(state, &order_id)?;
    let position = order_position::header(&reached);
    let Some(order) = order else {
        return Ok((position, error::unknown_order(order_id.as_str())).into_response());
    };
    let order = OrderView::new(order_id.into_string(), order, state.orders.shipping_rate);
    let applied = prefer.applied().filter(|_| !places.is_empty());
    Ok((applied, position, conditional.answer(&view(order))).into_response())
}

/// The order, and what of the log that shows: of its partition, or of all if there is no such order.
fn find(state: &AppState, order_id: &OrderId) -> Result<(Vec<Place>, Option<CreateOrderPayload>), Problem> {
    let View { store, processed } = state.view()?;
    let own = store.partition_of(order_id.as_str());
    state.restored(own)?;
    // Before the store is read: it is at least that new then.
    let reached = processed.reached();
    let of = |partition: usize| {
        let is_of = |place: &Place| usize::try_from(place.partition) == Ok(partition);
        reached.iter().copied().filter(is_of).collect()
    };
    if let Some(order) = store.order_in(own, order_id.as_str()).map_err(error::internal)? {
        return Ok((of(own), Some(order)));
    }
    // A peer with another partitioner may have put it into any other.
    state.restored_view()?;
    match store.locate(order_id.as_str()).map_err(error::internal)? {
        Some((partition, order)) => Ok((of(partition), Some(order))),
        None => Ok((reached, None)),
    }
}
