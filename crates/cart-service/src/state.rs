//! What the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use prometheus_client::registry::Registry;

use crate::config::{Config, OrderSettings};
use crate::order_service::OrderService;
use crate::publisher::Publisher;

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
    metrics: Arc<Registry>,
}

impl AppState {
    /// Puts the parts together.
    pub(crate) fn new(
        config: &Config,
        publisher: Arc<Publisher>,
        order_service: OrderService,
        metrics: Registry,
    ) -> Self {
        Self {
            orders: Arc::new(config.settings.orders.clone()),
            publisher,
            order_service,
            default_wait: config.settings.outcomes.default_wait,
            metrics: Arc::new(metrics),
        }
    }
}

impl FromRef<AppState> for Arc<Registry> {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}
