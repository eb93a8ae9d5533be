//! What the handlers share.

use std::sync::Arc;

use axum::extract::FromRef;
use prometheus_client::registry::Registry;

use crate::config::{Config, OrderSettings};
use crate::progress::Progress;
use crate::store::Store;

/// Cheap to clone: handles only.
#[derive(Clone)]
pub struct AppState {
    /// How orders are shown.
    pub orders: Arc<OrderSettings>,
    /// The topic whose orders these are.
    pub topic: Arc<str>,
    /// The orders.
    pub store: Store,
    /// How far the events are read.
    pub progress: Progress,
    metrics: Arc<Registry>,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(config: &Config, store: Store, progress: Progress, metrics: Registry) -> Self {
        Self {
            orders: Arc::new(config.orders.clone()),
            topic: config.topics.order_topic.as_str().into(),
            store,
            progress,
            metrics: Arc::new(metrics),
        }
    }
}

impl FromRef<AppState> for Arc<Registry> {
    fn from_ref(state: &AppState) -> Self {
        state.metrics.clone()
    }
}
