//! `POST /create-order`: an id and a number of items become a whole order and its CREATE event.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use service_runtime::Problem;

use super::created::{Created, create};
use super::write::WriteHeaders;
use crate::api::{CreateOrderRequest, WriteParameters};
use crate::idempotency::event_id;
use crate::order;
use crate::request::Body;
use crate::state::AppState;

/// Makes an order with an id and a number of items; the rest of it is made up.
#[utoipa::path(
    post, path = "/create-order", request_body = CreateOrderRequest,
    params(WriteParameters),
    responses(
        (status = 201, description = "The event is in the log; with `Prefer: wait`, `outcome` tells what became of it.",
            body = Created<'_>, headers(("location" = String, description = "The order, at order-service."))),
        (status = 202, description = "The time to wait is up: the event is in the log, but not processed yet.",
            body = Created<'_>, headers(("location" = String, description = "Tells what becomes of the event."))),
        (status = 409, description = "`duplicate-order`: only with `Prefer: wait`."),
        (status = 422, description = "`idempotency-key-reused`: only with `Prefer: wait`."),
        (status = 500, description = "`dead-lettered`: only with `Prefer: wait`."),
        (status = 503, description = "`not-published`: the event is not in the log. `delivery-unknown`: it may be."),
    ),
    tag = "orders",
)]
pub(super) async fn create_order(
    State(state): State<AppState>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let mut fields = body.fields();
    let order_id = fields.order_id(&state.orders.order_id_prefix);
    let items = fields.items_count(state.orders.max_items);
    let (key, (order_id, items)) = body.finish(key.zip(order_id.zip(items)))?;

    let id = event_id(&order_id, key.as_ref());
    let event = order::created(&order_id, items, id, Timestamp::now());
    create(&state, &event, id, prefer, trace).await
}
