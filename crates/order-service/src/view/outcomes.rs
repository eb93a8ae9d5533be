//! What became of each event: so that a client can ask, on any instance, also after a restart.
//!
//! Nearly every event is applied. Only the others are kept, by offset; they are written to the changelog in
//! windows, each a record of its own, and so come back with everything else.

use std::collections::{BTreeMap, BTreeSet};

use crate::changelog::{OutcomeRun, OutcomeWindow};
use crate::event::outcome::Outcome;

/// How many offsets share a record in the changelog.
pub(crate) const WINDOW: i64 = 4096;

/// How many events that were not simply applied are kept of one partition, the newest; some 40 MB.
pub(crate) const MAX_KEPT: usize = 500_000;

/// What became of the events of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes {
    /// Everything but [`Outcome::Applied`].
    kept: BTreeMap<i64, Outcome>,
    /// Older events are not known any more.
    from: i64,
}

impl Outcomes {
    /// What became of the event at `offset`, which is processed. `None` if that is not known any more. Never
    /// [`Outcome::DuplicateOf`]: a copy of an update that was held shares its outcome, unless that was to be applied.
    pub(crate) fn get(&self, offset: i64) -> Option<Outcome> {
        match self.noted(offset)? {
            Outcome::DuplicateOf(first) => match self.noted(first) {
                Some(outcome @ (Outcome::Held | Outcome::DeadLettered(_) | Outcome::Other(_))) => {
                    Some(outcome)
                }
                _ => Some(Outcome::Duplicate),
            },
            outcome => Some(outcome),
        }
    }

    fn noted(&self, offset: i64) -> Option<Outcome> {
        (offset >= self.from).then(|| self.kept.get(&offset).cloned().unwrap_or(Outcome::APPLIED))
    }

    /// Notes what became of events.
    pub(crate) fn note(&mut self, outcomes: impl IntoIterator<Item = (i64, Outcome)>) {
        for (offset, outcome) in outcomes {
            if outcome.is_applied() {
                self.kept.remove(&offset);
            } else {
                self.kept.insert(offset, outcome);
            }
        }
    }

    /// Replaces a window by what the changelog says of it.
    pub(crate) fn load(&mut self, first: i64, window: Option<&OutcomeWindow>) {
        let old: Vec<i64> = self.kept.range(first..first + WINDOW).map(|(offset, _)| *offset).collect();
        for offset in old {
            self.kept.remove(&offset);
        }
        for run in window.into_iter().flat_map(|window| &window.runs) {
            let outcome = Outcome::parse(&run.outcome);
            if !outcome.is_applied() {
                let offsets = run.first..run.first + i64::from(run.count);
                self.kept.extend(offsets.map(|offset| (offset, outcome.clone())));
            }
        }
    }

    /// What is to be forgotten when the log begins at `log_start`: where the knowledge begins then, and the
    /// windows that go. Also the oldest, when more is kept than [`MAX_KEPT`].
    pub(crate) fn stale(&self, log_start: i64) -> Option<(i64, Vec<i64>)> {
        let oldest = match self.kept.len().saturating_sub(MAX_KEPT) {
            0 => log_start,
            // Half a million at the most are walked, and only when there are more.
            too_many => self.kept.keys().nth(too_many).map_or(log_start, |offset| log_start.max(*offset)),
        };
        let from = window_of(oldest);
        if from <= self.from {
            return None;
        }
        let windows: BTreeSet<i64> = self.kept.range(..from).map(|(offset, _)| window_of(*offset)).collect();
        Some((from, windows.into_iter().collect()))
    }

    /// Forgets everything before `from`. It is further back than before where events are processed again.
    pub(crate) fn begin_at(&mut self, from: i64) {
        if from > self.from {
            self.kept = self.kept.split_off(&from);
        }
        self.from = from;
    }

    /// Forgets everything from `offset` on: other events are there now. Gives the windows that had something of it.
    pub(crate) fn cut_at(&mut self, offset: i64) -> BTreeSet<i64> {
        let gone = self.kept.split_off(&offset);
        gone.into_keys().map(window_of).collect()
    }

    /// The window that begins at `first`, as it would be with `changes`, which are in it; `None` if everything in it is applied.
    pub(crate) fn window(&self, first: i64, changes: &[(i64, Outcome)]) -> Option<OutcomeWindow> {
        let mut outcomes: BTreeMap<i64, Outcome> = self
            .kept
            .range(first..first + WINDOW)
            .map(|(offset, outcome)| (*offset, outcome.clone()))
            .collect();
        outcomes.extend(changes.iter().cloned());
        let mut runs: Vec<OutcomeRun> = Vec::new();
        for (offset, outcome) in outcomes.into_iter().filter(|(_, outcome)| !outcome.is_applied()) {
            match runs.last_mut() {
                Some(run) if run.first + i64::from(run.count) == offset && run.outcome == outcome.name() => {
                    run.count += 1;
                }
                _ => runs.push(OutcomeRun { first: offset, count: 1, outcome: outcome.name().into_owned() }),
            }
        }
        (!runs.is_empty()).then_some(OutcomeWindow { runs })
    }
}

