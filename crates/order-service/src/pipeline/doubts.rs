//! What is in doubt, and what becomes of it: the changelog and the events topic.

use order_events::permission::NotAllowed;
use rdkafka::ClientConfig;

use super::doubt::{Doubt, KnownLog, Loss, Verdict};
use super::partition::Partition;
use super::partitions::Partitions;
use super::{Pipeline, PipelineError};
use crate::view::status::Obstacle;

/// The logs that a broker answers as if something of them were missing.
#[derive(Default)]
pub(super) struct Doubts {
    changelog: Option<Doubt>,
    events: Option<Doubt>,
}

impl Doubts {
    /// A broker answers as if the changelog were gone, or shorter than what was read of it or written to it.
    pub(super) fn of_changelog(&mut self, pipeline: &Pipeline, partitions: &[Partition], reason: &str) {
        let topic = &pipeline.topics.changelog;
        pipeline.status.set(Obstacle::ChangelogDoubt, in_words(topic, reason));
        self.changelog.get_or_insert_with(|| {
            Doubt::new(KnownLog {
                config: client(pipeline),
                topic: topic.clone(),
                known: partitions.iter().map(Partition::known).collect(),
                marks: partitions.iter().map(Partition::marks).collect(),
                identity: partitions.first().and_then(Partition::identity),
            })
        });
    }

    /// A broker answers as if the events topic were shorter than what was processed of it.
    pub(super) fn of_events(&mut self, pipeline: &Pipeline, partitions: &[Partition], reason: &str) {
        let topic = &pipeline.topics.events;
        pipeline.status.set(Obstacle::EventsDoubt, in_words(topic, reason));
        let processed =
            |partition: &Partition| partition.progress().map_or(-1, |progress| progress.next_offset - 1);
        self.events.get_or_insert_with(|| {
            Doubt::new(KnownLog {
                config: client(pipeline),
                topic: topic.clone(),
                known: partitions.iter().map(processed).collect(),
                marks: Vec::new(),
                identity: None,
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
        self.settle_changelog(pipeline, partitions)?;
        self.settle_events(pipeline)
    }

    fn settle_changelog(
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

    fn settle_events(&mut self, pipeline: &Pipeline) -> Result<(), PipelineError> {
        let topic = &pipeline.topics.events;
        match self.events.as_mut().and_then(|doubt| doubt.verdict(&pipeline.runtime)) {
            None => Ok(()),
            Some(Verdict::Lost(Loss::Ends { partition, end, known })) => Err(PipelineError::EventsMadeAnew {
                topic: topic.clone(),
                partition,
                end,
                processed: known + 1,
                changelog: pipeline.topics.changelog.clone(),
            }),
            Some(Verdict::NotAllowed) => Err(NotAllowed::topic("read", topic).into()),
            // A topic that is not there may come back as it was; what asks for it finds out.
            Some(Verdict::Sound | Verdict::Lost(_)) => {
                self.events = None;
                pipeline.status.clear(Obstacle::EventsDoubt);
                Ok(())
            }
        }
    }
}

/// The configuration of a client that asks.
fn client(pipeline: &Pipeline) -> ClientConfig {
    let mut config = pipeline.clients.watch();
    // librdkafka wants the name of a group, although it joins none. What is not committed yet proves as well that a
    // log is not shorter.
    config
        .set("client.id", "order-service-doubt")
        .set("group.id", &pipeline.group)
        .set("isolation.level", "read_uncommitted")
        // Behind what is asked for may be control records only.
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        // The leader's answer, and at once.
        .set("client.rack", "")
        .set("fetch.min.bytes", "1")
        .set("fetch.wait.max.ms", "100");
    config
}

fn in_words(topic: &str, reason: &str) -> String {
    format!(
        "topic {topic}: {reason}; the brokers are asked again, as one that is not up to date may have said so"
    )
}
