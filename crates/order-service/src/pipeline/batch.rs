//! A batch: what the records of one partition make of their orders, before anything of it is written.

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;
use order_events::Reason;
use order_events::codec::{EncodeError, SchemaId};
use rdkafka::Message;

use super::backlog::size;
use super::grace::Timer;
use super::index_of;
use super::partition::Partition;
use super::retry::Retry;
use crate::changelog::{ChangelogCodec, ChangelogEntry, Progress};
use crate::dead_letters::{DeadLetter, Tally, counts};
use crate::event::fold::{Incoming, Rules, expire, fold};
use crate::event::outcome::{Outcome, Rejection, Verdict};
use crate::event::state::{HeldUpdate, OrderState};
use crate::metrics::Counts;
use crate::view::outcomes::window_of;
use crate::view::store::{CorruptState, StateBytes, Store};

/// What a batch does to one partition.
pub(super) struct PartitionBatch {
    /// The partition's number.
    pub(super) number: i32,
    /// How far the partition is processed with this batch.
    pub(super) progress: Progress,
    /// The states that the batch has touched, over those of the store.
    overlay: HashMap<CompactString, Option<OrderState>>,
    /// What became of events, but for those that were applied and had never waited.
    pub(super) outcomes: Vec<(i64, Outcome)>,
    pub(super) letters: Vec<DeadLetter>,
    /// How many bytes were read for it: keys and values of records, and the states that they change. What is written is
    /// about as much.
    pub(super) bytes: usize,
    /// The time at which it is folded, in milliseconds since 1970.
    now: i64,
    /// New held updates.
    pub(super) held: Vec<Timer>,
    pub(super) counts: Counts,
    /// How many records were taken, and how many letters count towards the limit on them.
    pub(super) tally: Tally,
    /// Up to which time held updates are given up with this batch, if any are.
    pub(super) given_up_until: Option<i64>,
    /// Whether the progress is news even without any event.
    must_be_written: bool,
    /// If the log is another one than was processed: the offset from which on the changelog is to forget what became of
    /// events.
    pub(super) went_back_to: Option<i64>,
    /// The schema that the record behind the batch waits for.
    pub(super) waits_for: Option<SchemaId>,
    /// The record whose processing failed.
    pub(super) retry: Option<Retry>,
}

