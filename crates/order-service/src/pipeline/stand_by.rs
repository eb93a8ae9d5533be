//! While the topics do not go together, nothing is processed, and the orders stay readable.

use tracing::info;

use super::follow::RESTORE_POLL;
use super::{PipelineError, Worker};
use crate::view::status::Obstacle;

impl Worker {
    /// Follows the changelog, in no group, until the topics go together: events can be processed then.
    pub(super) fn stand_by(&mut self) -> Result<(), PipelineError> {
        info!(changelog = self.pipeline.topics.changelog, "processing nothing; following the changelog");
        while self.must_stand_by() && !self.pipeline.stop.is_cancelled() {
            self.pipeline.status.beat();
            self.settle_doubts()?;
            self.forget_damage();
            self.read_tail(RESTORE_POLL, |_| {})?;
            self.renew_tail()?;
        }
        Ok(())
    }

    /// Whether the topics do not go together.
    pub(super) fn must_stand_by(&self) -> bool {
        self.pipeline.status.has(Obstacle::Topics)
    }
}
