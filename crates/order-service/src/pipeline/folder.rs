//! From the records of a partition to a batch, record by record, until one has to wait.

use order_events::EventCodec;
use order_events::codec::{DecodeError, SchemaId, Undecodable};
use rdkafka::Message;
use tracing::warn;

use super::batch::PartitionBatch;
use super::clock::Now;
use super::partition::Partition;
use super::retry::{Attempt, attempt, injected_failure};
use crate::changelog::Progress;
use crate::event::fold::{MAX_HELD_IN_ALL, Rules};
use crate::event::record::{self, Unreadable};
use crate::metrics::EventMetrics;
use crate::settings::PipelineSettings;
use crate::view::store::{CorruptState, Store};

/// So many records behind one that waits for its schema are looked at for others; each is a question to the registry,
/// twice a second.
const LOOK_AHEAD: usize = 50;

/// What the fold of a partition needs beside its records.
pub(super) struct Folder<'a> {
    pub(super) events: &'a EventCodec,
    pub(super) store: &'a Store,
    pub(super) rules: &'a Rules,
    pub(super) settings: &'a PipelineSettings,
    pub(super) metrics: &'a EventMetrics,
    /// Asks for a schema. `Some` if it will never be had, `None` if it is on its way.
    pub(super) want: &'a dyn Fn(SchemaId) -> Option<Undecodable>,
    /// How many records a batch takes, and how many letters of held updates.
    pub(super) limit: usize,
    pub(super) now: Now,
}

impl Folder<'_> {
    /// Folds the records of an active partition, the oldest first, as far as none has to wait.
    ///
    /// # Errors
    /// Memory is corrupt.
    pub(super) fn fold<'r, M: Message + 'r>(
        &self,
        partition: &mut Partition,
        progress: Progress,
        records: impl ExactSizeIterator<Item = &'r M> + Clone,
    ) -> Result<PartitionBatch, CorruptState> {
        let (number, is_drained) = (partition.number(), records.len() == 0);
        let mut batch = PartitionBatch::new(number, progress, partition.is_unwritten(), self.now.millis);
        batch.retry = partition.retry();
        let mut is_waiting = false;
        for record in records.clone().take(self.limit) {
            if !partition.admits(batch.tally) || !self.take(partition.held(), record, &mut batch)? {
                is_waiting = true;
                break;
            }
        }
        if partition.folded(batch.waits_for, batch.retry) {
            self.look_ahead(records);
        }
        if !is_waiting {
            self.give_up_held(partition, &mut batch, is_drained)?;
        }
        Ok(batch)
    }

    /// Takes one record into the batch. False if it has to wait. `held` is how many updates the partition holds already.
    fn take(
        &self,
        held: usize,
        record: &impl Message,
        batch: &mut PartitionBatch,
    ) -> Result<bool, CorruptState> {
        let offset = record.offset();
        if batch.retry.is_some_and(|retry| retry.is_of(offset) && retry.waits(self.now.instant)) {
            return Ok(false);
        }
        let may_wait = held + batch.held.len() < MAX_HELD_IN_ALL;
        let original = || record::original(record);
        let incoming = match record::read(record, self.events, may_wait, &original) {
            Ok(incoming) => incoming,
            Err(Unreadable::Rejected(rejection)) => {
                batch.reject(record, rejection);
                return Ok(true);
            }
            Err(Unreadable::SchemaNeeded(id)) => {
                let Some(undecodable) = (self.want)(id) else {
                    batch.waits_for = Some(id);
                    return Ok(false);
                };
                batch.reject(record, record::rejection(&undecodable));
                return Ok(true);
            }
        };
        let failure = injected_failure(self.settings, &incoming.event);
        let pauses = &self.settings.processing_retries;
        match attempt(&mut batch.retry, offset, failure, pauses, self.now.instant) {
            Attempt::Process => batch.add(self.store, self.rules, record, incoming)?,
            Attempt::GiveUp(retries, detail) => batch.give_up(record, retries, detail),
            Attempt::Wait(pause, reason) => {
                let partition = batch.number;
                warn!(partition, offset, reason, next_attempt_in = ?pause, "processing failed");
                self.metrics.retried();
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks for the schemas of the records behind one that waits for its own: a registry's "no" takes seconds.
    fn look_ahead<'r, M: Message + 'r>(&self, records: impl Iterator<Item = &'r M>) {
        for record in records.take(LOOK_AHEAD) {
            if let Err(DecodeError::SchemaNeeded(id)) = self.events.decode(record.payload()) {
                (self.want)(id);
            }
        }
    }

    /// Gives up held updates whose time was over when the log was seen to end, at events that are processed by now.
    fn give_up_held(
        &self,
        partition: &mut Partition,
        batch: &mut PartitionBatch,
        is_drained: bool,
    ) -> Result<(), CorruptState> {
        let Some(grace) = partition.grace() else { return Ok(()) };
        let next_offset = batch.progress.next_offset;
        let Some(until) = grace.over_until(next_offset, is_drained, self.now.instant) else { return Ok(()) };
        let (mut pointless, mut is_all) = (Vec::new(), true);
        for timer in grace.over(until) {
            if batch.letters.len() >= self.limit {
                // The others are given up in the next turn.
                is_all = false;
                break;
            }
            if !batch.give_up_held(self.store, &timer.1, until)? {
                pointless.push(timer.clone());
            }
        }
        grace.forget(&pointless);
        if is_all {
            grace.all_given_up();
            batch.given_up_until = Some(until);
        }
        Ok(())
    }
}
