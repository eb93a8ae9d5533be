//! Asks the brokers, every few seconds, where the partitions begin and end.

use std::sync::Arc;
use std::time::Duration;

use order_events::ClientLog;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::number;
use crate::status::{Obstacle, Status};

const INTERVAL: Duration = Duration::from_secs(2);

/// Keeps lag and the state of the brokers known, until `stop`.
///
/// # Errors
/// librdkafka refuses the settings.
pub(crate) async fn watch(
    config: &ClientConfig,
    topic: Arc<str>,
    status: Status,
    stop: CancellationToken,
) -> Result<(), KafkaError> {
    let client: Arc<BaseConsumer<ClientLog>> = Arc::new(config.create_with_context(ClientLog)?);
    let watch = async {
        let mut were_away = false;
        loop {
            let (client, topic, status) = (client.clone(), topic.clone(), status.clone());
            let away = spawn_blocking(move || ask(&client, &topic, &status)).await.unwrap_or(false);
            match (were_away, away) {
                (false, true) => warn!("the brokers do not answer"),
                (true, false) => info!("the brokers answer again"),
                _ => {}
            }
            were_away = away;
            tokio::time::sleep(INTERVAL).await;
        }
    };
    stop.run_until_cancelled(watch).await;
    Ok(())
}

/// Returns whether the brokers are away.
fn ask(client: &BaseConsumer<ClientLog>, topic: &str, status: &Status) -> bool {
    for partition in status.partitions() {
        match client.fetch_watermarks(topic, number(partition.partition), INTERVAL) {
            Ok((start, end)) => status.change(partition.partition, |status| {
                (status.start_offset, status.end_offset) = (start, end);
            }),
            // The changelog has more partitions than the events, which is told already.
            Err(error) if error.rdkafka_error_code() == Some(Code::UnknownPartition) => {}
            Err(error) => {
                status.set(Obstacle::Brokers, format!("the brokers do not answer ({error})"));
                return true;
            }
        }
    }
    status.clear(Obstacle::Brokers);
    false
}
