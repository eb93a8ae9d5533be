//! Taking partitions over, and giving them back.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use order_events::topics::TopicError;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use tracing::{debug, error, info, warn};

use super::backlog::Backlog;
use super::partition::Role;
use super::process::Stopped;
use super::rebalance::Change;
use super::{GroupConsumer, PipelineError, Worker, number};
use crate::changelog::{Barrier, ChangelogEntry, Key, Progress};
use crate::mark::Mark;
use crate::topics;
use crate::writer::{Failure, Writer};

/// When a barrier is not read back after this long, the open transaction of a dead writer stands before it.
const BARRIER_PATIENCE: Duration = Duration::from_millis(500);

/// So many producers may be left behind in librdkafka, each with some threads and up to 256 MiB of queue.
const MOST_LEFT_BEHIND: usize = 20;

/// How long a broker may take to tell where a partition begins and ends; and when it is asked again.
const WATERMARK_TIMEOUT: Duration = Duration::from_secs(1);
const WATERMARK_PAUSE: Duration = Duration::from_secs(2);

impl Worker {
    /// Notes what the group did.
    pub(super) fn apply_change(
        &mut self,
        change: Change,
        backlog: &mut Backlog<'_>,
    ) -> Result<(), PipelineError> {
        let (numbers, assigned) = match &change {
            Change::Assigned(numbers) => (numbers, true),
            Change::Revoked(numbers) => (numbers, false),
        };
        for index in numbers.iter().filter_map(|number| usize::try_from(*number).ok()) {
            if index >= self.partitions.len() {
                // Nothing is processed of any: an order's events may be in two partitions now.
                let topic = self.pipeline.topics.events.clone();
                let had = number(self.partitions.len());
                topics::tell(&self.pipeline.status, Some(TopicError::PartitionsChanged { topic, had }));
                continue;
            }
            self.change_owner(index, assigned, backlog)?;
        }
        Ok(())
    }

    /// The consumer is lost, and with it all that the group had given.
    pub(super) fn give_back_all(&mut self, backlog: &mut Backlog<'_>) -> Result<(), PipelineError> {
        for index in 0..self.partitions.len() {
            self.change_owner(index, false, backlog)?;
            self.partitions[index].paused = false;
        }
        Ok(())
    }

    fn change_owner(
        &mut self,
        index: usize,
        ours: bool,
        backlog: &mut Backlog<'_>,
    ) -> Result<(), PipelineError> {
        backlog.clear(index);
        self.deactivate(index, if ours { Role::NeedsBarrier } else { Role::Follows })?;
        let partition = &mut self.partitions[index];
        partition.waits_for = None;
        partition.retry = None;
        partition.end_seen = None;
        partition.ask_again_at = None;
        partition.timers.clear();
        self.tell_stops();
        Ok(())
    }

    /// From now on the partition is not processed, and its changelog is read again.
    fn deactivate(&mut self, index: usize, role: Role) -> Result<(), PipelineError> {
        let partition = &mut self.partitions[index];
        if partition.role == Role::Active {
            self.tail.return_to(number(index), partition.known())?;
        }
        partition.role = role;
        self.pipeline.status.change(index, |status| status.active = false);
        Ok(())
    }

    /// The writer is lost in an unknown state: whether its last transaction was committed, a barrier tells.
    fn lose_writer(&mut self, error: &KafkaError) -> Result<(), PipelineError> {
        self.writer = None;
        for index in 0..self.partitions.len() {
            if self.partitions[index].is_ours() {
                self.deactivate(index, Role::NeedsBarrier)?;
            }
        }
        self.batch_limit.shrink();
        self.pipeline.metrics.failed("unknown");
        self.went_wrong("the outcome of a transaction is unknown", error);
        Ok(())
    }

    /// Brings the partitions that the group has given to where they can be processed.
    pub(super) fn take_over(
        &mut self,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
    ) -> Result<(), PipelineError> {
        // While it is in doubt what the changelog is, no barrier is read back.
        if !self.may_write() {
            return Ok(());
        }
        self.write_barriers()?;
        self.activate_all(consumer, backlog)?;
        self.fence_longest_awaited()
    }

