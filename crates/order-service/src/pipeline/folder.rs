//! From the records of a partition to a batch, record by record, until one has to wait.

use order_events::EventCodec;
use order_events::codec::{DecodeError, SchemaId, Undecodable};
use rdkafka::Message;
use tracing::warn;

use super::batch::PartitionBatch;
use super::batch_limit::Size;
use super::clock::Now;
use super::partition::Partition;
use super::retry::{Attempt, attempt, injected_failure};
use crate::changelog::{Checkpoint, Progress};
use crate::dead_letters::Index;
use crate::event::fold::{Incoming, MAX_HELD_IN_ALL, Rules};
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
    pub(super) letters: &'a Index,
    pub(super) store: &'a Store,
    pub(super) rules: &'a Rules,
    pub(super) settings: &'a PipelineSettings,
    pub(super) metrics: &'a EventMetrics,
    /// Asks for a schema. `Some` if it will never be had, `None` if it is on its way.
    pub(super) want: &'a dyn Fn(SchemaId) -> Option<Undecodable>,
    /// How much a batch takes, but one record at least; and as much again of held updates that are given up.
    pub(super) limit: Size,
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
        records: impl Iterator<Item = &'r M> + Clone,
    ) -> Result<PartitionBatch, CorruptState> {
        let mut batch = PartitionBatch::new(partition, progress, self.now.millis);
        let mut last = None;
        batch.retry = partition.retry();
        let mut is_waiting = false;
        for record in records.clone().take(self.limit.events) {
            if batch.bytes >= self.limit.bytes {
                break;
            }
            if !partition.admits(batch.tally) || !self.take(partition.held(), record, &mut batch)? {
                is_waiting = true;
                break;
            }
            last = Some(record);
        }
        if let Some(last) = last {
            batch.progress.checkpoints.note(Checkpoint::of(last));
        }
        if partition.folded(batch.waits_for, batch.retry) {
            self.look_ahead(records);
        }
        if !is_waiting {
            self.give_up_held(partition, &mut batch)?;
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
        if batch.progress.is_read_again()
            && let Some(reason) = self.letters.reason_of(record)
        {
            batch.has_letter(record, reason);
            return Ok(true);
        }
        let may_wait = held + batch.held.len() < MAX_HELD_IN_ALL;
        let original = || record::original(record);
        match record::read(record, self.events, may_wait, &original) {
            Ok(incoming) => self.process(record, incoming, batch),
            Err(Unreadable::Rejected(rejection)) => {
                batch.reject(record, rejection);
                Ok(true)
            }
            Err(Unreadable::SchemaNeeded(id)) => match (self.want)(id) {
                Some(undecodable) => {
                    batch.reject(record, record::rejection(&undecodable));
                    Ok(true)
                }
                None => {
                    batch.waits_for = Some(id);
                    Ok(false)
                }
            },
        }
    }

    /// Takes the event of a record into the batch, unless its processing fails. False if it is to be tried again.
    fn process(
        &self,
        record: &impl Message,
        incoming: Incoming<'_>,
        batch: &mut PartitionBatch,
    ) -> Result<bool, CorruptState> {
        let (offset, failure) = (incoming.offset, injected_failure(self.settings, &incoming.event));
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
    ) -> Result<(), CorruptState> {
        let Some(grace) = partition.grace() else { return Ok(()) };
        let Some(until) = grace.over_until(batch.progress.next_offset) else { return Ok(()) };
        let (mut pointless, mut is_all, bytes) = (Vec::new(), true, batch.bytes);
        for timer in grace.over(until) {
            if batch.letters.len() >= self.limit.events || batch.bytes - bytes >= self.limit.bytes {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use order_events::Reason;
    use prometheus_client::registry::Registry;
    use rdkafka::message::OwnedMessage;

    use super::*;
    use crate::changelog::{ChangelogCodec, Mark};
    use crate::event::outcome::Outcome;
    use crate::pipeline::backlog;
    use crate::pipeline::log_ends::EndSeen;
    use crate::pipeline::partition::{Surveyed, Watermarks};
    use crate::samples;
    use crate::settings::Guarantee;
    use crate::view::ViewCell;
    use crate::view::status::Status;

    const RULES: Rules = Rules { strict_transitions: false, update_grace: Duration::from_millis(100) };

    /// Orders of this customer fail.
    const FAILING: &str = "CUST-FAIL";

    /// Schemas up to this id are on their way; the registry knows none behind it.
    const LAST_KNOWN_ID: u32 = 20;

    /// One partition and what its fold needs.
    struct Rig {
        events: EventCodec,
        letters: Index,
        changelog: Arc<ChangelogCodec>,
        store: Store,
        settings: PipelineSettings,
        metrics: EventMetrics,
        wanted: RefCell<Vec<SchemaId>>,
        partition: Partition,
        now: Now,
        limit: Size,
    }

    impl Rig {
        fn new() -> Self {
            Self::with_limit_on_letters("off")
        }

        fn with_limit_on_letters(dlq_limit: &str) -> Self {
            let changelog = Arc::new(samples::changelog_codec());
            let settings = PipelineSettings {
                processing_guarantee: Guarantee::ExactlyOnce,
                batch_max_events: 100,
                max_buffered_bytes: 1_000_000,
                processing_retries: [1, 2].map(Duration::from_secs).to_vec(),
                dlq_limit: dlq_limit.parse().unwrap(),
                failure_injection_customer_suffix: Some("FAIL".to_owned()),
                instance_id: None,
                accept_lost_changelog: false,
            };
            let status = Status::new(0);
            let metrics = EventMetrics::register(&mut Registry::default(), ViewCell::default(), status);
            Self {
                events: samples::event_codec(),
                letters: Index::new(100, samples::TOPIC),
                store: Store::new(changelog.clone(), 1),
                changelog,
                partition: active(&settings),
                settings,
                metrics,
                wanted: RefCell::default(),
                now: Now { instant: Instant::now(), millis: 1_000 },
                limit: Size { events: 100, bytes: 1_000_000 },
            }
        }

        /// Folds what is waiting, behind what is processed.
        fn fold(&mut self, records: &[OwnedMessage]) -> PartitionBatch {
            let want = |id| {
                self.wanted.borrow_mut().push(id);
                (id > LAST_KNOWN_ID).then_some(Undecodable::UnknownSchema { id })
            };
            let folder = Folder {
                events: &self.events,
                letters: &self.letters,
                store: &self.store,
                rules: &RULES,
                settings: &self.settings,
                metrics: &self.metrics,
                want: &want,
                limit: self.limit,
                now: self.now,
            };
            let progress = self.partition.active().unwrap().clone();
            let records: Vec<_> =
                records.iter().filter(|record| record.offset() >= progress.next_offset).collect();
            folder.fold(&mut self.partition, progress, records.iter().copied()).unwrap()
        }

        /// As after the commit of its transaction.
        fn commit(&mut self, mut batch: PartitionBatch) {
            self.store.apply(0, batch.encode_states(&self.changelog).unwrap());
            self.partition.committed(batch.progress, batch.given_up_until, batch.held);
        }

        fn status(&self, order_id: &str) -> Option<String> {
            self.store.order(order_id).unwrap().map(|order| order.status)
        }

        fn pass(&mut self, time: Duration) {
            self.now.instant += time;
            self.now.millis += i64::try_from(time.as_millis()).unwrap();
        }
    }

    fn active(settings: &PipelineSettings) -> Partition {
        let mut partition = Partition::new(0, settings.dlq_limit);
        assert!(partition.identified(Mark::at(0)));
        let _ = partition.assigned();
        let _ = partition.barrier_written(1, Instant::now());
        partition.stored(Mark::at(1));
        let log = Watermarks { start: 0, end: 0 };
        let _ = partition.take_over(Surveyed { log, diverges_at: None, committed: None }, []).unwrap();
        partition
    }

    fn no_event(offset: i64) -> OwnedMessage {
        samples::raw_record(offset, "ORD-1", b"no event".to_vec())
    }

    const DEAD: Outcome = Outcome::DeadLettered(Reason::Undecodable);

    #[test]
    fn the_last_record_of_a_batch_is_a_checkpoint() {
        let mut rig = Rig::new();
        let batch = rig.fold(&[no_event(0), no_event(1)]);
        assert_eq!(batch.progress.checkpoints.newest(), Some(Checkpoint::of(&no_event(1))));
        rig.commit(batch);
        let empty = rig.fold(&[]);
        assert_eq!(empty.progress.checkpoints.newest(), Some(Checkpoint::of(&no_event(1))));
    }

    /// As after a cut of the log: processed up to before 4, and again from 0 on.
    fn goes_back(rig: &mut Rig) {
        let _ = rig.partition.revoked();
        let _ = rig.partition.assigned();
        let _ = rig.partition.barrier_written(2, Instant::now());
        rig.partition.stored(Mark::at(2));
        let log = Watermarks { start: 0, end: 9 };
        let _ = rig.partition.take_over(Surveyed { log, diverges_at: Some(0), committed: None }, []).unwrap();
    }

    #[test]
    fn what_is_read_again_has_the_outcome_that_it_had() {
        let mut rig = Rig::new();
        let created = samples::record(0, &samples::created("ORD-1", "CUST-1"));
        let held = samples::record(1, &samples::updated("ORD-2", "confirmed"));
        let late = samples::record(3, &samples::updated("ORD-1", "confirmed"));
        let before = rig.fold(&[created.clone(), held.clone(), no_event(2), late.clone()]);
        let outcomes = before.outcomes.clone();
        assert_eq!(outcomes, [(1, Outcome::Held), (2, DEAD)]);
        let letter = samples::letter_record(&before.letters[0], 0);
        rig.commit(before);
        rig.letters.take(&letter);

        goes_back(&mut rig);
        let again = rig.fold(&[created, held, no_event(2), late]);
        assert_eq!((&again.outcomes, again.letters.len(), again.went_back_to), (&outcomes, 0, Some(0)));
        assert_eq!((again.tally.letters, again.progress.is_read_again()), (0, false));
        rig.commit(again);
        assert_eq!(rig.status("ORD-1").as_deref(), Some("confirmed"));
        assert_eq!(rig.fold(&[]).went_back_to, None, "it is written");
    }

    #[test]
    fn another_event_at_the_place_of_a_letter_has_none() {
        let mut rig = Rig::new();
        let before = rig.fold(&[no_event(0)]);
        rig.letters.take(&samples::letter_record(&before.letters[0], 0));
        rig.commit(before);
        goes_back(&mut rig);
        let other = samples::raw_record(0, "ORD-1", b"something else".to_vec());
        assert_eq!(rig.fold(&[other]).letters.len(), 1);
    }

    #[test]
    fn the_events_of_an_order_are_folded_onto_each_other() {
        let mut rig = Rig::new();
        let (created, updated) =
            (samples::created("ORD-1", "CUST-1"), samples::updated("ORD-1", "confirmed"));
        let records =
            [(0, &created), (1, &updated), (2, &created)].map(|(at, event)| samples::record(at, event));
        let batch = rig.fold(&records);
        assert_eq!((batch.progress.next_offset, batch.tally.events, batch.letters.len()), (3, 3, 1));
        // Its id is its place, as it has no other: a second CREATE is another event.
        assert_eq!(batch.outcomes, [(2, Outcome::DeadLettered(Reason::DuplicateOrder))]);
        assert_eq!(rig.status("ORD-1"), None, "it is not committed yet");
        rig.commit(batch);
        assert_eq!(rig.status("ORD-1").as_deref(), Some("confirmed"));
    }

    #[test]
    fn without_records_there_is_nothing_to_write() {
        let mut rig = Rig::new();
        assert!(rig.fold(&[]).is_empty());
    }

    #[test]
    fn offsets_between_records_are_control_records() {
        let mut rig = Rig::new();
        let records = [samples::record(3, &samples::created("ORD-1", "CUST-1")), no_event(5)];
        let outcomes = rig.fold(&records).outcomes;
        let gap = |offset| (offset, Outcome::NoEvent);
        assert_eq!(outcomes, [gap(0), gap(1), gap(2), gap(4), (5, DEAD)]);
    }

    #[test]
    fn a_batch_takes_no_more_records_than_its_limit() {
        let mut rig = Rig::new();
        rig.limit.events = 2;
        let records: Vec<_> = (0..5).map(no_event).collect();
        let batch = rig.fold(&records);
        assert_eq!((batch.progress.next_offset, batch.letters.len()), (2, 2));
    }

    #[test]
    fn a_batch_takes_no_more_bytes_than_its_limit_and_one_more_record() {
        let mut rig = Rig::new();
        let records: Vec<_> = (0..5).map(no_event).collect();
        let size = backlog::size(&records[0]);
        for (bytes, taken) in [(1, 1), (size, 1), (size + 1, 2), (3 * size, 3)] {
            rig.limit.bytes = bytes;
            assert_eq!(rig.fold(&records).progress.next_offset, taken, "{bytes}");
        }
    }

    #[test]
    fn a_small_update_of_a_large_order_counts_with_the_order() {
        let mut rig = Rig::new();
        for order_id in ["ORD-1", "ORD-2"] {
            let offset = rig.partition.active().unwrap().next_offset;
            let batch = rig.fold(&[samples::record(offset, &samples::created(order_id, &"C".repeat(1_000)))]);
            rig.commit(batch);
        }
        rig.limit.bytes = 1_000;
        let update = |(offset, id)| samples::record(offset, &samples::updated(id, "confirmed"));
        let batch = rig.fold(&[(2, "ORD-1"), (3, "ORD-2")].map(update));
        assert_eq!(batch.progress.next_offset, 3);
    }

    #[test]
    fn where_a_schema_is_fetched_the_rest_waits_and_its_schemas_are_asked_for() {
        let mut rig = Rig::new();
        let event = samples::created("ORD-1", "CUST-1");
        let records = [
            no_event(0),
            samples::record_with_schema(1, &event, 11),
            no_event(2),
            samples::record_with_schema(3, &event, 12),
        ];
        let batch = rig.fold(&records);
        assert_eq!((batch.progress.next_offset, batch.waits_for), (1, Some(11)));
        assert_eq!(*rig.wanted.borrow(), [11, 11, 12]);
        assert!(rig.partition.is_blocked(rig.now.instant));
        rig.commit(batch);
        rig.wanted.borrow_mut().clear();
        assert!(rig.fold(&records).is_empty());
        assert_eq!(*rig.wanted.borrow(), [11], "the others were asked for before");

        rig.events.learn(11, samples::event_schema()).unwrap();
        let batch = rig.fold(&records);
        assert_eq!((batch.progress.next_offset, batch.waits_for), (3, Some(12)));
    }

    #[test]
    fn a_schema_that_the_registry_does_not_know_makes_a_letter() {
        let mut rig = Rig::new();
        let event = samples::created("ORD-1", "CUST-1");
        let batch = rig.fold(&[samples::record_with_schema(0, &event, 99), no_event(1)]);
        assert_eq!(batch.outcomes, [(0, Outcome::DeadLettered(Reason::UnknownSchema)), (1, DEAD)]);
        assert_eq!((batch.tally.letters, batch.waits_for), (2, None));
    }

    #[test]
    fn a_batch_ends_where_the_limit_on_letters_is_reached() {
        let mut rig = Rig::with_limit_on_letters("0%/3/1m");
        let records: Vec<_> = (0..9).map(no_event).collect();
        let batch = rig.fold(&records);
        assert_eq!((batch.letters.len(), batch.tally.letters), (3, 3));
    }

    #[test]
    fn a_failure_is_tried_again_after_each_pause_and_then_given_up() {
        let mut rig = Rig::with_limit_on_letters("0%/3/1m");
        let records = [samples::record(0, &samples::created("ORD-1", FAILING)), no_event(1)];
        for pause in [1, 2] {
            let batch = rig.fold(&records);
            assert!(batch.is_empty());
            assert!(rig.partition.is_blocked(rig.now.instant));
            rig.pass(Duration::from_millis(pause * 1000 - 1));
            assert!(rig.fold(&records).is_empty(), "the pause is not over");
            rig.pass(Duration::from_millis(1));
            assert!(!rig.partition.is_blocked(rig.now.instant));
        }
        let batch = rig.fold(&records);
        assert_eq!(batch.outcomes, [(0, Outcome::DeadLettered(Reason::ProcessingFailed)), (1, DEAD)]);
        assert_eq!(batch.tally.letters, 1, "what was asked for does not count");
        let again = rig.fold(&records);
        assert_eq!(again.letters.len(), 2, "its transaction was aborted: it is given up again");
    }

    #[test]
    fn an_update_waits_for_its_create_and_is_applied_with_it() {
        let mut rig = Rig::new();
        let records = [
            samples::record(0, &samples::updated("ORD-1", "confirmed")),
            samples::record(1, &samples::created("ORD-1", "CUST-1")),
        ];
        let batch = rig.fold(&records[..1]);
        assert_eq!(batch.outcomes, [(0, Outcome::Held)]);
        assert_eq!(batch.held, [(1_100, "ORD-1".into())]);
        rig.commit(batch);
        let batch = rig.fold(&records);
        assert!(matches!(batch.outcomes.as_slice(), [(0, Outcome::Applied { .. })]), "{:?}", batch.outcomes);
        rig.commit(batch);
        assert_eq!(rig.status("ORD-1").as_deref(), Some("confirmed"));
    }

    /// Some orders of which only an update is there, of which the time is over, and where the log ends then.
    fn held(rig: &mut Rig, orders: i64, log_end: i64) {
        let update = |at| samples::record(at, &samples::updated(&format!("ORD-{at}"), "confirmed"));
        let records: Vec<_> = (0..orders).map(update).collect();
        let batch = rig.fold(&records);
        rig.commit(batch);
        rig.pass(RULES.update_grace);
        assert!(rig.fold(&[]).is_empty(), "nobody has asked where the log ends");
        let grace = rig.partition.grace().unwrap();
        let end = EndSeen { offset: log_end, asked_at: rig.now.millis };
        assert!(!grace.end_seen(Some(end), rig.now.millis));
    }

    #[test]
    fn held_updates_are_given_up_once_the_log_is_processed() {
        let mut rig = Rig::new();
        held(&mut rig, 2, 3);
        assert!(rig.fold(&[]).is_empty(), "a record is to come");
        let batch = rig.fold(&[samples::record(2, &samples::created("ORD-1", "CUST-1"))]);
        let unknown = Outcome::DeadLettered(Reason::UnknownOrder);
        assert!(batch.outcomes.contains(&(0, unknown)), "{:?}", batch.outcomes);
        assert_eq!(batch.letters.len(), 1, "the CREATE of the other one came");
        rig.commit(batch);
        assert_eq!((rig.partition.held(), rig.status("ORD-1").as_deref()), (0, Some("confirmed")));
        assert!(rig.fold(&[]).is_empty());
    }

    #[test]
    fn held_updates_are_given_up_batch_by_batch() {
        let mut rig = Rig::new();
        held(&mut rig, 5, 5);
        rig.limit.events = 3;
        let mut letters = Vec::new();
        while letters.iter().sum::<usize>() < 5 {
            let batch = rig.fold(&[]);
            letters.push(batch.letters.len());
            rig.commit(batch);
        }
        assert_eq!(letters, [3, 2]);
        assert!(rig.store.early(0).is_empty());
    }

    #[test]
    fn held_updates_of_many_bytes_are_given_up_batch_by_batch() {
        let mut rig = Rig::new();
        held(&mut rig, 3, 3);
        rig.limit.bytes = 1;
        for left in [2, 1, 0] {
            let batch = rig.fold(&[]);
            assert_eq!(batch.letters.len(), 1);
            rig.commit(batch);
            assert_eq!(rig.store.early(0).len(), left);
        }
    }
}
