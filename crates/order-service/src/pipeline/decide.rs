//! What the records of a partition come to: its part of a batch.

use std::time::{Duration, Instant};

use order_events::Reason;
use order_events::codec::{DecodeError, SchemaId};
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::message::BorrowedMessage;
use tracing::{debug, warn};

use super::backlog::Backlog;
use super::batch::PartitionBatch;
use super::partition::EndSeen;
use super::retry::{Attempt, attempt, injected_failure};
use super::schemas::Schemas;
use super::{GroupConsumer, Pipeline, PipelineError, Worker, now, number};
use crate::changelog::Progress;
use crate::dead_letters::DeadLetter;
use crate::event::fold::MAX_HELD_IN_ALL;
use crate::event::outcome::Rejection;
use crate::event::record::{self, Unreadable};

/// How long a broker may take to tell where a partition ends, before something else is done.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// So many records behind one that waits for its schema are looked at for others; each is a question to the registry,
/// twice a second.
const LOOK_AHEAD: usize = 50;

impl Worker {
    /// Folds what is there of a partition, as far as the limit on dead letters lets it.
    pub(super) fn fold(
        &mut self,
        index: usize,
        progress: Progress,
        backlog: &Backlog<'_>,
    ) -> Result<PartitionBatch, PipelineError> {
        let mut batch = PartitionBatch::new(index, progress, now());
        let partition = &mut self.partitions[index];
        batch.must_be_written = partition.unwritten;
        let waited_for = partition.waits_for.take();
        for record in backlog.of(index).iter().take(self.batch_limit.get()) {
            if !self.partitions[index].gate.admits(batch.tally)
                || !self.fold_record(index, record, &mut batch)?
            {
                // The rest of the partition waits.
                let waits_for = self.partitions[index].waits_for;
                if waits_for.is_some() && waits_for != waited_for {
                    self.look_ahead(index, backlog);
                }
                return Ok(batch);
            }
        }
        let is_drained = backlog.of(index).is_empty();
        self.expire(index, &mut batch, is_drained)?;
        Ok(batch)
    }

    /// Asks for the schemas of the records behind one that waits for its own: a registry's "no" takes seconds.
    fn look_ahead(&self, index: usize, backlog: &Backlog<'_>) {
        for record in backlog.of(index).iter().take(LOOK_AHEAD) {
            if let Err(DecodeError::SchemaNeeded(id)) = self.pipeline.events.decode(record.payload()) {
                self.schemas.want(id);
            }
        }
    }

    /// Adds to the batch what one record comes to. False if it has to wait.
    fn fold_record(
        &mut self,
        index: usize,
        record: &BorrowedMessage<'_>,
        batch: &mut PartitionBatch,
    ) -> Result<bool, PipelineError> {
        let Self { pipeline, partitions, schemas, .. } = self;
        let Pipeline { settings, rules, events, metrics, .. } = &*pipeline;
        let partition = &mut partitions[index];
        let (offset, failed_at) = (record.offset(), batch.now);
        if partition.retry.is_some_and(|retry| retry.is_of(offset) && retry.waits(Instant::now())) {
            return Ok(false);
        }
        let letter = |retries| move |rejection| DeadLetter::of_record(record, rejection, retries, failed_at);
        let may_wait = partition.timers.len() + batch.timers.len() < MAX_HELD_IN_ALL;
        let original = || record::original(record);
        let incoming = match record::read(record, events, may_wait, &original) {
            Ok(incoming) => incoming,
            Err(unreadable) => {
                let Some(rejection) = rejection(unreadable, schemas, &mut partition.waits_for) else {
                    return Ok(false);
                };
                batch.advance(offset);
                batch.reject(offset, rejection, letter(0));
                return Ok(true);
            }
        };
        let failure = injected_failure(settings, &incoming.event);
        match attempt(&mut partition.retry, offset, failure, &settings.processing_retries, Instant::now()) {
            Attempt::Process => {
                batch.advance(offset);
                batch.fold(&pipeline.view.store, incoming, rules, letter(0))?;
            }
            Attempt::Wait(pause, reason) => {
                warn!(partition = index, offset, reason, next_attempt_in = ?pause, "processing failed");
                metrics.retried();
                return Ok(false);
            }
            Attempt::GiveUp(retries, detail) => {
                let rejection = Rejection::new(Reason::ProcessingFailed, detail);
                batch.advance(offset);
                // Nothing else makes processing fail than `injected_failure`.
                batch.reject_uncounted(offset, rejection, letter(retries));
            }
        }
        Ok(true)
    }

    /// Gives up held updates whose time was over when the log was seen to end, at events that are processed by now.
    fn expire(
        &mut self,
        index: usize,
        batch: &mut PartitionBatch,
        is_drained: bool,
    ) -> Result<(), PipelineError> {
        let Self { pipeline, partitions, batch_limit, .. } = self;
        let partition = &mut partitions[index];
        let next_offset = batch.progress.next_offset;
        let Some(EndSeen { at, .. }) =
            partition.end_seen.filter(|seen| seen.is_reached(next_offset, is_drained))
        else {
            return Ok(());
        };
        let (mut pointless, mut is_all) = (Vec::new(), true);
        for timer in partition.timers.iter().take_while(|(give_up_at, _)| *give_up_at <= at) {
            if batch.letters.len() >= batch_limit.get() {
                is_all = false;
                break;
            }
            if !batch.expire(&pipeline.view.store, timer.1.clone(), at)? {
                pointless.push(timer.clone());
            }
        }
        // Otherwise they would be looked at in every turn, until the partition has another event.
        for timer in pointless {
            partition.timers.remove(&timer);
        }
        if !is_all {
            // The others are given up in the next turn.
            return Ok(());
        }
        partition.end_seen = None;
        batch.expired_until = Some(at);
        Ok(())
    }

    /// Asks where the log of a partition ends, when the time of a held update is over: the CREATE that it lacks may
    /// be there and not be read yet, as after a crash or an outage.
    pub(super) fn look_for_end(&mut self, index: usize, consumer: &GroupConsumer) {
        let partition = &mut self.partitions[index];
        let Some((due, _)) = partition.timers.first() else {
            partition.end_seen = None;
            return;
        };
        let at = now();
        if *due > at || partition.end_seen.is_some_and(|seen| seen.at >= *due) {
            return;
        }
        let topic = &self.pipeline.topics.events;
        match consumer.fetch_watermarks(topic, number(index), END_TIMEOUT) {
            Ok((_, end)) => partition.end_seen = Some(EndSeen { end, at, since: Instant::now() }),
            Err(error) => debug!(partition = index, %error, "the end of the partition cannot be had yet"),
        }
    }
}

/// Why a record cannot be read; `None` if its schema is on its way.
fn rejection(
    unreadable: Unreadable,
    schemas: &Schemas,
    waits_for: &mut Option<SchemaId>,
) -> Option<Rejection> {
    match unreadable {
        Unreadable::Rejected(rejection) => Some(rejection),
        Unreadable::SchemaNeeded(id) => {
            let answer = schemas.want(id);
            *waits_for = answer.is_none().then_some(id);
            answer.as_ref().map(record::rejection)
        }
    }
}