    /// Begins to process the partitions whose barrier is read back. One whose leader does not answer keeps this thread
    /// waiting: only one such is asked a turn, and the next turn begins behind it.
    fn activate_all(
        &mut self,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
    ) -> Result<(), PipelineError> {
        let (first, count) = (self.first_to_activate, self.partitions.len());
        for index in (0..count).map(|step| (first + step) % count) {
            let partition = &self.partitions[index];
            let Role::AwaitsBarrier { offset, .. } = partition.role else { continue };
            if partition.known() < offset || partition.ask_again_at.is_some_and(|at| Instant::now() < at) {
                continue;
            }
            self.pipeline.status.beat();
            if !self.activate(index, consumer, backlog)? {
                self.partitions[index].ask_again_at = Some(Instant::now() + WATERMARK_PAUSE);
                self.first_to_activate = index + 1;
                break;
            }
        }
        Ok(())
    }

    /// Writes a barrier into every partition that needs one, in one transaction.
    fn write_barriers(&mut self) -> Result<(), PipelineError> {
        let needing: Vec<usize> = (0..self.partitions.len())
            .filter(|index| self.partitions[*index].role == Role::NeedsBarrier)
            .collect();
        let Some(writer) = self.writer.as_ref().filter(|_| !needing.is_empty()) else { return Ok(()) };
        let transactional_id = self.pipeline.clients.transactional_id.clone().unwrap_or_default();
        let mut value = Vec::new();
        self.pipeline.changelog.encode(&ChangelogEntry::Barrier(Barrier { transactional_id }), &mut value)?;
        let topic = &self.pipeline.topics.changelog;
        let key = Key::Barrier.as_text();
        let send = |index: &usize| {
            let (partition, key) = (number(*index), Some(key.as_bytes()));
            writer.send(topic, Some(partition), key, Some(&value), None, Some(*index))
        };
        let written = writer.begin().map_err(Stopped::from).and_then(|()| {
            needing.iter().try_for_each(send).map_err(|error| writer.give_up(error))?;
            let written = self.delivered(writer)?;
            writer.commit(None)?;
            Ok(written)
        });
        match written {
            Ok(written) => {
                for (index, Mark { offset, .. }) in written {
                    let since = Instant::now();
                    self.partitions[index].role = Role::AwaitsBarrier { offset, since };
                }
                self.went_well();
                Ok(())
            }
            Err(stopped) => self.stopped("no transactions are possible", stopped),
        }
    }

    /// Aborts what the last writer left open, by taking its transactional id for a moment. If it lives, it is
    /// fenced: it is not the owner any more. One writer a turn: what was before its records can be read meanwhile.
    fn fence_longest_awaited(&mut self) -> Result<(), PipelineError> {
        let awaited =
            self.partitions.iter().enumerate().filter_map(|(index, partition)| match partition.role {
                Role::AwaitsBarrier { offset, since } if partition.known() < offset => Some((since, index)),
                _ => None,
            });
        let Some((since, index)) = awaited.min() else { return Ok(()) };
        if since.elapsed() < BARRIER_PATIENCE {
            return Ok(());
        }
        let last = self.partitions[index].last_writer.clone();
        let own = self.pipeline.clients.transactional_id.as_ref();
        match last.as_ref().filter(|last| own.is_some_and(|own| own != *last) && !last.is_empty()) {
            Some(last) => match Writer::init(&self.pipeline.clients.writer(Some(last))?) {
                Ok(_) => info!(transactional_id = last, "aborted what the last owner left open"),
                Err(error) => {
                    warn!(%error, transactional_id = last, "the last owner could not be fenced yet");
                }
            },
            None => {
                debug!(partition = index, "waiting for an open transaction of somebody unknown to time out");
            }
        }
        // Other partitions may have been the same writer's.
        for partition in self.partitions.iter_mut().filter(|partition| partition.last_writer == last) {
            if let Role::AwaitsBarrier { since, .. } = &mut partition.role {
                *since = Instant::now();
            }
        }
        Ok(())
    }

