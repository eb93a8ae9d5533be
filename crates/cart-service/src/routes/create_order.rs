//! `POST /create-order`: an id and a number of items become a whole order and its CREATE event.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use service_runtime::Problem;
use service_runtime::input::Body;

use super::created::{CreateResponses, create};
use super::write::WriteHeaders;
use crate::api::{CreateOrderRequest, WriteParameters};
use crate::idempotency::event_id;
use crate::state::AppState;
use crate::{order, request};

/// Makes an order with an id and a number of items; the rest of it is made up.
#[utoipa::path(
    post, path = "/create-order", request_body = CreateOrderRequest,
    params(WriteParameters),
    responses(CreateResponses),
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
    let event = order::created(&order_id, items, id, Timestamp::now());
    create(&state, &event, id, prefer, trace).await
}
