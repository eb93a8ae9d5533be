//! What is consumed, how far, and how much is kept.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::outcome::Outcome;
use crate::progress::{PartitionProgress, Progress};
use crate::store::Store;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
    /// Why it was dead-lettered; else empty.
    reason: &'static str,
}

/// Counts events by what became of them.
#[derive(Debug, Clone)]
pub struct EventMetrics {
    consumed: Family<OutcomeLabels, Counter>,
    unusual: Counter,
}

impl EventMetrics {
    /// Adds these metrics, and gauges over `store` and `progress`, to what is served on `/metrics`.
    pub fn register(registry: &mut Registry, store: Store, progress: Progress) -> Self {
        let metrics = Self { consumed: Family::default(), unusual: Counter::default() };
        registry.register("order_events_consumed", "Events consumed, by outcome", metrics.consumed.clone());
        registry.register(
            "order_unusual_transitions",
            "Unusual changes of status that were applied",
            metrics.unusual.clone(),
        );
        registry.register_collector(Box::new(Gauges { store, progress }));
        metrics
    }

    pub(crate) fn consumed(&self, outcome: &Outcome) {
        let reason = match outcome {
            Outcome::DeadLettered(rejection) => rejection.reason.as_str(),
            _ => "",
        };
        self.consumed.get_or_create(&OutcomeLabels { outcome: outcome.name(), reason }).inc();
        if *outcome == (Outcome::Applied { unusual: true }) {
            self.unusual.inc();
        }
    }
}

/// Read where they are kept when they are asked for, so they cannot be stale.
struct Gauges {
    store: Store,
    progress: Progress,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

/// A gauge's name, its help, and where it is read.
type PartitionGauge = (&'static str, &'static str, fn(&PartitionProgress) -> i64);

const PARTITION_GAUGES: [PartitionGauge; 2] = [
    ("order_events_position", "Next offset to be processed", |partition| partition.position),
    ("order_events_lag", "Records that are not processed yet", |partition| partition.lag),
];

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let orders = ConstGauge::new(i64::try_from(self.store.count()).unwrap_or(i64::MAX));
        orders.encode(encoder.encode_descriptor(
            "orders",
            "Orders in memory",
            None,
            orders.metric_type(),
        )?)?;

        let partitions = self.progress.partitions();
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
