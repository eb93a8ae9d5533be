//! The pipeline at work: the loop of its thread, turn by turn.

use std::time::{Duration, Instant};

use order_events::permission;
use order_events::topics::TopicError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use tracing::{debug, error, info, warn};

use super::batch_limit::Size;
use super::before::Before;
use super::damaged::{Damage, is_damaged};
use super::doubts::{Doubts, Settled};
use super::encoded::encoded;
use super::fencing::Fencing;
use super::follower::{Followed, follow};
use super::group::{self, Group, Polled};
use super::pace::Pace;
use super::partition::Partition;
use super::partitions::Partitions;
use super::process::Processing;
use super::rebalance::Change;
use super::schemas::Schemas;
use super::survey::{Survey, WATERMARK_TIMEOUT};
use super::takeover;
use super::transaction::{NotCommitted, Transaction};
use super::{Pipeline, PipelineError, gates, index_of, number};
use crate::changelog::{Barrier, ChangelogEntry};
use crate::topics;
use crate::view::status::Obstacle;

/// How long the first poll of a turn waits for a record: what arrives ends the wait.
const IDLE_POLL: Duration = Duration::from_millis(1);

/// How long records are collected for one batch while more of them are there.
const COLLECT_TIME: Duration = Duration::from_millis(50);

/// Polls between two looks at the clock: a look costs nearly as much as a poll.
const CLOCK_INTERVAL: usize = 64;

/// Of what may wait, so much is processed in one transaction at the most. Besides the events it holds what they become:
/// states as values and as bytes, and both once more in the producer's queue.
const PART_OF_A_TRANSACTION: usize = 4;

/// How long the changelog is waited for where nothing else is done.
const FOLLOW_POLL: Duration = Duration::from_millis(50);

/// A consumer that was told that its offset is not in the log is replaced after this, and so joins the group again: a
/// stale leader would have it do so all the time.
const SESSION_PAUSE: Duration = Duration::from_secs(1);

/// An instance that is thrown out of its group by a namesake more often than this in this time gives up. Once
/// it may happen by itself, when a broker restarts.
const CONTESTS: usize = 4;
const CONTEST_TIME: Duration = Duration::from_secs(30);

/// The parts of the pipeline, each with one job.
pub(super) struct Worker {
    pipeline: Pipeline,
    partitions: Partitions,
    schemas: Schemas,
    pace: Pace,
    doubts: Doubts,
    damage: Damage,
    survey: Survey,
    fencing: Fencing,
    before: Before,
    /// The partitions of which it was told that they cannot be taken over.
    late: Vec<i32>,
    /// When consumers were lost to a namesake.
    lost_consumers: Vec<Instant>,
}

impl Worker {
    /// Reads the changelog to its end. `None` if it was told to stop meanwhile.
    pub(super) fn restore(pipeline: Pipeline) -> Result<Option<Self>, PipelineError> {
        let began = Instant::now();
        let Some(partitions) = Partitions::begin(&pipeline)? else { return Ok(None) };
        let mut open = vec![true; partitions.len()];
        let mut worker = Self {
            partitions,
            schemas: Schemas::new(
                pipeline.fetcher.clone(),
                pipeline.events.clone(),
                pipeline.runtime.clone(),
            ),
            pace: Pace::new(Size {
                events: pipeline.settings.batch_max_events,
                bytes: pipeline.settings.max_buffered_bytes / PART_OF_A_TRANSACTION,
            }),
            doubts: Doubts::default(),
            damage: Damage::default(),
            survey: Survey::default(),
            fencing: Fencing::default(),
            before: Before::default(),
            late: Vec::new(),
            lost_consumers: Vec::new(),
            pipeline,
        };
        while open.contains(&true) {
            if worker.pipeline.stop.is_cancelled() {
                return Ok(None);
            }
            worker.pipeline.status.beat();
            worker.follow(FOLLOW_POLL, |index| open[index] = false)?;
        }
        info!(orders = worker.pipeline.view.store.count(), took = ?began.elapsed(), "restored");
        Ok(Some(worker))
    }

    /// Processes events until it is told to stop.
    pub(super) fn run(&mut self) -> Result<(), PipelineError> {
        while !self.pipeline.stop.is_cancelled() {
            if self.must_stand_by() {
                self.stand_by()?;
            } else {
                self.session()?;
            }
        }
        Ok(())
    }

    /// Whether the topics do not go together: then nothing is processed, and the orders stay readable.
    fn must_stand_by(&self) -> bool {
        self.pipeline.status.has(Obstacle::Topics)
    }

