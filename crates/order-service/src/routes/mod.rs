//! The HTTP interface.

mod dead_letters;
mod event_outcome;
mod health;
mod order_details;
mod order_ids;
mod redrive;

use axum::Router;
use axum::routing::{get, post};
use service_runtime::observe;

use crate::state::AppState;

/// Every route of the service.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/order-details", get(order_details::order_details))
        .route("/getAllOrderIdsFromTopic", get(order_ids::all_order_ids))
        .route("/events/{topic}/{partition}/{offset}", get(event_outcome::event_outcome))
        .route("/dlq/stats", get(dead_letters::stats))
        .route("/dlq/messages", get(dead_letters::list))
        .route("/dlq/messages/{dlq_offset}", get(dead_letters::one))
        .route("/dlq/messages/{dlq_offset}/redrive", post(redrive::one))
        .route("/dlq/redrive", post(redrive::some))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(observe::metrics))
        .with_state(state)
}
