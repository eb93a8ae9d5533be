//! Asks the brokers, every few seconds, where the partitions end.

use std::sync::Arc;
use std::time::Duration;

use order_events::ClientLog;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::progress::{Obstacle, Progress};

const INTERVAL: Duration = Duration::from_secs(2);

/// Keeps lag and the state of the brokers known, until `stop`.
pub async fn watch(
    client: Arc<BaseConsumer<ClientLog>>,
    topic: Arc<str>,
    progress: Progress,
    stop: CancellationToken,
) {
    let mut away = false;
    let watch = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let (client, topic, progress) = (client.clone(), topic.clone(), progress.clone());
            let asked = spawn_blocking(move || ask(&client, &topic, &progress)).await;
            let now_away = asked.unwrap_or(false);
            match (away, now_away) {
                (false, true) => warn!("the brokers do not answer"),
                (true, false) => info!("the brokers answer again"),
                _ => {}
            }
            away = now_away;
        }
    };
    stop.run_until_cancelled(watch).await;
}

/// Returns whether the brokers are away.
fn ask(client: &BaseConsumer<ClientLog>, topic: &str, progress: &Progress) -> bool {
    for partition in progress.partitions() {
        match client.fetch_watermarks(topic, partition.partition, INTERVAL) {
            Ok((_, end)) => progress.end_at(partition.partition, end),
            Err(error) => {
                let reason = format!("the brokers do not answer ({error})");
                progress.set(Obstacle::Brokers, reason);
                return true;
            }
        }
    }
    progress.clear(Obstacle::Brokers);
    false
}
