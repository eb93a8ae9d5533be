//! How many partitions the topic has.

use std::sync::atomic::{AtomicI32, Ordering};

/// How many partitions the topic had when the service began to write, and what it was seen to have last. Over another
/// number, a key has another partition: later events of an order would not be behind its earlier ones.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// 0 until the service begins.
    at_start: AtomicI32,
    now: AtomicI32,
}

impl Partitions {
    /// The topic has so many when the service begins to write.
    pub(super) fn begin(&self, partitions: i32) {
        self.at_start.store(partitions, Ordering::Relaxed);
        self.seen(partitions);
    }

    /// The topic has so many now.
    pub(super) fn seen(&self, partitions: i32) {
        self.now.store(partitions, Ordering::Relaxed);
    }

    /// The number over which keys are spread.
    ///
    /// # Errors
    /// It changed: what happened, and what to do.
    pub(super) fn settled(&self, topic: &str) -> Result<i32, String> {
        let (had, has) = (self.at_start.load(Ordering::Relaxed), self.now.load(Ordering::Relaxed));
        if had == has {
            return Ok(had);
        }
        Err(format!(
            "topic {topic} had {had} partitions when the service started and has {has} now: an order's next events would \
             not come behind its earlier ones, so nothing is written. See \"More partitions\" in docs/operations.md"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_changes_its_number_of_partitions_gets_no_events_until_it_has_the_old_one() {
        let partitions = Partitions::default();
        partitions.begin(3);
        assert_eq!(partitions.settled("order-events"), Ok(3));
        partitions.seen(6);
        let told = partitions.settled("order-events").unwrap_err();
        assert!(told.contains("order-events had 3 partitions") && told.contains("has 6 now"), "{told}");
        partitions.seen(3);
        assert_eq!(partitions.settled("order-events"), Ok(3));
    }
}
