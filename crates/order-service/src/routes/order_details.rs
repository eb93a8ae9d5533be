//! `GET /order-details`: one order.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use order_events::OrderId;
use serde::Serialize;
use service_runtime::Problem;

use crate::error;
use crate::order_view::OrderView;
use crate::query::Query;
use crate::state::AppState;

const ORDER_ID: &[&str] = &["orderId", "order_id"];

/// The order's fields, and the same once more under `order`: clients look for them in either place.
#[derive(Serialize)]
struct Details {
    #[serde(flatten)]
    flat: OrderView,
    order: OrderView,
}

pub(super) async fn order_details(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<Response, Problem> {
    let order_id = query.required(ORDER_ID).and_then(|typed| {
        let parsed = OrderId::parse(&typed, &state.orders.order_id_prefix);
        query.checked(ORDER_ID[0], parsed.map_err(|error| error.to_string()))
    });
    let order_id = query.finish(order_id)?;
    match state.view()?.store.order(order_id.as_str()).map_err(error::internal)? {
        Some(order) => {
            let view = OrderView::new(order_id.into_string(), order, state.orders.shipping_rate);
            Ok(Json(Details { flat: view.clone(), order: view }).into_response())
        }
        None => {
            // Before everything is restored, a missing order may exist.
            state.restored_view()?;
            Err(error::unknown_order(order_id.as_str()))
        }
    }
}
