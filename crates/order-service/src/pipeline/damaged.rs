//! Records that a broker has and nobody can read: their bytes are damaged on its disk.
//!
//! librdkafka asks for such a batch again and again, twice a second, and skips nothing, as long as `check.crcs` is off: it
//! passes over a batch that fails that check. So the partition waits until somebody mends the log, and the service says
//! for what.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{debug, error};

use super::Pipeline;
use crate::view::status::Obstacle;

/// When no such answer came for so long, the log was mended.
const MENDED_AFTER: Duration = Duration::from_secs(10);

/// Whether a broker has sent a batch that is no batch, or does not decompress.
pub(super) fn is_damaged(code: Code) -> bool {
    matches!(code, Code::BadMessage | Code::BadCompression | Code::InvalidMessage)
}

/// When such records came last.
#[derive(Default)]
pub(super) struct Damage(Option<Instant>);

impl Damage {
    /// Records of a topic came that cannot be read.
    pub(super) fn tell(&mut self, pipeline: &Pipeline, topic: &str, error: &KafkaError) {
        pipeline.metrics.unreadable(topic);
        if self.0.replace(Instant::now()).is_some() {
            debug!(topic, %error, "records are still damaged");
            return;
        }
        error!(topic, %error, "records are damaged; their partition waits until they can be read");
        let reason = format!(
            "topic {topic} has damaged records ({error}): their partition waits until they can be read"
        );
        pipeline.status.set(Obstacle::Damage, reason);
    }

    /// Forgets it when none came for a while.
    pub(super) fn forget(&mut self, pipeline: &Pipeline) {
        if self.0.take_if(|at| at.elapsed() > MENDED_AFTER).is_some() {
            pipeline.status.clear(Obstacle::Damage);
        }
    }
}
