//! Processing a batch: fold, one transaction, show.

use std::sync::PoisonError;
use std::time::Instant;

use compact_str::CompactString;
use order_events::codec::EncodeError;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::backlog::Backlog;
use super::batch::PartitionBatch;
use super::{GroupConsumer, PipelineError, Worker, number};
use crate::changelog::{ChangelogCodec, ChangelogEntry, Key, OutcomeWindow};
use crate::dead_letters;
use crate::mark::Mark;
use crate::settings::Guarantee;
use crate::view::store::StateBytes;
use crate::writer::{Delivered, Failure, Writer};

/// A batch of one partition as it will be written and shown.
struct Ready {
    batch: PartitionBatch,
    states: Vec<(CompactString, Option<StateBytes>)>,
    /// Windows of outcomes, encoded; `None` deletes one.
    windows: Vec<(i64, Option<Vec<u8>>)>,
    progress: Vec<u8>,
    /// What identifies the changelog, if that has nothing of the kind.
    identity: Option<Vec<u8>>,
}

/// The number of the record that identifies the changelog; all others have their partition's.
const IDENTITY: usize = usize::MAX - 1;

/// Why nothing was committed.
pub(super) enum Stopped {
    /// The transaction failed.
    Failed(Failure),
    /// The dead letters could not be written, and so the transaction failed.
    LettersRefused(Failure),
    /// New records got offsets that the changelog had given before, for this reason, and so the transaction was aborted.
    OtherChangelog(String, Failure),
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
        self.tick_gates();
        if !self.may_write() {
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
                    self.count_letters(ready.batch.partition, ready.batch.tally);
                    self.show(ready, backlog);
                }
                self.note_written(&written);
                self.went_well();
                self.batch_limit.grow();
            }
            Err(stopped) => self.stopped("a transaction was aborted and will be tried again", stopped)?,
        }
        Ok(())
    }

    /// Nothing was committed; `what` tells it if only the transaction failed.
    pub(super) fn stopped(&mut self, what: &str, stopped: Stopped) -> Result<(), PipelineError> {
        match stopped {
            Stopped::Failed(failure) => self.failed(what, failure),
            Stopped::LettersRefused(failure) => {
                let topic = &self.pipeline.topics.dead_letters;
                self.failed(&format!("dead letters cannot be written to {topic}"), failure)
            }
            Stopped::OtherChangelog(reason, failure) => {
                self.doubt_changelog(&reason);
                self.failed(&reason, failure)
            }
            Stopped::Error(error) => Err(error),
        }
    }

    /// Folds each active partition and sends what that makes, while the next one is folded; then commits. What
    /// is to be shown goes into `ready`.
    fn write_all(
        &mut self,
        writer: &Writer,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
        ready: &mut Vec<Ready>,
    ) -> Result<Vec<Delivered>, Stopped> {
        for index in 0..self.partitions.len() {
            let Some(progress) = self.partitions[index].active() else { continue };
            if self.partitions[index].gate.is_stopped() {
                continue;
            }
            backlog.drop_below(index, progress.next_offset);
            self.look_for_end(index, consumer);
            let batch = self.fold(index, progress, backlog)?;
            if batch.is_empty() {
                continue;
            }
            let batch = self.prepare(batch)?;
            if ready.is_empty() {
                writer.begin()?;
            }
            let letters = self.send_letters(writer, &batch);
            letters.map_err(|error| Stopped::LettersRefused(writer.give_up(error)))?;
            self.send(writer, &batch).map_err(|error| writer.give_up(error))?;
            ready.push(batch);
        }
        if ready.is_empty() { Ok(Vec::new()) } else { self.commit(writer, consumer, ready) }
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
                .map(|(first, fates)| (first, outcomes.window(first, &fates)))
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
        let identity = self.lacks_identity(batch.partition).then(|| self.identity.clone());
        Ok(Ready { batch, states, windows, progress, identity })
    }

    /// Whether this is the partition whose changelog has what identifies it, and it is not there yet.
    pub(super) fn lacks_identity(&self, index: usize) -> bool {
        index == 0 && self.partitions[index].identity.is_none()
    }

    /// Commits what was sent, and the consumed offsets with it.
    fn commit(
        &self,
        writer: &Writer,
        consumer: &GroupConsumer,
        ready: &[Ready],
    ) -> Result<Vec<Delivered>, Stopped> {
        // Fresh for every transaction: the generation changes with each rebalance, and the broker refuses an
        // old one. That is what fences an instance that has lost its partitions.
        // One that has lost all of them may have no generation, which the broker does not check (KAFKA-9365).
        let group = consumer.group_metadata().filter(|_| !consumer.assignment_lost());
        let Some(group) = group else {
            return Err(writer.give_up(KafkaError::ConsumerCommit(Code::UnknownMemberId)).into());
        };
        let mut offsets = TopicPartitionList::with_capacity(ready.len());
        for Ready { batch, .. } in ready {
            let next = Offset::Offset(batch.progress.next_offset);
            offsets.add_partition_offset(&self.pipeline.topics.events, number(batch.partition), next)?;
        }
        let written = self.delivered(writer)?;
        if self.pipeline.settings.processing_guarantee == Guarantee::ExactlyOnce {
            writer.commit(Some((offsets, group)))?;
        } else {
            writer.commit(None)?;
            // Not for us, who begin at the progress record, but for tools that show the lag of a group.
            if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
                debug!(%error, "the group's offsets were not committed");
            }
        }
        Ok(written)
    }

    /// Writes the dead letters of one partition, and waits until they are there: then it is known what was refused,
    /// and without transactions nothing that comes behind them is found without them after a crash.
    fn send_letters(&self, writer: &Writer, ready: &Ready) -> Result<(), KafkaError> {
        if ready.batch.letters.is_empty() {
            return Ok(());
        }
        let topics = &self.pipeline.topics;
        for letter in &ready.batch.letters {
            let headers = Some(letter.headers(&topics.events, &self.pipeline.group));
            let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
            writer.send(&topics.dead_letters, Some(dead_letters::PARTITION), key, value, headers, None)?;
        }
        writer.drain()
    }

    /// Queues the other records of one partition; the progress is the last of them. The first one shows whether the log
    /// goes on where it ended.
    fn send(&self, writer: &Writer, ready: &Ready) -> Result<(), KafkaError> {
        let topic = &self.pipeline.topics.changelog;
        let (index, partition) = (ready.batch.partition, Some(number(ready.batch.partition)));
        let mut first = Some(index);
        for (order_id, state) in &ready.states {
            let key = Some(order_id.as_bytes());
            writer.send(topic, partition, key, state.as_deref(), None, first.take())?;
        }
        for (from, window) in &ready.windows {
            let key = Key::Outcomes(*from).as_text();
            writer.send(topic, partition, Some(key.as_bytes()), window.as_deref(), None, first.take())?;
        }
        if let Some(identity) = &ready.identity {
            let key = Key::Identity.as_text();
            writer.send(topic, partition, Some(key.as_bytes()), Some(identity), None, Some(IDENTITY))?;
        }
        let (key, progress) = (Key::Progress.as_text(), Some(ready.progress.as_slice()));
        writer.send(topic, partition, Some(key.as_bytes()), progress, None, Some(index))
    }

    /// Waits until the records are delivered, and gives the transaction up if they got offsets that the changelog had
    /// given before: without its progress record, the next start processes the events again. In `at_least_once` what was
    /// sent cannot be taken back, the progress included.
    pub(super) fn delivered(&self, writer: &Writer) -> Result<Vec<Delivered>, Stopped> {
        let written = writer.delivered().map_err(|error| writer.give_up(error))?;
        match self.seems_another_changelog(&written) {
            None => Ok(written),
            Some(reason) => {
                let failure = writer.give_up(KafkaError::MessageProduction(Code::NoOffset));
                Err(Stopped::OtherChangelog(reason, failure))
            }
        }
    }

    /// Why the changelog seems to be another one, if so: new records lie before older ones, and what those said is gone.
    fn seems_another_changelog(&self, written: &[Delivered]) -> Option<String> {
        written.iter().find_map(|(index, Mark { offset, .. })| {
            let known = self.partitions.get(*index)?.known();
            (*offset <= known)
                .then(|| format!("partition {index} was known up to {known}, a new record got {offset}"))
        })
    }

    /// Notes what this instance has written itself.
    fn note_written(&mut self, written: &[Delivered]) {
        for (number, mark) in written {
            if *number == IDENTITY {
                self.partitions[0].identity = Some(*mark);
            } else if let Some(partition) = self.partitions.get_mut(*number) {
                partition.note(*mark);
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
        partition.unwritten = false;
        if let Some(until) = batch.expired_until {
            partition.timers.retain(|(give_up_at, _)| *give_up_at > until);
        }
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