    /// Follows the changelog, in no group, until the topics go together: events can be processed then.
    fn stand_by(&mut self) -> Result<(), PipelineError> {
        info!(changelog = self.pipeline.topics.changelog, "processing nothing; following the changelog");
        while self.must_stand_by() && !self.pipeline.stop.is_cancelled() {
            self.pipeline.status.beat();
            self.follow(FOLLOW_POLL, |_| {})?;
            self.partitions.renew_silent_tail(&self.pipeline)?;
        }
        Ok(())
    }

    /// Works with one consumer for as long as that one works and the topics go together.
    fn session(&mut self) -> Result<(), PipelineError> {
        let consumer = group::join(&self.pipeline)?;
        let topic = self.pipeline.topics.events.clone();
        let mut group = Group::new(&consumer, &topic, self.partitions.len());
        while !self.pipeline.stop.is_cancelled() {
            if !self.turn(&mut group)? {
                // A new consumer joins the group anew.
                for index in 0..self.partitions.len() {
                    self.change_owner(index, false, &mut group)?;
                }
                break;
            }
        }
        Ok(())
    }

    /// One turn of the loop. False if the consumer cannot go on, or should not.
    fn turn(&mut self, group: &mut Group<'_>) -> Result<bool, PipelineError> {
        self.pipeline.status.beat();
        if !self.collect(group)? || self.must_stand_by() {
            return Ok(false);
        }
        self.follow(Duration::ZERO, |_| {})?;
        if self.pipeline.stop.is_cancelled() {
            // A record of the changelog whose schema was awaited meanwhile is not taken: nothing may build upon the rest.
            return Ok(true);
        }
        self.partitions.renew_silent_tail(&self.pipeline)?;
        // While it is in doubt what the changelog is, no barrier is read back either.
        if self.may_write() {
            self.pace.ensure_writer(&self.pipeline, self.partitions.has_any())?;
        }
        self.take_over(group)?;
        self.process(group)?;
        let can_write = self.pace.writer().is_some() && self.may_write();
        let most = Size { events: self.pipeline.settings.batch_max_events, bytes: self.share() };
        group.pause_and_resume(&self.partitions, most, can_write)?;
        Ok(true)
    }

    /// Whether it is time to write, and sure where to.
    fn may_write(&self) -> bool {
        !self.doubts.is_changelog_open() && self.pace.may_write()
    }

    /// How many bytes may wait of a partition.
    fn share(&self) -> usize {
        self.partitions.share_of(self.pipeline.settings.max_buffered_bytes)
    }

    // What the group's consumer has.

    /// Takes what has arrived, up to a batch and a little more. False if the consumer cannot go on.
    ///
    /// It polls in every turn, however many events are waiting: the group's changes come inside the poll, and without
    /// them an instance would go on for ever with partitions that are not its own any more. Only while a partition is
    /// processed of which enough bytes wait, that waits for the next turn: a poll may give more of it. One that is not
    /// processed is paused, and a poll gives none of it.
    fn collect(&mut self, group: &mut Group<'_>) -> Result<bool, PipelineError> {
        let deadline = Instant::now() + COLLECT_TIME;
        let enough =
            group.blocked(&self.partitions, Instant::now()) + self.pipeline.settings.batch_max_events;
        let share = self.share();
        if group.is_overfed(share) {
            return Ok(true);
        }
        let (mut patience, mut is_overfed) = (IDLE_POLL, false);
        group.set_fetch_from(&self.partitions);
        for polls in 1_usize.. {
            match group.poll(patience) {
                Polled::Nothing => break,
                Polled::Change(change) => self.apply_change(&change, group)?,
                Polled::Record(record) => {
                    let index = index_of(rdkafka::Message::partition(&record));
                    if self.partitions.get(index).is_some_and(Partition::is_ours) {
                        group.keep(record);
                        is_overfed |= group.backlog.bytes_of(index) >= share;
                    }
                }
                Polled::Failed(error) => {
                    if !self.can_go_on(&error, group)? {
                        return Ok(false);
                    }
                }
            }
            let is_late = || polls.is_multiple_of(CLOCK_INTERVAL) && Instant::now() >= deadline;
            // What one poll gave belongs together: the group's changes, and the record behind them.
            if !group.has_more() && (group.backlog.len() >= enough || is_overfed || is_late()) {
                break;
            }
            patience = Duration::ZERO;
        }
        Ok(true)
    }

