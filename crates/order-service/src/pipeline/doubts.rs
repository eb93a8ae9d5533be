//! Whether the changelog is in doubt, and what becomes of that.

use order_events::permission::NotAllowed;

use super::doubt::{Doubt, KnownLog, Verdict};
use super::look;
use super::partition::Partition;
use super::partitions::Partitions;
use super::{Pipeline, PipelineError};
use crate::view::status::Obstacle;

/// Whether a broker answers as if something of the changelog were missing.
#[derive(Default)]
pub(super) struct Doubts {
    changelog: Option<Doubt>,
}

impl Doubts {
    /// A broker answers as if the changelog were gone, or shorter than what was read of it or written to it.
    pub(super) fn of_changelog(&mut self, pipeline: &Pipeline, partitions: &[Partition], reason: &str) {
        let topic = &pipeline.topics.changelog;
        pipeline.status.set(Obstacle::ChangelogDoubt, in_words(topic, reason));
        self.changelog.get_or_insert_with(|| {
            Doubt::new(KnownLog {
                config: look::config(pipeline),
                topic: topic.clone(),
                known: partitions.iter().map(Partition::known).collect(),
                marks: partitions.iter().map(Partition::marks).collect(),
                identity: partitions.first().and_then(Partition::identity),
            })
        });
    }

    /// Whether the changelog is what it was is open: the tail cannot go on, and nothing is written to it, not even what is
    /// aborted. That takes offsets as well, until a log that was cut is as long as it was.
    pub(super) fn is_changelog_open(&self) -> bool {
        self.changelog.is_some()
    }

    /// Asks on, and goes on where a doubt is over.
    ///
    /// # Errors
    /// Something is lost.
    pub(super) fn settle(
        &mut self,
        pipeline: &Pipeline,
        partitions: &mut Partitions,
    ) -> Result<(), PipelineError> {
        let topic = &pipeline.topics.changelog;
        match self.changelog.as_mut().and_then(|doubt| doubt.verdict(&pipeline.runtime)) {
            None => Ok(()),
            Some(Verdict::Sound) => {
                self.changelog = None;
                partitions.replace_tail(pipeline)?;
                pipeline.status.clear(Obstacle::ChangelogDoubt);
                Ok(())
            }
            Some(Verdict::Lost(loss)) => {
                Err(PipelineError::ChangelogLost { topic: topic.clone(), reason: loss.to_string() })
            }
            Some(Verdict::NotAllowed) => Err(NotAllowed::topic("read", topic).into()),
        }
    }
}

fn in_words(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: {reason}; the brokers are asked again, as one that is not up to date may have said so"
    )
}
