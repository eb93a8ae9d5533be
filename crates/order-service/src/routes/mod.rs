//! The HTTP interface.

mod event_outcome;
mod health;
mod order;
mod order_ids;
mod orders;
mod pages;

use axum::Router;
use axum::routing::get;
use service_runtime::observe;

use crate::state::AppState;

/// Every route of the service.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/order-details", get(order::order_details))
        .route("/getAllOrderIdsFromTopic", get(order_ids::all_order_ids))
        .route("/orders", get(orders::orders))
        .route("/orders/", get(orders::orders))
        .route("/orders/{orderId}", get(order::order))
        .route("/events/{topic}/{partition}/{offset}", get(event_outcome::event_outcome))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(observe::metrics))
        .with_state(state)
}
