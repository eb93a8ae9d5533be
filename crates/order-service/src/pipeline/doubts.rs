//! Whether the changelog is in doubt, and what becomes of that.

use order_events::permission::NotAllowed;
use tracing::error;

use super::Pipeline;
use super::doubt::{Doubt, KnownLog, Loss, Verdict};
use super::look;
use super::partition::Partition;
use crate::view::status::Obstacle;

/// What became of a doubt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// There is none, or it is open.
    Nothing,
    /// Nothing is missing.
    Sound,
    /// The changelog lost records. What is left of it is what counts now.
    Cut,
}

/// Whether a broker answers as if something of the changelog were missing.
#[derive(Default)]
pub(super) struct Doubts {
    changelog: Option<Doubt>,
    /// Why the changelog is gone, if it is.
    gone: Option<String>,
}

impl Doubts {
    /// A broker answers as if the changelog were gone, or shorter than what was read of it or written to it.
    pub(super) fn of_changelog(&mut self, pipeline: &Pipeline, partitions: &[Partition], reason: &str) {
        if self.changelog.is_none() {
            let topic = &pipeline.topics.changelog;
            pipeline.status.set(Obstacle::ChangelogDoubt, in_words(topic, reason));
            self.changelog = Some(Doubt::new(known(pipeline, partitions)));
        }
    }

    /// Whether the changelog is what it was is open: the tail cannot go on, and nothing is written to it, not even what is
    /// aborted. That takes offsets as well, until a log that was cut is as long as it was. While it is gone, this stays so.
    pub(super) fn is_changelog_open(&self) -> bool {
        self.changelog.is_some()
    }

    /// Why the changelog is gone, if it is.
    pub(super) fn gone(&self) -> Option<&str> {
        self.gone.as_deref()
    }

    /// Asks on.
    ///
    /// # Errors
    /// A permission is missing.
    pub(super) fn settle(
        &mut self,
        pipeline: &Pipeline,
        partitions: &[Partition],
    ) -> Result<Settled, NotAllowed> {
        let topic = &pipeline.topics.changelog;
        let settled = match self.changelog.as_mut().and_then(|doubt| doubt.verdict(&pipeline.runtime)) {
            None => return Ok(Settled::Nothing),
            Some(Verdict::NotAllowed) => return Err(NotAllowed::topic("read", topic)),
            Some(Verdict::Lost(loss @ (Loss::Gone | Loss::MadeAnew))) => {
                self.gone = Some(loss.to_string());
                pipeline.status.clear(Obstacle::ChangelogDoubt);
                // It may come back, as from a broker that knows too little of its topics.
                self.changelog = Some(Doubt::again(known(pipeline, partitions)));
                return Ok(Settled::Nothing);
            }
            Some(Verdict::Sound) => Settled::Sound,
            Some(Verdict::Lost(loss)) => {
                error!(topic, %loss, "the changelog lost records; reading what is left of it anew");
                Settled::Cut
            }
        };
        (self.changelog, self.gone) = (None, None);
        pipeline.status.clear(Obstacle::ChangelogDoubt);
        Ok(settled)
    }
}

fn known(pipeline: &Pipeline, partitions: &[Partition]) -> KnownLog {
    KnownLog {
        config: look::config(pipeline),
        topic: pipeline.topics.changelog.clone(),
        known: partitions.iter().map(Partition::known).collect(),
        marks: partitions.iter().map(Partition::marks).collect(),
        identity: partitions.first().and_then(Partition::identity),
    }
}

fn in_words(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: {reason}; the brokers are asked again, as one that is not up to date may have said so"
    )
}
