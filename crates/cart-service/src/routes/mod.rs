//! The HTTP interface.

mod create_order;
mod created;
mod health;
mod place_order;
mod update_order;
mod write;

use axum::Router;
use axum::routing::{get, patch, post, put};
use order_events::Position;
use serde::Serialize;
use service_runtime::observe;

use crate::state::AppState;

/// Every route of the service.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/create-order", post(create_order::create_order))
        .route("/update-order", put(update_order::update_order).post(update_order::update_order))
        .route("/orders", post(place_order::place_order))
        .route("/orders/", post(place_order::place_order))
        .route("/orders/{orderId}", patch(update_order::patch_order))
        .route("/health", get(health::health))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(observe::metrics))
        .with_state(state)
}

/// Where an event is in Kafka.
#[derive(Debug, Serialize)]
struct Kafka {
    topic: String,
    partition: i32,
    offset: i64,
    /// `<partition>:<offset>`, as order-service takes it.
    position: String,
}

impl From<Position> for Kafka {
    fn from(Position { topic, partition, offset }: Position) -> Self {
        Self { topic, partition, offset, position: format!("{partition}:{offset}") }
    }
}
