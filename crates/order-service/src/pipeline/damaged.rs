//! Records that a broker has and nobody can read: their bytes are damaged on its disk.
//!
//! librdkafka asks for such a batch again and again, twice a second, and skips nothing, as long as `check.crcs` is off: it
//! passes over a batch that fails that check. So the partition waits until somebody mends the log, and the service says
//! for what.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{debug, error};

use super::Worker;
use crate::view::status::Obstacle;

/// When no such answer came for so long, the log was mended.
const MENDED_AFTER: Duration = Duration::from_secs(10);

/// Whether a broker has sent a batch that is no batch, or does not decompress.
pub(super) fn is_damaged(code: Code) -> bool {
    matches!(code, Code::BadMessage | Code::BadCompression | Code::InvalidMessage)
}

impl Worker {
    /// Tells that a topic has records that cannot be read.
    pub(super) fn tell_damage(&mut self, topic: &str, error: &KafkaError) {
        self.pipeline.metrics.unreadable(topic);
        if self.damaged_at.replace(Instant::now()).is_some() {
            debug!(topic, %error, "records are still damaged");
            return;
        }
        error!(topic, %error, "records are damaged; their partition waits until they can be read");
        let reason = format!(
            "topic {topic} has damaged records ({error}): their partition waits until they can be read"
        );
        self.pipeline.status.set(Obstacle::Damage, reason);
    }

    /// Notes that nothing damaged has come for a while.
    pub(super) fn forget_damage(&mut self) {
        if self.damaged_at.take_if(|at| at.elapsed() > MENDED_AFTER).is_some() {
            self.pipeline.status.clear(Obstacle::Damage);
        }
    }
}
