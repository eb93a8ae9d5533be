//! Asks the brokers where the partitions begin and end: every few seconds, and when the pipeline wants to know.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use order_events::ClientLog;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::log_ends::{EndSeen, LogEnds};
use super::look;
use super::number;
use super::stable_offset::StableOffset;
use crate::view::status::{HangingTransaction, Obstacle, PartitionStatus, Status};

const INTERVAL: Duration = Duration::from_secs(2);

/// Between two rounds at the least: updates whose time is over may come one after the other.
const LEAST_INTERVAL: Duration = Duration::from_millis(100);

/// Once a partition of a round has not answered, others that do not are given up earlier: each of them keeps the
/// others waiting.
const NEXT_TIMEOUT: Duration = Duration::from_millis(500);

/// Keeps lag, the ends of the logs and the state of the brokers known, until `stop`.
///
/// # Errors
/// librdkafka refuses the settings.
pub(crate) async fn watch(
    config: &ClientConfig,
    topic: Arc<str>,
    status: Status,
    ends: LogEnds,
    stop: CancellationToken,
) -> Result<(), KafkaError> {
    let mut watcher = Watcher::new(config, topic, status, ends.clone())?;
    let watch = async {
        loop {
            let asked = spawn_blocking(move || {
                watcher.ask();
                watcher
            });
            match asked.await {
                Ok(back) => watcher = back,
                // The runtime shuts down.
                Err(_) => break,
            }
            tokio::time::sleep(LEAST_INTERVAL).await;
            let _ = tokio::time::timeout(INTERVAL - LEAST_INTERVAL, ends.wanted()).await;
        }
    };
    stop.run_until_cancelled(watch).await;
    Ok(())
}

struct Watcher {
    /// Is told the last stable offsets: what is behind them cannot be read yet.
    committed: BaseConsumer<ClientLog>,
    /// Is told the high watermarks: everything that all in-sync replicas have.
    uncommitted: BaseConsumer<ClientLog>,
    servers: String,
    topic: Arc<str>,
    status: Status,
    ends: LogEnds,
    stable: Vec<StableOffset>,
    are_away: bool,
    was_hanging: bool,
}

impl Watcher {
    fn new(
        config: &ClientConfig,
        topic: Arc<str>,
        status: Status,
        ends: LogEnds,
    ) -> Result<Self, KafkaError> {
        let client = |level| config.clone().set("isolation.level", level).create_with_context(ClientLog);
        Ok(Self {
            committed: client("read_committed")?,
            uncommitted: client("read_uncommitted")?,
            servers: config.get("bootstrap.servers").unwrap_or_default().to_owned(),
            topic,
            stable: vec![StableOffset::default(); status.partitions().len()],
            status,
            ends,
            are_away: false,
            was_hanging: false,
        })
    }

    /// Asks for every partition, also behind one that does not answer.
    fn ask(&mut self) {
        match look::leaders(&self.committed, &self.topic) {
            Ok(leaders) => {
                let failed = self.ask_all(&leaders);
                self.tell_failures(&failed);
            }
            Err(error) => self.tell_away(&error.to_string()),
        }
        self.tell_hanging();
    }

    /// Asks the leaders. Gives the partitions that do not answer, with the reason. There may be fewer than orders have,
    /// which is told elsewhere.
    fn ask_all(&mut self, leaders: &[bool]) -> Vec<(usize, String)> {
        let mut failed = Vec::new();
        for (index, has_leader) in leaders.iter().enumerate().take(self.stable.len()) {
            let timeout = if failed.is_empty() { INTERVAL } else { NEXT_TIMEOUT };
            let asked = match has_leader {
                true => self.ask_one(index, timeout).map_err(|error| error.to_string()),
                false => Err("it has no leader".to_owned()),
            };
            if let Err(reason) = asked {
                debug!(partition = index, reason, "a partition's offsets cannot be had");
                failed.push((index, reason));
            }
        }
        failed
    }

    fn ask_one(&mut self, index: usize, timeout: Duration) -> Result<(), KafkaError> {
        let ask = |client: &BaseConsumer<_>| client.fetch_watermarks(&self.topic, number(index), timeout);
        let asked_at = Timestamp::now().as_millisecond();
        let (start, stable) = ask(&self.committed)?;
        self.ends.note(index, EndSeen { offset: stable, asked_at });
        let (_, high_watermark) = ask(&self.uncommitted)?;
        let stood = self.stable[index].observe(stable, high_watermark, Instant::now());
        let since = stood.map(|stood| Timestamp::now().checked_sub(stood).unwrap_or_default());
        self.status.change(index, |status| {
            (status.start_offset, status.end_offset) = (start, stable);
            status.unstable = (high_watermark - stable).max(0);
            let known = status.hanging_transaction.take().filter(|known| known.offset == stable);
            status.hanging_transaction =
                since.map(|since| known.unwrap_or(HangingTransaction { offset: stable, since }));
        });
        Ok(())
    }

    fn tell_failures(&mut self, failed: &[(usize, String)]) {
        let Some((_, reason)) = failed.first() else {
            self.tell_back();
            self.status.clear(Obstacle::Leaders);
            return;
        };
        if failed.len() == self.stable.len() {
            return self.tell_away(reason);
        }
        self.tell_back();
        let partitions: Vec<String> = failed.iter().map(|(index, _)| index.to_string()).collect();
        let reason = format!(
            "no leader answers for these partitions of {}: {} ({reason})",
            self.topic,
            partitions.join(", ")
        );
        self.status.set(Obstacle::Leaders, reason);
    }

    fn tell_away(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.are_away, true) {
            warn!(reason, "the brokers do not answer");
        }
        self.status.clear(Obstacle::Leaders);
        self.status.set(Obstacle::Brokers, format!("the brokers do not answer ({reason})"));
    }

    fn tell_back(&mut self) {
        if std::mem::replace(&mut self.are_away, false) {
            info!("the brokers answer again");
        }
        self.status.clear(Obstacle::Brokers);
    }

    fn tell_hanging(&mut self) {
        let told: Vec<String> =
            self.status.partitions().iter().filter_map(|status| self.hanging(status)).collect();
        match (self.was_hanging, told.first()) {
            (false, Some(first)) => warn!("{first}"),
            (true, None) => info!("no transaction hides events any more"),
            _ => {}
        }
        self.was_hanging = !told.is_empty();
        if self.was_hanging {
            self.status.set(Obstacle::HangingTransaction, told.join("; "));
        } else {
            self.status.clear(Obstacle::HangingTransaction);
        }
    }

    fn hanging(&self, partition: &PartitionStatus) -> Option<String> {
        let HangingTransaction { offset, since } = partition.hanging_transaction.as_ref()?;
        let (topic, servers, unstable, partition) =
            (&self.topic, &self.servers, partition.unstable, partition.partition);
        Some(format!(
            "an open transaction hides partition {partition} of {topic} from offset {offset} on ({unstable} records) since \
             {since:.0}: kafka-transactions.sh --bootstrap-server {servers} find-hanging --topic {topic} --partition {partition}"
        ))
    }
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
            async move { watch(&config, "events".into(), status, LogEnds::default(), stop).await }
        });
        let asked = async {
            while status.partitions()[WRITTEN].end_offset != 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap();
        assert_eq!(status.unready_because(), None);
        let leaderless = async {
            while status.obstacles().first().is_none_or(|obstacle| obstacle.kind != Obstacle::Leaders) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), leaderless).await.unwrap();
        assert_eq!(status.unready_because(), None);
        stop.cancel();
        watching.await.unwrap().unwrap();
    }
}