/// The first offset of the window that `offset` is in.
pub(crate) fn window_of(offset: i64) -> i64 {
    offset - offset.rem_euclid(WINDOW)
}

#[cfg(test)]
mod tests {
    use order_events::Reason;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_copy_of_an_update_that_was_held_shares_its_fate() {
        let mut outcomes = Outcomes::default();
        outcomes.note([(3, Outcome::Held), (4, Outcome::DuplicateOf(3))]);
        assert_eq!(outcomes.get(4), Some(Outcome::Held));
        let letter = Outcome::DeadLettered(Reason::UnknownOrder);
        for (first, copy) in [(letter.clone(), letter), (Outcome::APPLIED, Outcome::Duplicate)] {
            outcomes.note([(3, first)]);
            assert_eq!(outcomes.get(4), Some(copy));
        }
        outcomes.begin_at(4);
        assert_eq!(outcomes.get(4), Some(Outcome::Duplicate), "the first is forgotten");
    }

    #[test]
    fn what_is_not_noted_was_applied_and_what_is_forgotten_is_unknown() {
        let mut outcomes = Outcomes::default();
        outcomes.note([(3, Outcome::Held), (WINDOW + 1, Outcome::Duplicate)]);
        assert_eq!(outcomes.get(2), Some(Outcome::APPLIED));
        assert_eq!(outcomes.get(3), Some(Outcome::Held));
        outcomes.note([(3, Outcome::APPLIED)]);
        assert_eq!(outcomes.get(3), Some(Outcome::APPLIED));

        outcomes.note([(4, Outcome::Duplicate)]);
        assert_eq!(outcomes.stale(WINDOW + 5), Some((WINDOW, vec![0])));
        outcomes.begin_at(WINDOW);
        assert_eq!((outcomes.get(4), outcomes.get(WINDOW + 1)), (None, Some(Outcome::Duplicate)));
        assert_eq!(outcomes.stale(WINDOW + 6), None);
    }

    #[test]
    fn an_outcome_of_a_newer_version_is_kept_as_it_is() {
        let run = |first, outcome: &str| OutcomeRun { first, count: 1, outcome: outcome.to_owned() };
        let newer = OutcomeWindow { runs: vec![run(3, "too_old"), run(5, "held")] };
        let mut outcomes = Outcomes::default();
        outcomes.load(0, Some(&newer));
        assert_eq!(outcomes.get(3), Some(Outcome::Other("too_old".into())));
        let rewritten =
            outcomes.window(0, &[(5, Outcome::APPLIED)]).unwrap_or(OutcomeWindow { runs: vec![] });
        assert_eq!(rewritten.runs, [run(3, "too_old")]);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut outcomes = Outcomes::default();
        let many = i64::try_from(MAX_KEPT).unwrap() + 3 * WINDOW;
        outcomes.note((0..many).map(|offset| (offset, Outcome::Duplicate)));
        assert_eq!(outcomes.stale(0), Some((3 * WINDOW, vec![0, WINDOW, 2 * WINDOW])));
    }

    proptest! {
        /// Written window by window and loaded elsewhere, everything is known as before.
        #[test]
        fn windows_carry_everything(
            first in prop::collection::vec((0..3 * WINDOW, 0..6usize), 0..50),
            second in prop::collection::vec((0..3 * WINDOW, 0..6usize), 0..50),
        ) {
            let outcomes = [Outcome::APPLIED, Outcome::Duplicate, Outcome::Held, Outcome::NoEvent, Outcome::DuplicateOf(1), Outcome::DeadLettered(Reason::InvalidEvent)];
            let (mut here, mut there) = (Outcomes::default(), Outcomes::default());
            for batch in [first, second] {
                let changes: BTreeMap<_, _> = batch.into_iter().map(|(offset, outcome)| (offset, outcomes[outcome].clone())).collect();
                let changes: Vec<_> = changes.into_iter().collect();
                let windows: BTreeSet<i64> = changes.iter().map(|(offset, _)| window_of(*offset)).collect();
                for window in windows {
                    let of_it: Vec<_> = changes.iter().filter(|(offset, _)| window_of(*offset) == window).cloned().collect();
                    there.load(window, here.window(window, &of_it).as_ref());
                }
                here.note(changes);
            }
            prop_assert_eq!(here.kept, there.kept);
        }
    }
}
