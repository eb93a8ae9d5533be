//! What is published, by outcome.

use std::time::Duration;

use order_events::EventType;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use service_runtime::metrics::{registered, registered_seconds};

use super::error::{DeliveryReport, PublishError};

/// Seconds; from one broker nearby to the longest delivery time-out that is usual.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    event_type: &'static str,
    outcome: &'static str,
}

/// Counts events by what became of them, and times those that were delivered.
#[derive(Debug, Clone)]
pub(super) struct PublisherMetrics {
    published: Family<Labels, Counter>,
    delivery: Histogram,
}

impl PublisherMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            published: registered(
                registry,
                "order_events_published",
                "Events given to Kafka, by outcome; only delivered ones were answered with 2xx",
            ),
            delivery: registered_seconds(
                registry,
                "order_event_delivery",
                "Time from an event to its delivery report",
                Histogram::new(BUCKETS),
            ),
        }
    }

    pub(super) fn published(&self, event_type: EventType, outcome: &DeliveryReport, elapsed: Duration) {
        if outcome.is_ok() {
            self.delivery.observe(elapsed.as_secs_f64());
        }
        let labels = Labels { event_type: event_type.as_str(), outcome: label(outcome) };
        self.published.get_or_create(&labels).inc();
    }
}

fn label(outcome: &DeliveryReport) -> &'static str {
    match outcome {
        Ok(_) => "delivered",
        Err(PublishError::Unknown(_)) => "unknown",
        Err(PublishError::NotReady(_)) => "not_ready",
        Err(PublishError::QueueFull) => "queue_full",
        Err(PublishError::Rejected(_) | PublishError::TooLarge | PublishError::Encode(_)) => "rejected",
    }
}
