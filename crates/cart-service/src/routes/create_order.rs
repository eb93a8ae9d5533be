//! `POST /create-order`: an id and a number of items become a whole order and its CREATE event.

use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use service_runtime::Problem;

use super::created::create;
use super::write::WriteHeaders;
use crate::idempotency::event_id;
use crate::order;
use crate::request::Body;
use crate::state::AppState;

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