    /// The barrier is read back: everything before it is known. From here on this instance processes. False if the
    /// brokers do not tell where the partition begins and ends.
    fn activate(
        &mut self,
        index: usize,
        consumer: &GroupConsumer,
        backlog: &mut Backlog<'_>,
    ) -> Result<bool, PipelineError> {
        let topic = &self.pipeline.topics.events;
        let (start, end) = match consumer.fetch_watermarks(topic, number(index), WATERMARK_TIMEOUT) {
            Ok(watermarks) => watermarks,
            Err(error) => {
                debug!(partition = index, %error, "the partition's offsets cannot be had yet");
                return Ok(false);
            }
        };
        if self.seems_made_anew(index, end) {
            return Ok(false);
        }
        let progress = self.checked_progress(index, start);
        self.tail.leave(number(index))?;
        let before = self.partitions[index].progress.replace(progress);
        // What is lost must be known to the other instances, and to who asks for what became of it.
        // A changelog that has no identity yet gets one.
        self.partitions[index].unwritten =
            before.is_some_and(|before| before != progress) || self.lacks_identity(index);
        self.partitions[index].role = Role::Active;
        self.start_offsets.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(progress.next_offset);
        for order_id in self.pipeline.view.store.early(index) {
            let state = self.pipeline.view.store.state(index, &order_id)?;
            let held = state.iter().flat_map(|state| &state.held);
            self.partitions[index].timers.extend(held.map(|held| (held.give_up_at, order_id.clone())));
        }
        backlog.drop_below(index, progress.next_offset);
        let owner = self.pipeline.status.instance();
        self.pipeline.status.change(index, |status| {
            (status.active, status.owner) = (true, owner);
            (status.position, status.start_offset, status.end_offset) = (progress.next_offset, start, end);
            status.lost = progress.lost;
        });
        info!(partition = index, next_offset = progress.next_offset, "processing");
        Ok(true)
    }

    /// The progress of a partition, held against where its log begins.
    fn checked_progress(&self, index: usize, start: i64) -> Progress {
        let Some(progress) = self.partitions[index].progress else {
            return Progress { next_offset: start, outcomes_from: start, lost: 0 };
        };
        if progress.next_offset >= start {
            return progress;
        }
        let lost = start - progress.next_offset;
        error!(
            partition = index,
            lost,
            from = progress.next_offset,
            to = start,
            "events were deleted from the topic before they were processed (retention); going on behind them"
        );
        self.pipeline.metrics.lost(lost);
        Progress { next_offset: start, outcomes_from: start, lost: progress.lost + lost }
    }

    /// Whether a broker says that a partition has fewer events than were processed. Then it is another topic, or the
    /// broker is not up to date.
    fn seems_made_anew(&mut self, index: usize, end: i64) -> bool {
        let processed = self.partitions[index].progress.map_or(0, |progress| progress.next_offset);
        if processed > end {
            self.doubt_events(&format!(
                "partition {index} ends before offset {processed}, up to which it is processed: at {end}"
            ));
        }
        processed > end
    }

    /// The consumer asked for an offset that is not in the log any more, and does not fetch that partition
    /// again: the next consumer begins where the log does. What is lost by that is found out when the partition
    /// is taken over.
    pub(super) fn find_log_starts(&mut self, consumer: &GroupConsumer) -> Result<(), PipelineError> {
        for index in 0..self.partitions.len() {
            if !self.partitions[index].is_ours() {
                continue;
            }
            let topic = &self.pipeline.topics.events;
            self.pipeline.status.beat();
            let Ok((start, end)) = consumer.fetch_watermarks(topic, number(index), WATERMARK_TIMEOUT) else {
                continue;
            };
            if self.seems_made_anew(index, end) {
                continue;
            }
            let mut offsets = self.start_offsets.lock().unwrap_or_else(PoisonError::into_inner);
            offsets[index] = offsets[index].max(Some(start));
        }
        Ok(())
    }

    /// A transaction did not go through. The next one gets a new producer: one whose records were purged while a
    /// partition had no leader may deliver nothing any more, although its aborts succeed.
    pub(super) fn failed(&mut self, what: &str, failure: Failure) -> Result<(), PipelineError> {
        match failure {
            Failure::Aborted(error) => {
                self.writer = None;
                self.batch_limit.shrink();
                self.pipeline.metrics.failed("aborted");
                self.went_wrong(what, &error);
                Ok(())
            }
            Failure::Unknown(error) => self.lose_writer(&error),
            Failure::LeftBehind(error) => {
                self.pipeline.metrics.failed("left_behind");
                self.left_behind += 1;
                if self.left_behind >= MOST_LEFT_BEHIND {
                    return Err(PipelineError::LeftBehind { producers: self.left_behind });
                }
                self.lose_writer(&error)
            }
        }
    }
}
