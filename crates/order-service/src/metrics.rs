//! What is consumed, how far, and how much is kept.

use std::collections::HashMap;
use std::time::Duration;

use order_events::Reason;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use service_runtime::metrics::{registered, registered_seconds};

use crate::event::outcome::Outcome;
use crate::view::ViewCell;
use crate::view::status::{PartitionStatus, Status};

/// Seconds; from a transaction on an idle broker to its time-out.
const TRANSACTION_BUCKETS: [f64; 11] = [0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
    /// Why it was dead-lettered; else empty.
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

/// The outcomes of a batch; they count when it is committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    applied: u64,
    unusual: u64,
    duplicate: u64,
    held: u64,
    dead_lettered: HashMap<Reason, u64>,
}

impl Counts {
    /// Counts what became of an event.
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Applied { unusual } => {
                self.applied += 1;
                self.unusual += u64::from(*unusual);
            }
            Outcome::Duplicate | Outcome::DuplicateOf(_) => self.duplicate += 1,
            Outcome::Held => self.held += 1,
            Outcome::DeadLettered(reason) => *self.dead_lettered.entry(*reason).or_default() += 1,
            Outcome::Other(_) | Outcome::NoEvent => {}
        }
    }

    /// Whether nothing was counted.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What the pipeline counts.
#[derive(Debug, Clone)]
pub(crate) struct EventMetrics {
    consumed: Family<OutcomeLabels, Counter>,
    unusual: Counter,
    transactions: Family<ResultLabel, Counter>,
    transaction_duration: Histogram,
    lost: Counter,
    cut: Counter,
    read_anew: Counter,
    processed_again: Counter,
    unreadable: Family<TopicLabel, Counter>,
    retried: Counter,
    stopped: Gauge,
}

impl EventMetrics {
    /// Adds these metrics, and gauges over `view` and `status`, to what is served on `/metrics`.
    pub(crate) fn register(registry: &mut Registry, view: ViewCell, status: Status) -> Self {
        let metrics = Self {
            consumed: registered(registry, "order_events_consumed", "Events consumed, by outcome"),
            unusual: registered(
                registry,
                "order_unusual_transitions",
                "Unusual changes of status that were applied",
            ),
            transactions: registered(registry, "order_transactions", "Kafka transactions, by result"),
            transaction_duration: registered_seconds(
                registry,
                "order_transaction_duration",
                "Time that a committed transaction took",
                Histogram::new(TRANSACTION_BUCKETS),
            ),
            lost: registered(
                registry,
                "order_events_lost",
                "Events that retention took before they were processed",
            ),
            cut: registered(
                registry,
                "order_events_cut",
                "Events that were processed and may not be in the log any more, since that lost its end; at most so many",
            ),
            read_anew: registered(
                registry,
                "order_changelog_read_anew",
                "Times that a partition of the changelog was read anew, since it seemed to lack what was committed",
            ),
            processed_again: registered(
                registry,
                "order_events_processed_again",
                "Events that are processed again, since the changelog lacks that they were; their dead letters may be doubled",
            ),
            unreadable: registered(
                registry,
                "order_unreadable_fetches",
                "Answers of brokers with records that are damaged, by topic",
            ),
            retried: registered(
                registry,
                "order_events_retried",
                "Failures of processing after which the event is tried again",
            ),
            stopped: registered(
                registry,
                "order_dead_letter_limit_reached",
                "1 if a partition is stopped since too many of its events became dead letters (DLQ_LIMIT)",
            ),
        };
        registry.register_collector(Box::new(Gauges { view, status }));
        metrics
    }

    pub(crate) fn consumed(&self, counts: &Counts) {
        let Counts { applied, unusual, duplicate, held, dead_lettered } = counts;
        self.unusual.inc_by(*unusual);
        for (outcome, count) in [("applied", applied), ("duplicate", duplicate), ("held", held)] {
            if *count > 0 {
                self.consumed.get_or_create(&OutcomeLabels { outcome, reason: "" }).inc_by(*count);
            }
        }
        for (reason, count) in dead_lettered {
            let labels = OutcomeLabels { outcome: "dead_lettered", reason: reason.as_str() };
            self.consumed.get_or_create(&labels).inc_by(*count);
        }
    }

    pub(crate) fn committed(&self, took: Duration) {
        self.transactions.get_or_create(&ResultLabel { result: "committed" }).inc();
        self.transaction_duration.observe(took.as_secs_f64());
    }

    pub(crate) fn failed(&self, result: &'static str) {
        self.transactions.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn retried(&self) {
        self.retried.inc();
    }

    pub(crate) fn stopped(&self, is_any: bool) {
        self.stopped.set(is_any.into());
    }

    pub(crate) fn unreadable(&self, topic: &str) {
        self.unreadable.get_or_create(&TopicLabel { topic: topic.to_owned() }).inc();
    }

    pub(crate) fn lost(&self, events: i64) {
        self.lost.inc_by(u64::try_from(events).unwrap_or(0));
    }

    pub(crate) fn read_anew(&self) {
        self.read_anew.inc();
    }

    pub(crate) fn processed_again(&self, events: i64) {
        self.processed_again.inc_by(u64::try_from(events).unwrap_or(0));
    }

    pub(crate) fn cut(&self, events: i64) {
        self.cut.inc_by(u64::try_from(events).unwrap_or(0));
    }
}

/// Read where they are kept when they are asked for, so they cannot be stale.
struct Gauges {
    view: ViewCell,
    status: Status,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

/// A gauge's name, its help, and where it is read.
type PartitionGauge = (&'static str, &'static str, fn(&PartitionStatus) -> i64);

const PARTITION_GAUGES: [PartitionGauge; 6] = [
    ("order_events_position", "Next offset to be processed", |partition| partition.position),
    ("order_events_lag", "Records that are not processed yet", |partition| partition.lag),
    (
        "order_events_unstable",
        "Records between the last stable offset and the high watermark: open transactions hide them",
        |partition| partition.unstable,
    ),
    (
        "order_events_hanging_transaction",
        "1 if a transaction has hidden records of the partition for more than 30 seconds",
        |partition| partition.hanging_transaction.is_some().into(),
    ),
    ("order_partition_active", "1 if this instance processes the partition", |partition| {
        partition.active.into()
    }),
    ("order_partition_stopped", "1 if DLQ_LIMIT has stopped the partition on this instance", |partition| {
        partition.stopped.is_some().into()
    }),
];

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let count = self.view.get().map_or(0, |view| view.store.count());
        let orders = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
        orders.encode(encoder.encode_descriptor(
            "orders",
            "Orders in memory",
            None,
            orders.metric_type(),
        )?)?;

        let bytes = self.view.get().map_or(0, |view| view.store.bytes());
        let bytes = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        bytes.encode(encoder.encode_descriptor(
            "orders",
            "Bytes of the orders in memory: their ids and states",
            Some(&Unit::Bytes),
            bytes.metric_type(),
        )?)?;

        let partitions = self.status.partitions();
        for (name, help, read) in PARTITION_GAUGES {
            let gauge_type = ConstGauge::new(0_i64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, gauge_type)?;
            for partition in &partitions {
                let labels = [("partition", partition.partition.to_string())];
                ConstGauge::new(read(partition)).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
