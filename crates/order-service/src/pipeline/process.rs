//! Processing a batch: fold, one transaction, show.

use std::sync::PoisonError;
use std::time::Instant;

use compact_str::CompactString;
use order_events::codec::EncodeError;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Message, Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::backlog::Backlog;
use super::batch::PartitionBatch;
use super::writer::{Failure, Track, Writer};
use super::{GroupConsumer, PipelineError, Worker, now, number};
use crate::changelog::{ChangelogCodec, ChangelogEntry, Key, OutcomeWindow, Progress};
use crate::config::Guarantee;
use crate::dead_letter::DeadLetter;
use crate::fold::MAX_HELD_IN_ALL;
use crate::record::{self, Unreadable};
use crate::store::StateBytes;

/// A batch of one partition as it will be written and shown.
struct Ready {
    batch: PartitionBatch,
    states: Vec<(CompactString, Option<StateBytes>)>,
    /// Windows of outcomes, encoded; `None` deletes one.
    windows: Vec<(i64, Option<Vec<u8>>)>,
    progress: Vec<u8>,
}

/// Why nothing of a batch was committed.
enum Stopped {
    /// The transaction failed.
    Failed(Failure),
    /// The pipeline cannot go on.
    Error(PipelineError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl<E: Into<PipelineError>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

impl Worker {
    /// Processes what is there of the active partitions, in one transaction.
    pub(super) fn process(
        &mut self,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
    ) -> Result<(), PipelineError> {
        if Instant::now() < self.retry_at {
            return Ok(());
        }
        let Some(writer) = self.writer.take_if(|writer| writer.is_idle()) else { return Ok(()) };
        let mut ready = Vec::new();
        let began = Instant::now();
        let written = self.write_all(&writer, consumer, backlog, &mut ready);
        self.writer = Some(writer);
        match written {
            Ok(_) if ready.is_empty() => return Ok(()),
            Ok(written) => {
                self.pipeline.metrics.committed(began.elapsed());
                for ready in ready {
                    self.show(ready, backlog);
                }
                self.note_own(&written);
                self.went_well();
            }
            Err(Stopped::Failed(failure)) => self.failed(failure)?,
            Err(Stopped::Error(error)) => return Err(error),
        }
        Ok(())
    }

    /// Folds each active partition and sends what that makes, while the next one is folded; then commits. What
    /// is to be shown goes into `ready`.
    fn write_all(
        &mut self,
        writer: &Writer,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
        ready: &mut Vec<Ready>,
    ) -> Result<Vec<(i32, i64)>, Stopped> {
        for index in 0..self.partitions.len() {
            let Some(progress) = self.partitions[index].active() else { continue };
            backlog.drop_below(index, progress.next_offset);
            let batch = self.fold(index, progress, backlog)?;
            if batch.is_empty() {
                continue;
            }
            let batch = self.prepare(batch)?;
            if ready.is_empty() {
                writer.begin()?;
            }
            self.send(writer, &batch).map_err(|error| writer.give_up(error))?;
            ready.push(batch);
        }
        if ready.is_empty() { Ok(Vec::new()) } else { self.commit(writer, consumer, ready) }
    }

    /// Folds what is there of a partition.
    fn fold(
        &mut self,
        index: usize,
        progress: Progress,
        backlog: &Backlog<'_>,
    ) -> Result<PartitionBatch, PipelineError> {
        let Self { pipeline, partitions, schemas, .. } = self;
        let (store, rules) = (&pipeline.view.store, &pipeline.rules);
        let partition = &mut partitions[index];
        let mut batch = PartitionBatch::new(index, progress, now());
        for (give_up_at, order_id) in &partition.timers {
            if *give_up_at > batch.now {
                break;
            }
            batch.expire(store, order_id.clone())?;
        }
        partition.waits_for = None;
        for record in backlog.of(index).iter().take(pipeline.settings.batch_max_events) {
            let original = || record::original(record);
            let letter = |rejection| DeadLetter::of_record(record, rejection);
            let may_wait = partition.timers.len() + batch.timers.len() < MAX_HELD_IN_ALL;
            let read = match record::read(record, &pipeline.events, may_wait, &original) {
                Ok(incoming) => Ok(incoming),
                Err(Unreadable::Rejected(rejection)) => Err(rejection),
                Err(Unreadable::SchemaNeeded(id)) => match schemas.want(id) {
                    Some(reason) => Err(record::rejection(&reason)),
                    None => {
                        // The rest of the partition waits behind it.
                        partition.waits_for = Some(id);
                        break;
                    }
                },
            };
            batch.advance(record.offset());
            match read {
                Ok(incoming) => batch.fold(store, incoming, rules, letter)?,
                Err(rejection) => batch.reject(record.offset(), rejection, letter),
            }
        }
        Ok(batch)
    }

    /// Encodes a batch.
    fn prepare(&self, mut batch: PartitionBatch) -> Result<Ready, EncodeError> {
        let codec = &self.pipeline.changelog;
        let states = batch.encode(codec)?;
        let log_start = self.pipeline.status.start_offset(batch.partition);
        let (changed, stale) = self.pipeline.view.processed.read(batch.partition, |outcomes| {
            let changed: Vec<(i64, Option<OutcomeWindow>)> = batch
                .windows()
                .into_iter()
                .map(|first| (first, outcomes.window(first, &batch.fates)))
                .collect();
            (changed, outcomes.stale(log_start))
        });
        let mut windows = Vec::with_capacity(changed.len());
        for (first, window) in changed {
            let window =
                window.map(|window| encoded(codec, ChangelogEntry::OutcomeWindow(window))).transpose()?;
            windows.push((first, window));
        }
        if let Some((from, stale)) = stale {
            batch.progress.outcomes_from = from;
            windows.retain(|(first, _)| *first >= from);
            windows.extend(stale.into_iter().map(|first| (first, None)));
        }
        let progress = encoded(codec, ChangelogEntry::Progress(batch.progress))?;
        Ok(Ready { batch, states, windows, progress })
    }

    /// Commits what was sent, and the consumed offsets with it.
    fn commit(
        &self,
        writer: &Writer,
        consumer: &GroupConsumer,
        ready: &[Ready],
    ) -> Result<Vec<(i32, i64)>, Stopped> {
        // Fresh for every transaction: the generation changes with each rebalance, and the broker refuses an
        // old one. That is what fences an instance that has lost its partitions.
        let Some(group) = consumer.group_metadata() else {
            return Err(writer.give_up(KafkaError::ConsumerCommit(Code::UnknownMemberId)).into());
        };
        let mut offsets = TopicPartitionList::with_capacity(ready.len());
        for Ready { batch, .. } in ready {
            let next = Offset::Offset(batch.progress.next_offset);
            offsets.add_partition_offset(&self.pipeline.topics.events, number(batch.partition), next)?;
        }
        let written = writer.commit(Some((&offsets, &group)))?;
        if self.pipeline.settings.processing_guarantee == Guarantee::AtLeastOnce {
            // Not for us, who begin at the progress record, but for tools that show the lag of a group.
            if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
                debug!(%error, "the group's offsets were not committed");
            }
        }
        Ok(written)
    }

    /// Queues the records of one partition; the progress is the last of them, the dead letters are the first.
    fn send(&self, writer: &Writer, ready: &Ready) -> Result<(), KafkaError> {
        for letter in &ready.batch.letters {
            let headers = Some(letter.headers(&self.pipeline.topics.events));
            let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
            writer.send(&self.pipeline.topics.dead_letters, None, key, value, headers, Track::No)?;
        }
        writer.settle()?;
        let topic = &self.pipeline.topics.changelog;
        let partition = number(ready.batch.partition);
        for (order_id, state) in &ready.states {
            let key = Some(order_id.as_bytes());
            writer.send(topic, Some(partition), key, state.as_deref(), None, Track::No)?;
        }
        for (first, window) in &ready.windows {
            let key = Key::Outcomes(*first).as_text();
            writer.send(topic, Some(partition), Some(key.as_bytes()), window.as_deref(), None, Track::No)?;
        }
        let key = Key::Progress.as_text();
        let progress = Some(ready.progress.as_slice());
        writer.send(topic, Some(partition), Some(key.as_bytes()), progress, None, Track::Partition(partition))
    }

    /// Notes up to where this instance has written each changelog partition itself.
    fn note_own(&mut self, written: &[(i32, i64)]) {
        for (partition, offset) in written {
            let index = usize::try_from(*partition).unwrap_or(usize::MAX);
            if let Some(partition) = self.partitions.get_mut(index) {
                partition.own = partition.own.max(*offset);
            }
        }
    }

    /// Shows what was committed.
    fn show(&mut self, ready: Ready, backlog: &mut Backlog<'_>) {
        let Ready { batch, states, .. } = ready;
        let index = batch.partition;
        for letter in &batch.letters {
            let (offset, rejection) = (letter.offset, &letter.rejection);
            warn!(partition = letter.partition, offset, %rejection, "dead letter");
        }
        debug!(
            partition = index,
            states = states.len(),
            next_offset = batch.progress.next_offset,
            "committed"
        );
        self.pipeline.view.store.apply(index, states);
        let next_offset = batch.progress.next_offset;
        self.pipeline.view.processed.change(index, Some(next_offset), |outcomes| {
            outcomes.note(batch.fates);
            outcomes.begin_at(batch.progress.outcomes_from);
        });
        self.pipeline.metrics.consumed(&batch.counts);
        self.pipeline.status.change(index, |status| {
            status.position = next_offset;
            status.end_offset = status.end_offset.max(next_offset);
        });
        let partition = &mut self.partitions[index];
        partition.progress = Some(batch.progress);
        partition.timers.retain(|(give_up_at, _)| *give_up_at > batch.now);
        partition.timers.extend(batch.timers);
        self.start_offsets.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(next_offset);
        backlog.drop_below(index, next_offset);
    }
}

fn encoded(codec: &ChangelogCodec, entry: ChangelogEntry) -> Result<Vec<u8>, EncodeError> {
    let mut bytes = Vec::new();
    codec.encode(&entry, &mut bytes)?;
    Ok(bytes)
}
