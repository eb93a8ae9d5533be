//! The HTTP interface.

mod create_order;
mod health;
mod outcome;
mod update_order;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{get, post, put};
use order_events::headers::TRACEPARENT;
use order_events::{Position, TraceContext};
use serde::Serialize;
use service_runtime::observe;

use crate::state::AppState;

/// Every route of the service.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/create-order", post(create_order::create_order))
        .route("/update-order", put(update_order::update_order).post(update_order::update_order))
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

/// The trace that the request belongs to, one step on; or a new one.
fn trace(headers: &HeaderMap) -> TraceContext {
    let parent = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()?.parse::<TraceContext>().ok());
    parent.map_or_else(TraceContext::start, TraceContext::child)
}
