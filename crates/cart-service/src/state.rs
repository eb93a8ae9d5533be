//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use prometheus_client::registry::Registry;

use crate::order_service::OrderService;
use crate::publisher::Publisher;
use crate::settings::OrderSettings;

/// Cheap to clone: handles only.
#[derive(Clone)]
pub(crate) struct AppState {
    /// Which orders are taken.
    pub orders: Arc<OrderSettings>,
    /// The way to Kafka.
    pub publisher: Arc<Publisher>,
    /// Knows what became of events.
    pub order_service: OrderService,
    /// How long a request waits for that if it says nothing of it.
    pub default_wait: Duration,
    /// What is served on `/metrics`.
    pub metrics: Arc<Registry>,
}

impl FromRef<AppState> for Arc<Registry> {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}
