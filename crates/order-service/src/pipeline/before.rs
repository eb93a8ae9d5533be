//! Whether partitions of which the changelog has nothing were processed before.
//!
//! Before the first event they were not, and there are no orders. Else the changelog is lost, and nobody may take an empty
//! view for the truth, on any instance: the group's committed offset tells.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tokio::task::JoinHandle;
use tracing::debug;

use super::look::{self, Looker};
use super::partition::Partition;
use super::{Pipeline, index_of};
use crate::settings::Guarantee;

/// The brokers are asked again after this if they gave no answer.
const RETRY: Duration = Duration::from_secs(1);

/// A partition, and whether it was processed.
type Answer = (i32, bool);

/// Asks beside the pipeline's thread.
#[derive(Default)]
pub(super) struct Before {
    asking: Option<JoinHandle<Result<Vec<Answer>, KafkaError>>>,
    next_at: Option<Instant>,
}

impl Before {
    /// Asks of those partitions of which it must be known, and shows those that may be shown by now.
    pub(super) fn turn(&mut self, pipeline: &Pipeline, partitions: &mut [Partition]) {
        let now = Instant::now();
        if let Some(asking) = self.asking.take_if(|asking| asking.is_finished()) {
            match pipeline.runtime.block_on(asking).unwrap_or(Err(KafkaError::Canceled)) {
                Ok(answers) => answers.into_iter().for_each(|answer| note(pipeline, partitions, answer)),
                Err(error) => {
                    debug!(%error, "it cannot be told yet whether events were processed before");
                    self.next_at = Some(now + RETRY);
                }
            }
        }
        if self.asking.is_some() || self.next_at.is_some_and(|at| at > now) {
            return;
        }
        let wanted = partitions.iter().filter(|partition| partition.wants_committed());
        let wanted: Vec<i32> = wanted.map(Partition::number).collect();
        if wanted.is_empty() {
            return;
        }
        let settings = &pipeline.settings;
        if settings.accept_lost_changelog || settings.processing_guarantee == Guarantee::AtLeastOnce {
            // Without transactions, an offset proves nothing.
            wanted.into_iter().for_each(|number| note(pipeline, partitions, (number, false)));
            return;
        }
        let (config, topic) = (look::config(pipeline), pipeline.topics.events.clone());
        self.asking =
            Some(pipeline.runtime.spawn_blocking(move || ask(&look::looker(&config)?, &topic, &wanted)));
    }
}

fn note(pipeline: &Pipeline, partitions: &mut [Partition], (number, was_processed): Answer) {
    let index = index_of(number);
    let partition = &mut partitions[index];
    partition.was_processed(was_processed);
    if partition.may_be_shown() {
        pipeline.status.change(index, |status| status.restored = true);
    }
}

/// An offset where the log begins proves nothing: somebody may have set it.
fn ask(client: &Looker, topic: &str, wanted: &[i32]) -> Result<Vec<Answer>, KafkaError> {
    let committed = look::committed(client, topic, wanted)?;
    let answer = |(number, committed): (i32, Option<i64>)| {
        let Some(committed) = committed.filter(|committed| *committed > 0) else {
            return Ok((number, false));
        };
        let (start, _) = client.fetch_watermarks(topic, number, look::TIMEOUT)?;
        Ok((number, committed > start))
    };
    committed.into_iter().map(answer).collect()
}
