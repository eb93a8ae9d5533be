//! `POST /orders`: a whole order becomes its CREATE event.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use service_runtime::Problem;
use service_runtime::input::Body;

use super::created::{CreateResponses, create};
use super::write::WriteHeaders;
use crate::api::{NewOrderRequest, WriteParameters};
use crate::idempotency::{self, event_id};
use crate::new_order::NewOrder;
use crate::order;
use crate::state::AppState;

/// Makes a whole order.
#[utoipa::path(
    post, path = "/orders", request_body = NewOrderRequest,
    params(WriteParameters),
    responses(CreateResponses),
    tag = "orders",
)]
pub(super) async fn place_order(
    State(state): State<AppState>,
    WriteHeaders { key, prefer, trace }: WriteHeaders,
    mut body: Body,
) -> Result<Response, Problem> {
    let key = body.checked(key);
    let settings = &state.orders;
    let order = NewOrder::read(&mut body.fields(), &settings.order_id_prefix, settings.max_items);
    let (key, order) = body.finish(key.zip(order))?;

    let order_id = match &order.order_id {
        Some(chosen) => chosen.clone(),
        None => idempotency::order_id(&settings.order_id_prefix, key.as_ref()),
    };
    let id = event_id(&order_id, key.as_ref());
    let event = order::placed(&order_id, order, Timestamp::now());
    create(&state, &event, id, prefer, trace).await
}
