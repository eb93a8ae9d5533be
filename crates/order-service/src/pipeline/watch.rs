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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::*;

    const LEADERLESS: i32 = 0;
    const WRITTEN: usize = 2;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_partition_without_a_leader_hides_no_other() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("events", 3, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        producer.send(BaseRecord::<(), _>::to("events").partition(number(WRITTEN)).payload("x")).unwrap();
        producer.flush(Duration::from_secs(30)).unwrap();
        cluster.partition_leader("events", LEADERLESS, None).unwrap();

        let (status, stop) = (Status::new(10), CancellationToken::new());
        status.restoring(3);
        for partition in 0..3 {
            status.change(partition, |status| status.restored = true);
        }
        let watching = tokio::spawn({
            let (status, stop) = (status.clone(), stop.clone());
            async move { watch(&config, "events".into(), status, stop).await }
        });
        let asked = async {
            while status.partitions()[WRITTEN].end_offset != 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
        assert_eq!(status.unready_because(), None);
        stop.cancel();
        watching.await.unwrap().unwrap();
    }
}
