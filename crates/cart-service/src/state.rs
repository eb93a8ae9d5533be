//! What the handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use prometheus_client::registry::Registry;

use crate::config::{Config, OrderSettings};
use crate::publisher::Publisher;

/// Cheap to clone: handles only.
#[derive(Clone)]
pub struct AppState {
    /// Which orders are taken.
    pub orders: Arc<OrderSettings>,
    /// The way to Kafka.
    pub publisher: Arc<Publisher>,
    metrics: Arc<Registry>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(config: &Config, publisher: Arc<Publisher>, metrics: Registry) -> Self {
        Self { orders: Arc::new(config.orders.clone()), publisher, metrics: Arc::new(metrics) }
    }
}

impl FromRef<AppState> for Arc<Registry> {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}
