//! The way to a barrier that is not read back: the transaction of a dead owner stands before it.
//!
//! Who takes the owner's transactional id for a moment ends what it left open. If that one lives, it is fenced: it is not the
//! owner any more. So it is done only where the tail stands at the end of what can be read, and not too often. Where the
//! transaction coordinator takes the transaction for complete, since its control record was lost, there is nothing to end: then
//! an aborted transaction under the same id writes another one. All this is done beside the pipeline's thread.

use std::time::Instant;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use tokio::task::JoinHandle;
use tracing::{debug, info, warn};

use super::partition::Partition;
use super::{Pipeline, PipelineError};
use crate::writer::Writer;

/// See the module.
#[derive(Default)]
pub(super) struct Fencing {
    attempt: Option<(Attempt, JoinHandle<Result<(), KafkaError>>)>,
}

/// To make way to the barriers of some partitions.
#[derive(Clone)]
struct Attempt {
    transactional_id: String,
    partitions: Vec<i32>,
    /// Whether its id was taken before, and that was not enough.
    again: bool,
}

impl Fencing {
    /// Makes way to the barrier that is awaited longest, if that is due.
    pub(super) fn turn(
        &mut self,
        pipeline: &Pipeline,
        partitions: &mut [Partition],
    ) -> Result<(), PipelineError> {
        let now = Instant::now();
        if let Some((attempt, task)) = self.attempt.take() {
            if !task.is_finished() {
                self.attempt = Some((attempt, task));
                return Ok(());
            }
            attempt.ended(pipeline.runtime.block_on(task).unwrap_or(Err(KafkaError::Canceled)));
            for partition in
                partitions.iter_mut().filter(|partition| attempt.partitions.contains(&partition.number()))
            {
                partition.last_writer_fenced(now);
            }
        }
        if let Some(attempt) = Attempt::due(pipeline, partitions, now) {
            let config = pipeline.clients.writer(Some(&attempt.transactional_id))?;
            let (work, topic) = (attempt.clone(), pipeline.topics.changelog.clone());
            let task = pipeline.runtime.spawn_blocking(move || work.make_way(&config, &topic));
            self.attempt = Some((attempt, task));
        }
        Ok(())
    }
}

impl Attempt {
    fn due(pipeline: &Pipeline, partitions: &mut [Partition], now: Instant) -> Option<Self> {
        let own = pipeline.clients.transactional_id.as_deref()?;
        let mut longest: Option<(Instant, String, bool)> = None;
        for partition in partitions.iter_mut() {
            let Some(since) = partition.stuck_since(now) else { continue };
            match partition.last_writer().filter(|last| *last != own && !last.is_empty()) {
                Some(last) if longest.as_ref().is_none_or(|(oldest, ..)| since < *oldest) => {
                    longest = Some((since, last.to_owned(), partition.was_fenced()));
                }
                Some(_) => {}
                None => {
                    let number = partition.number();
                    debug!(
                        partition = number,
                        "waiting for an open transaction of somebody unknown to time out"
                    );
                    partition.last_writer_fenced(now);
                }
            }
        }
        let (_, transactional_id, again) = longest?;
        // Others may have been the same writer's.
        let of_it = partitions.iter().filter(|partition| {
            partition.awaited_since().is_some() && partition.last_writer() == Some(&transactional_id)
        });
        let partitions = of_it.map(Partition::number).collect();
        Some(Self { transactional_id, partitions, again })
    }

    /// Takes the id.
    fn make_way(&self, config: &ClientConfig, topic: &str) -> Result<(), KafkaError> {
        let writer = Writer::init(config)?;
        if self.again { writer.abort_in(topic, &self.partitions) } else { Ok(()) }
    }

    fn ended(&self, result: Result<(), KafkaError>) {
        let Self { transactional_id, partitions, again } = self;
        match result {
            Ok(()) if *again => {
                info!(
                    transactional_id,
                    ?partitions,
                    "closed what a lost control record of the last owner left open"
                );
            }
            Ok(()) => info!(transactional_id, ?partitions, "aborted what the last owner left open"),
            Err(error) => warn!(%error, transactional_id, "the last owner could not be fenced yet"),
        }
    }
}
