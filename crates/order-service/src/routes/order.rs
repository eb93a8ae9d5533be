//! `GET /order-details` and `GET /orders/{orderId}`: one order, as it is or as a certain event has left it.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use order_events::OrderId;
use serde::Serialize;
use service_runtime::{Conditional, Fault, Prefer, Problem};
use utoipa::ToSchema;

use crate::error;
use crate::order_view::OrderView;
use crate::processed::Known;
use crate::query::{Query, whole_number};
use crate::state::AppState;

const ORDER_ID: &[&str] = &["orderId", "order_id"];

/// The order's fields, and the same once more under `order`: clients look for them in either place.
#[derive(Serialize, ToSchema)]
struct Details {
    #[serde(flatten)]
    flat: OrderView,
    order: OrderView,
}

/// The place of an event: partition and offset.
type Place = (usize, i64);

/// One order, flat and once more under `order`.
#[utoipa::path(
    get, path = "/order-details",
    params(
        ("orderId" = OrderId, Query, description = "Also `order_id`. Digits only get the prefix `ORD-`."),
        ("position" = Option<String>, Query, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", example = "0:42", nullable = false,
            description = "`<partition>:<offset>`: the order as that event has left it."),
        ("Prefer" = Option<String>, Header, example = "wait=5", nullable = false,
            description = "With `position`: wait so many seconds, at most 30, for that event."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An `ETag`: 304 if nothing has changed."),
    ),
    responses(
        (status = 200, body = Details, description = "The order.", headers(("etag" = String))),
        (status = 304, description = "The client has it already.", headers(("etag" = String))),
        (status = 404, description = "`unknown-order`, `unknown-partition`."),
        (status = 503, description = "`not-ready`: the orders are being restored. `not-processed`: the event at `position` is not processed yet."),
    ),
    tag = "orders",
)]
pub(super) async fn order_details(
    State(state): State<AppState>,
    prefer: Prefer,
    conditional: Conditional,
    mut query: Query,
) -> Result<Response, Problem> {
    let place = place(&mut query);
    let order_id = query.required(ORDER_ID).and_then(|typed| {
        let parsed = OrderId::parse(&typed, &state.orders.order_id_prefix);
        query.checked(ORDER_ID[0], parsed.map_err(|error| error.to_string()))
    });
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
        ("position" = Option<String>, Query, pattern = "^[0-9]{1,9}:[0-9]{1,18}$", example = "0:42", nullable = false,
            description = "`<partition>:<offset>`: the order as that event has left it."),
        ("Prefer" = Option<String>, Header, example = "wait=5", nullable = false,
            description = "With `position`: wait so many seconds, at most 30, for that event."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An `ETag`: 304 if nothing has changed."),
    ),
    responses(
        (status = 200, body = OrderView, description = "The order.", headers(("etag" = String))),
        (status = 304, description = "The client has it already.", headers(("etag" = String))),
        (status = 404, description = "`unknown-order`, `unknown-partition`."),
        (status = 503, description = "`not-ready`: the orders are being restored. `not-processed`: the event at `position` is not processed yet."),
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
    let place = place(&mut query);
    let parsed = OrderId::parse(&typed, &state.orders.order_id_prefix);
    let order_id = query.noted(parsed.map_err(|error| Fault::path("orderId", error.to_string())));
    let (order_id, place) = query.finish(order_id.zip(place))?;
    let order = find(&state, order_id, place, prefer).await?;
    let applied = place.and_then(|_| prefer.applied());
    Ok((applied, conditional.answer(&order)).into_response())
}

/// The place of the event that the client has in mind, if it has one; `None` if that is wrong.
fn place(query: &mut Query) -> Option<Option<Place>> {
    match query.optional(&["position"]) {
        Some(position) => query.checked("position", parse_position(&position).map(Some)),
        None => Some(None),
    }
}

async fn find(
    state: &AppState,
    order_id: OrderId,
    place: Option<Place>,
    prefer: Prefer,
) -> Result<OrderView, Problem> {
    if let Some((partition, offset)) = place {
        await_event(state, partition, offset, prefer).await?;
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
async fn await_event(state: &AppState, partition: usize, offset: i64, prefer: Prefer) -> Result<(), Problem> {
    match state.known(partition, offset, prefer.wait(), |known| known != Known::Pending).await? {
        Some(Known::Pending) => Err(error::not_processed(&format!("{partition}:{offset}"))),
        Some(_) => Ok(()),
        None => Err(error::unknown_partition(&state.topic, partition)),
    }
}

/// Reads `<partition>:<offset>`.
fn parse_position(text: &str) -> Result<(usize, i64), String> {
    let expected = || format!("must be <partition>:<offset>, for example 0:42; this is {text:?}");
    let (partition, offset) = text.split_once(':').ok_or_else(expected)?;
    match (whole_number(partition).map(usize::try_from), whole_number(offset)) {
        (Ok(Ok(partition)), Ok(offset)) => Ok((partition, offset)),
        _ => Err(expected()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_partition_and_an_offset() {
        assert_eq!(parse_position("2:17"), Ok((2, 17)));
        for bad in ["", "2", "2:", ":17", "2:-1", "-1:2", "a:b", "2:1:7", "+2:1", "2:9223372036854775808"] {
            assert!(parse_position(bad).is_err(), "{bad}");
        }
    }
}