    /// Whether the consumer can go on after an error.
    fn can_go_on(&mut self, error: &KafkaError, group: &Group<'_>) -> Result<bool, PipelineError> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                self.look_at_logs(group);
                self.pipeline.pause(SESSION_PAUSE);
                return Ok(false);
            }
            Some(Code::Fatal | Code::FencedInstanceId) => {
                self.lost_consumer(error)?;
                return Ok(false);
            }
            Some(code) if permission::is_missing(code) => {
                return Err(group::not_allowed(&self.pipeline, code).into());
            }
            Some(code) if is_damaged(code) => {
                self.damage.tell(&self.pipeline, &self.pipeline.topics.events, error);
            }
            _ => debug!(%error, "poll failed; librdkafka tries again"),
        }
        Ok(true)
    }

    /// The consumer cannot go on: another one has taken its place in the group.
    fn lost_consumer(&mut self, error: &KafkaError) -> Result<(), PipelineError> {
        let now = Instant::now();
        self.lost_consumers.retain(|lost| now.duration_since(*lost) < CONTEST_TIME);
        self.lost_consumers.push(now);
        if let Some(instance_id) = &self.pipeline.settings.instance_id
            && self.lost_consumers.len() > CONTESTS
        {
            return Err(PipelineError::InstanceIdTaken { instance_id: instance_id.clone() });
        }
        warn!(%error, "the consumer cannot go on; a new one takes its place");
        Ok(())
    }

    /// The consumer asked for an offset that is not in the log, and does not fetch that partition again: the next consumer
    /// begins where the log has something.
    fn look_at_logs(&mut self, group: &Group<'_>) {
        for partition in self.partitions.iter_mut().filter(|partition| partition.is_ours()) {
            self.pipeline.status.beat();
            if let Ok(log) = group.watermarks(partition.number(), WATERMARK_TIMEOUT) {
                partition.log_is(log);
            }
        }
    }

    /// Notes what the group did.
    fn apply_change(&mut self, change: &Change, group: &mut Group<'_>) -> Result<(), PipelineError> {
        let (numbers, assigned) = match change {
            Change::Assigned(numbers) => (numbers, true),
            Change::Revoked(numbers) => (numbers, false),
        };
        for index in numbers.iter().copied().map(index_of) {
            if index < self.partitions.len() {
                self.change_owner(index, assigned, group)?;
            } else {
                // Nothing is processed of any: an order's events may be in two partitions now.
                let topic = self.pipeline.topics.events.clone();
                let had = number(self.partitions.len());
                topics::tell(&self.pipeline.status, Some(TopicError::PartitionsChanged { topic, had }));
            }
        }
        Ok(())
    }

    fn change_owner(
        &mut self,
        index: usize,
        assigned: bool,
        group: &mut Group<'_>,
    ) -> Result<(), PipelineError> {
        group.backlog.clear(index);
        self.partitions.change_owner(index, assigned)?;
        self.pipeline.status.change(index, |status| status.active = false);
        gates::tell(&self.pipeline, &self.partitions);
        Ok(())
    }

    // What the changelog has.

    /// Takes what has come in the changelog, unless that is in doubt; waits `patience` for the first of it.
    fn follow(&mut self, patience: Duration, at_end: impl FnMut(usize)) -> Result<(), PipelineError> {
        match self.doubts.settle(&self.pipeline, &self.partitions)? {
            Settled::Nothing => {}
            Settled::Sound => self.partitions.replace_tail(&self.pipeline)?,
            Settled::Cut => self.partitions.read_all_anew(&self.pipeline)?,
        }
        self.tell_lost_changelog();
        self.damage.forget(&self.pipeline);
        if self.doubts.is_changelog_open() {
            if !patience.is_zero() {
                self.pipeline.pause(patience);
            }
            return Ok(());
        }
        let Followed { doubt, damage } = follow(&self.pipeline, &mut self.partitions, patience, at_end)?;
        for index in 0..self.partitions.len() {
            if self.partitions[index].lacks_own() {
                error!(
                    partition = index,
                    "a committed transaction is not in the changelog any more: its commit marker was lost; reading the \
                     partition anew"
                );
                self.partitions.read_anew(&self.pipeline, index)?;
            }
        }
        self.before.turn(&self.pipeline, &mut self.partitions);
        if let Some(reason) = doubt {
            self.doubts.of_changelog(&self.pipeline, &self.partitions, &reason);
        }
        if let Some(error) = damage {
            self.damage.tell(&self.pipeline, &self.pipeline.topics.changelog, &error);
        }
        Ok(())
    }

    /// Tells if the changelog is gone, or has nothing of partitions that were processed.
    fn tell_lost_changelog(&self) {
        let Pipeline { topics, group, status, .. } = &self.pipeline;
        let lost = self.partitions.iter().filter(|partition| partition.is_changelog_lost());
        let lost: Vec<i32> = lost.map(Partition::number).collect();
        let reason = match self.doubts.gone() {
            Some(reason) => format!("the changelog {} is gone: {reason}; reads are stale", topics.changelog),
            None if !lost.is_empty() => format!(
                "the changelog {} has nothing of partitions {lost:?}, but the group {group} has processed events of them",
                topics.changelog
            ),
            None => {
                status.clear(Obstacle::ChangelogLost);
                return;
            }
        };
        if !status.has(Obstacle::ChangelogLost) {
            error!("{reason}");
        }
        status.set(Obstacle::ChangelogLost, reason);
    }

    // What is written.

    /// Brings the partitions that the group has given to where they can be processed.
    fn take_over(&mut self, group: &mut Group<'_>) -> Result<(), PipelineError> {
        if !self.may_write() {
            return Ok(());
        }
        self.write_barriers()?;
        for (index, surveyed) in self.survey.settle(&self.pipeline, &mut self.partitions) {
            takeover::take_over(&self.pipeline, &mut self.partitions, group, index, surveyed)?;
        }
        takeover::tell(&self.pipeline, &self.partitions, &self.survey, &mut self.late);
        self.fencing.turn(&self.pipeline, &mut self.partitions)
    }

    /// Writes a barrier into every partition that needs one, in one transaction.
    fn write_barriers(&mut self) -> Result<(), PipelineError> {
        let needing = self.partitions.iter().filter(|partition| partition.needs_barrier());
        let needing: Vec<i32> = needing.map(Partition::number).collect();
        let Some(writer) = self.pace.writer().filter(|_| !needing.is_empty()) else { return Ok(()) };
        let transactional_id = self.pipeline.clients.transactional_id.clone().unwrap_or_default();
        let barrier = ChangelogEntry::Barrier(Barrier { transactional_id });
        let barrier = encoded(&self.pipeline.changelog, barrier)?;
        let written = Transaction::begin(writer, &self.pipeline.topics).and_then(|transaction| {
            transaction.write_barriers(&needing, &barrier)?;
            transaction.commit(&self.partitions, None)
        });
        match written {
            Ok(written) => {
                for (index, mark) in written.marks() {
                    self.partitions.barrier_written(index, mark.offset)?;
                }
                self.pace.went_well(&self.pipeline);
                Ok(())
            }
            Err(why) => self.not_committed("no transactions are possible", why),
        }
    }

    /// Processes what is there of the active partitions, in one transaction.
    fn process(&mut self, group: &mut Group<'_>) -> Result<(), PipelineError> {
        gates::tick(&self.pipeline, &mut self.partitions);
        if !self.may_write() {
            return Ok(());
        }
        let Some(writer) = self.pace.writer().filter(|writer| writer.is_idle()) else { return Ok(()) };
        let Size { events, bytes } = self.pace.batch_limit();
        let limit = Size { events, bytes: self.partitions.share_of(bytes) };
        let mut processing = Processing {
            pipeline: &self.pipeline,
            schemas: &self.schemas,
            partitions: &mut self.partitions,
            group,
            limit,
        };
        let began = Instant::now();
        match processing.run_transaction(writer) {
            Ok(None) => Ok(()),
            Ok(Some(committed)) => {
                self.pipeline.metrics.committed(began.elapsed());
                processing.show(committed);
                self.pace.batch_went_well(&self.pipeline);
                Ok(())
            }
            Err(why) => self.not_committed("a transaction was aborted and will be tried again", why),
        }
    }

    /// Nothing was committed; `what` tells it if only the transaction failed.
    fn not_committed(&mut self, what: &str, why: NotCommitted) -> Result<(), PipelineError> {
        let (what, failure) = match why {
            NotCommitted::Failed(failure) => (what.to_owned(), failure),
            NotCommitted::LettersRefused(failure) => {
                let topic = &self.pipeline.topics.dead_letters;
                (format!("dead letters cannot be written to {topic}"), failure)
            }
            NotCommitted::OtherChangelog(reason, failure) => {
                self.doubts.of_changelog(&self.pipeline, &self.partitions, &reason);
                (reason, failure)
            }
            NotCommitted::Error(error) => return Err(error),
        };
        self.pace.failed(&self.pipeline, &what, failure)?;
        self.writer_lost()
    }

    /// Whether the last transactions are in the changelog, new barriers tell.
    fn writer_lost(&mut self) -> Result<(), PipelineError> {
        for index in 0..self.partitions.len() {
            if self.partitions[index].is_ours() {
                self.partitions.writer_lost(index)?;
                self.pipeline.status.change(index, |status| status.active = false);
            }
        }
        Ok(())
    }
}
