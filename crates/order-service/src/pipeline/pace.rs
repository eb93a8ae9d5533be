//! The writer of the transactions, and how fast it is asked for more: slower after failures, then faster again.

use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use tracing::{info, warn};

use super::batch_limit::{BatchLimit, Size};
use super::{Pipeline, PipelineError};
use crate::view::status::Obstacle;
use crate::writer::{Failure, Writer};

/// After a failure the next attempt comes after this, and after twice as long each time.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// So many producers may be left behind in librdkafka, each with some threads and up to 256 MiB of queue.
const MOST_LEFT_BEHIND: usize = 20;

/// See the module.
pub(super) struct Pace {
    /// `None` while there is none that could be used.
    writer: Option<Writer>,
    /// How many producers were left behind, since librdkafka did not come back from a call.
    left_behind: usize,
    /// How much is processed at once: less after a failure, which may be that it is too much to be delivered in time.
    batch_limit: BatchLimit,
    backoff: Duration,
    retry_at: Instant,
}

impl Pace {
    /// There is no writer yet. A batch may have `most` events of a partition, and so many bytes of all of them.
    pub(super) fn new(most: Size) -> Self {
        Self {
            writer: None,
            left_behind: 0,
            batch_limit: BatchLimit::new(most),
            backoff: FIRST_BACKOFF,
            retry_at: Instant::now(),
        }
    }

    /// Whether it is time to write.
    pub(super) fn may_write(&self) -> bool {
        Instant::now() >= self.retry_at
    }

    /// The writer.
    pub(super) fn writer(&self) -> Option<&Writer> {
        self.writer.as_ref()
    }

    /// How many events of a partition a batch may have, and how many bytes of all.
    pub(super) fn batch_limit(&self) -> Size {
        self.batch_limit.get()
    }

    /// Makes a writer if there is none. `has_work` says that a transaction is due, which will tell whether they are possible.
    pub(super) fn ensure_writer(&mut self, pipeline: &Pipeline, has_work: bool) -> Result<(), PipelineError> {
        if self.writer.is_some() {
            return Ok(());
        }
        let transactional_id = pipeline.clients.transactional_id.as_deref();
        match Writer::init(&pipeline.clients.writer(transactional_id)?) {
            Ok(writer) => {
                info!(transactional_id, "ready for transactions");
                self.writer = Some(writer);
                if !has_work {
                    self.went_well(pipeline);
                }
            }
            Err(error) => self.went_wrong(pipeline, "no transactions are possible", &error),
        }
        Ok(())
    }

    /// Transactions are possible, as one that was committed shows, or a new writer that has nothing to write.
    pub(super) fn went_well(&mut self, pipeline: &Pipeline) {
        self.backoff = FIRST_BACKOFF;
        if pipeline.status.clear(Obstacle::Transactions) {
            info!("transactions are possible again");
        }
    }

    /// A batch was committed: the next one may be larger.
    pub(super) fn batch_went_well(&mut self, pipeline: &Pipeline) {
        self.went_well(pipeline);
        self.batch_limit.grow();
    }

    /// A transaction did not go through; `what` tells it. The next one gets a new producer: one whose records were purged
    /// while a partition had no leader may deliver nothing any more, although its aborts succeed.
    pub(super) fn failed(
        &mut self,
        pipeline: &Pipeline,
        what: &str,
        failure: Failure,
    ) -> Result<(), PipelineError> {
        const UNKNOWN: &str = "the outcome of a transaction is unknown";
        let (result, what, error) = match failure {
            Failure::Aborted(error) => ("aborted", what, error),
            Failure::Unknown(error) => ("unknown", UNKNOWN, error),
            Failure::LeftBehind(error) => {
                pipeline.metrics.failed("left_behind");
                self.left_behind += 1;
                if self.left_behind >= MOST_LEFT_BEHIND {
                    return Err(PipelineError::LeftBehind { producers: self.left_behind });
                }
                ("unknown", UNKNOWN, error)
            }
        };
        self.writer = None;
        self.batch_limit.shrink();
        pipeline.metrics.failed(result);
        self.went_wrong(pipeline, what, &error);
        Ok(())
    }

    /// Notes a failure; the next attempt comes later.
    fn went_wrong(&mut self, pipeline: &Pipeline, what: &str, error: &KafkaError) {
        warn!(%error, next_attempt_in = ?self.backoff, "{what}");
        pipeline.status.set(Obstacle::Transactions, format!("{what}: {error}"));
        self.retry_at = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
    }
}
