//! A batch: what its events make of their orders, before anything of it is written.

use std::collections::{BTreeMap, HashMap};

use compact_str::CompactString;
use order_events::codec::EncodeError;

use super::number;
use crate::changelog::{ChangelogCodec, ChangelogEntry, Progress};
use crate::dead_letters::{DeadLetter, Tally, counts};
use crate::event::fold::{Incoming, Rules, expire, fold};
use crate::event::outcome::{Outcome, Rejection};
use crate::event::state::{HeldUpdate, OrderState};
use crate::metrics::Counts;
use crate::view::fates::{Fate, window_of};
use crate::view::store::{CorruptState, StateBytes, Store};

/// What a batch does to one partition.
pub(super) struct PartitionBatch {
    pub(super) partition: usize,
    /// How far the partition is processed with this batch.
    pub(super) progress: Progress,
    /// The states that the batch has touched, over those of the store.
    overlay: HashMap<CompactString, Option<OrderState>>,
    /// What became of events that were not simply applied.
    pub(super) fates: Vec<(i64, Fate)>,
    pub(super) letters: Vec<DeadLetter>,
    /// The time at which it is folded, in milliseconds since 1970.
    pub(super) now: i64,
    /// New held updates: when they are given up, and of which order.
    pub(super) timers: Vec<(i64, CompactString)>,
    pub(super) counts: Counts,
    /// How many records were taken, and how many letters count towards the limit on them.
    pub(super) tally: Tally,
    /// Up to which time held updates are given up with this batch, if any are.
    pub(super) expired_until: Option<i64>,
    /// Whether the progress is news even without any event.
    pub(super) must_be_written: bool,
}

impl PartitionBatch {
    pub(super) fn new(partition: usize, progress: Progress, now: i64) -> Self {
        Self {
            partition,
            progress,
            now,
            overlay: HashMap::new(),
            fates: Vec::new(),
            letters: Vec::new(),
            timers: Vec::new(),
            counts: Counts::default(),
            tally: Tally::default(),
            expired_until: None,
            must_be_written: false,
        }
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        !self.must_be_written && self.overlay.is_empty() && self.fates.is_empty() && self.counts.is_empty()
    }

    /// Moves on to the record at `offset`. What lies between the last record and this one are marks of
    /// transactions, which a consumer is not shown.
    pub(super) fn advance(&mut self, offset: i64) {
        self.fates.extend((self.progress.next_offset..offset).map(|gap| (gap, Fate::NoEvent)));
        self.progress.next_offset = offset + 1;
        self.tally.events += 1;
    }

    /// Folds an event. `letter` makes a dead letter of its record, should it be none that can be processed.
    pub(super) fn fold(
        &mut self,
        store: &Store,
        incoming: Incoming<'_>,
        rules: &Rules,
        letter: impl FnOnce(Rejection) -> DeadLetter,
    ) -> Result<(), CorruptState> {
        let order_id = CompactString::from(incoming.event.order_id.as_str());
        let offset = incoming.offset;
        let (touched, state) = self.take_state(store, &order_id)?;
        let folded = fold(state, incoming, rules, self.now);
        let changed = matches!(folded.outcome, Outcome::Applied { .. } | Outcome::Held);
        match folded.outcome {
            Outcome::DeadLettered(rejection) => self.reject(offset, rejection, letter),
            outcome => {
                if outcome == Outcome::Held {
                    let held = folded.state.iter().flat_map(|state| state.held.last());
                    self.timers.extend(held.map(|held| (held.give_up_at, order_id.clone())));
                }
                self.note(offset, &outcome);
            }
        }
        for (held, outcome) in folded.released {
            self.end_held(&order_id, held, outcome);
        }
        if touched || changed {
            self.overlay.insert(order_id, folded.state);
        }
        Ok(())
    }

    /// A record that is no event.
    pub(super) fn reject(
        &mut self,
        offset: i64,
        rejection: Rejection,
        letter: impl FnOnce(Rejection) -> DeadLetter,
    ) {
        self.reject_uncounted(offset, rejection, letter);
        self.tally.letters += u64::from(self.letters.last().is_some_and(counts));
    }

    /// A record that fails because that was asked for: no sign of a bad deploy.
    pub(super) fn reject_uncounted(
        &mut self,
        offset: i64,
        rejection: Rejection,
        letter: impl FnOnce(Rejection) -> DeadLetter,
    ) {
        self.fates.push((offset, Fate::DeadLettered(rejection.reason)));
        self.counts.dead_lettered(rejection.reason);
        self.letters.push(letter(rejection));
    }

    /// Gives up the held updates of an order whose time was over then. Returns whether there were any.
    pub(super) fn expire(
        &mut self,
        store: &Store,
        order_id: CompactString,
        then: i64,
    ) -> Result<bool, CorruptState> {
        let (touched, state) = self.take_state(store, &order_id)?;
        let (state, given_up) = state.map(|state| expire(state, then)).unwrap_or_default();
        let changed = !given_up.is_empty();
        for (held, outcome) in given_up {
            self.end_held(&order_id, held, outcome);
        }
        // An order may have several timers: what an earlier one has left behind, even if it is nothing, stays.
        if touched || changed {
            self.overlay.insert(order_id, state);
        }
        Ok(changed)
    }

    /// What became of an update that was held.
    fn end_held(&mut self, order_id: &str, held: HeldUpdate, outcome: Outcome) {
        let offset = held.event.offset;
        match outcome {
            Outcome::DeadLettered(rejection) => {
                let (partition, now) = (number(self.partition), self.now);
                self.reject(offset, rejection, |rejection| {
                    DeadLetter::of_held(partition, order_id, held, rejection, now)
                });
            }
            outcome => {
                // It was noted as held, so that it was applied must be noted as well.
                self.fates.push((offset, Fate::Applied));
                self.counts.add(&outcome);
            }
        }
    }

    fn note(&mut self, offset: i64, outcome: &Outcome) {
        self.counts.add(outcome);
        match outcome {
            Outcome::Duplicate => self.fates.push((offset, Fate::Duplicate)),
            Outcome::DuplicateOf(first) => self.fates.push((offset, Fate::DuplicateOf(*first))),
            Outcome::Held => self.fates.push((offset, Fate::Held)),
            Outcome::Applied { .. } | Outcome::DeadLettered(_) => {}
        }
    }

    /// The state of an order, as this batch has left it or as it is in the store; and which of the two.
    fn take_state(
        &mut self,
        store: &Store,
        order_id: &str,
    ) -> Result<(bool, Option<OrderState>), CorruptState> {
        match self.overlay.remove(order_id) {
            Some(state) => Ok((true, state)),
            None => Ok((false, store.state(self.partition, order_id)?)),
        }
    }

    /// The touched states as they go into the changelog and, after the commit, into the store.
    pub(super) fn encode(
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
    pub(super) fn windows(&self) -> BTreeMap<i64, Vec<(i64, Fate)>> {
        let mut windows: BTreeMap<i64, Vec<(i64, Fate)>> = BTreeMap::new();
        for (offset, fate) in &self.fates {
            windows.entry(window_of(*offset)).or_default().push((*offset, fate.clone()));
        }
        windows
    }
}