impl PartitionBatch {
    /// An empty one of this partition, behind this progress.
    pub(super) fn new(partition: &Partition, progress: Progress, now: i64) -> Self {
        Self {
            number: partition.number(),
            must_be_written: partition.is_unwritten(),
            went_back_to: partition.went_back().then_some(progress.next_offset),
            progress,
            now,
            overlay: HashMap::new(),
            outcomes: Vec::new(),
            letters: Vec::new(),
            bytes: 0,
            held: Vec::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            given_up_until: None,
            waits_for: None,
            retry: None,
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.must_be_written && self.overlay.is_empty() && self.outcomes.is_empty() && self.counts.is_empty()
    }

    /// Folds the event of `record`.
    ///
    /// # Errors
    /// Memory is corrupt.
    pub(super) fn add(
        &mut self,
        store: &Store,
        rules: &Rules,
        record: &impl Message,
        incoming: Incoming<'_>,
    ) -> Result<(), CorruptState> {
        self.advance(record);
        let order_id = CompactString::from(incoming.event.order_id.as_str());
        let offset = incoming.offset;
        let (touched, state) = self.take_state(store, &order_id)?;
        let folded = fold(state, incoming, rules, self.now);
        let changed = matches!(folded.verdict, Ok(Outcome::Applied { .. } | Outcome::Held));
        match folded.verdict {
            Err(rejection) => self.letter(offset, DeadLetter::of_record(record, rejection, 0, self.now)),
            Ok(outcome) => {
                if outcome == Outcome::Held {
                    let held = folded.state.iter().flat_map(|state| state.held.last());
                    self.held.extend(held.map(|held| (held.give_up_at, order_id.clone())));
                }
                self.counts.add(&outcome);
                if !outcome.is_applied() {
                    self.outcomes.push((offset, outcome));
                }
            }
        }
        for (held, verdict) in folded.released {
            self.end_held(&order_id, held, verdict);
        }
        if touched || changed {
            self.overlay.insert(order_id, folded.state);
        }
        Ok(())
    }

    /// Makes a dead letter of a record that holds no event that could be folded.
    pub(super) fn reject(&mut self, record: &impl Message, rejection: Rejection) {
        self.advance(record);
        self.letter(record.offset(), DeadLetter::of_record(record, rejection, 0, self.now));
    }

    /// Takes a record that is read again and has its letter already.
    pub(super) fn has_letter(&mut self, record: &impl Message, reason: Reason) {
        self.advance(record);
        self.outcomes.push((record.offset(), Outcome::DeadLettered(reason)));
    }

    /// Makes a dead letter of a record that failed so often. Its failure was asked for, and is no sign of a bad deploy: it
    /// does not count towards the limit.
    pub(super) fn give_up(&mut self, record: &impl Message, retries: u32, detail: String) {
        self.advance(record);
        let rejection = Rejection::new(Reason::ProcessingFailed, detail);
        self.uncounted_letter(record.offset(), DeadLetter::of_record(record, rejection, retries, self.now));
    }

    /// Gives up the updates of an order that have waited long enough at `then`. Returns whether there were any.
    ///
    /// # Errors
    /// Memory is corrupt.
    pub(super) fn give_up_held(
        &mut self,
        store: &Store,
        order_id: &str,
        then: i64,
    ) -> Result<bool, CorruptState> {
        let (touched, state) = self.take_state(store, order_id)?;
        let (state, given_up) = state.map(|state| expire(state, then)).unwrap_or_default();
        let changed = !given_up.is_empty();
        for (held, verdict) in given_up {
            self.end_held(order_id, held, verdict);
        }
        // An order may have several timers: what an earlier one has left behind, even if it is nothing, stays.
        if touched || changed {
            self.overlay.insert(order_id.into(), state);
        }
        Ok(changed)
    }

    /// Moves on to a record. What lies between the last one and this are control records, which a consumer is not shown.
    fn advance(&mut self, record: &impl Message) {
        let offset = record.offset();
        self.bytes += size(record);
        self.outcomes.extend((self.progress.next_offset..offset).map(|gap| (gap, Outcome::NoEvent)));
        self.progress.next_offset = offset + 1;
        self.tally.events += 1;
    }

    fn letter(&mut self, offset: i64, letter: DeadLetter) {
        self.tally.letters += u64::from(counts(&letter));
        self.uncounted_letter(offset, letter);
    }

    fn uncounted_letter(&mut self, offset: i64, letter: DeadLetter) {
        let outcome = Outcome::DeadLettered(letter.rejection.reason);
        self.counts.add(&outcome);
        self.outcomes.push((offset, outcome));
        self.letters.push(letter);
    }

    /// What became of an update that was held.
    fn end_held(&mut self, order_id: &str, held: HeldUpdate, verdict: Verdict) {
        let offset = held.event.offset;
        match verdict {
            Err(rejection) => {
                self.letter(offset, DeadLetter::of_held(self.number, order_id, held, rejection, self.now));
            }
            Ok(outcome) => {
                self.counts.add(&outcome);
                // It was noted as held, so that it was applied must be noted as well.
                self.outcomes.push((offset, outcome));
            }
        }
    }

    /// The state of an order, as this batch has left it or as it is in the store; and whether the batch has touched it.
    fn take_state(
        &mut self,
        store: &Store,
        order_id: &str,
    ) -> Result<(bool, Option<OrderState>), CorruptState> {
        match self.overlay.remove(order_id) {
            Some(state) => Ok((true, state)),
            None => {
                let state = store.sized_state(index_of(self.number), order_id)?;
                self.bytes += state.as_ref().map_or(0, |(_, bytes)| *bytes);
                Ok((false, state.map(|(state, _)| state)))
            }
        }
    }

    /// The touched states as they go into the changelog and, after the commit, into the store.
    pub(super) fn encode_states(
        &mut self,
        codec: &ChangelogCodec,
    ) -> Result<Vec<(CompactString, Option<StateBytes>)>, EncodeError> {
        let mut buffer = Vec::with_capacity(512);
        let encoded = self.overlay.drain().map(|(order_id, state)| {
            let Some(state) = state else { return Ok((order_id, None)) };
            buffer.clear();
            codec.encode(&ChangelogEntry::OrderState(state), &mut buffer)?;
            Ok((order_id, Some(buffer.as_slice().into())))
        });
        encoded.collect()
    }

    /// What became of the events, by the window of outcomes that it changes.
    pub(super) fn windows(&self) -> BTreeMap<i64, Vec<(i64, Outcome)>> {
        let mut windows: BTreeMap<i64, Vec<(i64, Outcome)>> = BTreeMap::new();
        for (offset, outcome) in &self.outcomes {
            windows.entry(window_of(*offset)).or_default().push((*offset, outcome.clone()));
        }
        windows
    }
}
