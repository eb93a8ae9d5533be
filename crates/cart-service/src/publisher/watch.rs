//! Whether the brokers are there.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{LOG, Publisher};

/// How often the brokers are asked whether they are there, and how long they may take to answer.
const INTERVAL: Duration = Duration::from_secs(2);

/// Keeps what the publisher says of its health true to the brokers' state, until `stop`.
pub async fn watch_broker(publisher: Arc<Publisher>, stop: CancellationToken) {
    let watch = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if publisher.codec.get().is_none() {
                continue;
            }
            let asked = publisher.clone();
            let Ok(answer) = spawn_blocking(move || ask_brokers(&asked)).await else { continue };
            let obstacle = answer.err();
            match (publisher.obstacle.send_replace(obstacle.clone()), obstacle) {
                (None, Some(reason)) => warn!(target: LOG, reason, "cannot publish"),
                (Some(_), None) => info!(target: LOG, "can publish again"),
                _ => {}
            }
        }
    };
    stop.run_until_cancelled(watch).await;
}

/// Asks the brokers for the topic. It must have as many partitions as at the start, and a leader of each.
fn ask_brokers(publisher: &Publisher) -> Result<(), String> {
    let Publisher { producer, partitions, topic, .. } = publisher;
    let leaders = producer.leaders(topic, INTERVAL)?;
    if !leaders.is_empty() {
        partitions.seen(i32::try_from(leaders.len()).unwrap_or(i32::MAX));
        partitions.settled(topic)?;
    }
    if leaders.is_empty() || leaders.iter().any(|leader| *leader < 0) {
        return Err(format!("topic {topic} is not there, or has a partition without a leader"));
    }
    Ok(())
}
