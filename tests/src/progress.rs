//! How far an order-service is.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::service::Service;
use crate::wait::eventually;

impl Service {
    /// Its partitions as `/health` shows them.
    pub async fn partitions(&self) -> Vec<Value> {
        self.get("/health").await.json["partitions"].as_array().cloned().unwrap_or_default()
    }

    /// How many partitions it processes.
    pub async fn active(&self) -> usize {
        self.partitions().await.iter().filter(|partition| partition["active"] == true).count()
    }

    /// How far the events are processed, as it knows: the next offsets of all partitions together.
    pub async fn position(&self) -> i64 {
        self.partitions().await.iter().filter_map(|partition| partition["position"].as_i64()).sum()
    }

    /// Waits until it processes so many partitions.
    pub async fn processing(&self, partitions: usize) {
        let what = format!("it processes {partitions} partitions: {}", self.log_path().display());
        eventually(&what, async || (self.active().await == partitions).then_some(())).await;
    }

    /// Waits until it has so many orders.
    pub async fn shows(&self, orders: u32) {
        let what = format!("it has {orders} orders: {}", self.log_path().display());
        eventually(&what, async || {
            (self.get("/health").await.json["orders_in_memory"] == orders).then_some(())
        })
        .await;
    }

    /// Waits until it shows events that it does not show now; gives the time that took. There must be a load.
    pub async fn goes_on(&self) -> Duration {
        let (began, before) = (Instant::now(), self.position().await);
        let what = format!("it goes on: {}", self.log_path().display());
        eventually(&what, async || (self.position().await > before).then_some(())).await;
        began.elapsed()
    }
}
