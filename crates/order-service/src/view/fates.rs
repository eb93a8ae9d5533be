//! What became of each event: so that a client can ask, on any instance, also after a restart.
//!
//! Nearly every event is applied. Only the others are kept, by offset; they are written to the changelog in
//! windows, each a record of its own, and so come back with everything else.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use order_events::Reason;

use crate::changelog::{OutcomeRun, OutcomeWindow};

/// How many offsets share a record in the changelog.
pub(crate) const WINDOW: i64 = 4096;

/// How many events that were not simply applied are kept of one partition, the newest; some 40 MB.
pub(crate) const MAX_KEPT: usize = 500_000;

/// What became of an event, in short.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It changed its order.
    Applied,
    /// A copy of an event that was processed before.
    Duplicate,
    /// A copy of the UPDATE at this offset of the same partition, which was held then: its fate is the first one's.
    DuplicateOf(i64),
    /// An UPDATE that waits for its order's CREATE.
    Held,
    /// It could not be processed.
    DeadLettered(Reason),
    /// A newer version of this program gave it this outcome. Only reasons of dead letters are ever added.
    Other(Arc<str>),
    /// There is no event at that offset: a mark of a transaction, or nothing.
    NoEvent,
}

const APPLIED: &str = "applied";
const DUPLICATE: &str = "duplicate";
/// Followed by the offset of the first.
const DUPLICATE_OF: &str = "duplicate_of:";
const HELD: &str = "held";
const NO_EVENT: &str = "no_event";

impl Fate {
    /// What is in the changelog: a reason's name stands for a dead letter.
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Applied => APPLIED.into(),
            Self::Duplicate => DUPLICATE.into(),
            Self::DuplicateOf(first) => format!("{DUPLICATE_OF}{first}").into(),
            Self::Held => HELD.into(),
            Self::DeadLettered(reason) => reason.as_str().into(),
            Self::Other(name) => name.as_ref().into(),
            Self::NoEvent => NO_EVENT.into(),
        }
    }

    /// Whether it stays what it is.
    pub fn is_final(&self) -> bool {
        *self != Self::Held
    }

    fn parse(name: &str) -> Self {
        match name {
            APPLIED => Self::Applied,
            DUPLICATE => Self::Duplicate,
            HELD => Self::Held,
            NO_EVENT => Self::NoEvent,
            name => {
                let first = name.strip_prefix(DUPLICATE_OF).and_then(|first| first.parse().ok());
                let reason = || name.parse().ok().map(Self::DeadLettered);
                // A name that is dropped would be read as applied, and be lost when its window is written again.
                first.map(Self::DuplicateOf).or_else(reason).unwrap_or_else(|| Self::Other(name.into()))
            }
        }
    }
}

/// What became of the events of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcomes {
    /// Everything but [`Fate::Applied`].
    kept: BTreeMap<i64, Fate>,
    /// Older events are not known any more.
    from: i64,
}

impl Outcomes {
    /// What became of the event at `offset`, which is processed. `None` if that is not known any more. Never
    /// [`Fate::DuplicateOf`]: a copy of an update that was held shares its fate, unless that was to be applied.
    pub(crate) fn get(&self, offset: i64) -> Option<Fate> {
        match self.noted(offset)? {
            Fate::DuplicateOf(first) => match self.noted(first) {
                Some(fate @ (Fate::Held | Fate::DeadLettered(_) | Fate::Other(_))) => Some(fate),
                _ => Some(Fate::Duplicate),
            },
            fate => Some(fate),
        }
    }

    fn noted(&self, offset: i64) -> Option<Fate> {
        (offset >= self.from).then(|| self.kept.get(&offset).cloned().unwrap_or(Fate::Applied))
    }

    /// Notes what became of events.
    pub(crate) fn note(&mut self, fates: impl IntoIterator<Item = (i64, Fate)>) {
        for (offset, fate) in fates {
            if fate == Fate::Applied {
                self.kept.remove(&offset);
            } else {
                self.kept.insert(offset, fate);
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
            let fate = Fate::parse(&run.outcome);
            if fate != Fate::Applied {
                let offsets = run.first..run.first + i64::from(run.count);
                self.kept.extend(offsets.map(|offset| (offset, fate.clone())));
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

    /// Forgets everything before `from`.
    pub(crate) fn begin_at(&mut self, from: i64) {
        if from > self.from {
            self.from = from;
            self.kept = self.kept.split_off(&from);
        }
    }

    /// The window that begins at `first`, as it would be with `changes`, which are in it; `None` if everything in it is applied.
    pub(crate) fn window(&self, first: i64, changes: &[(i64, Fate)]) -> Option<OutcomeWindow> {
        let mut fates: BTreeMap<i64, Fate> =
            self.kept.range(first..first + WINDOW).map(|(offset, fate)| (*offset, fate.clone())).collect();
        fates.extend(changes.iter().cloned());
        let mut runs: Vec<OutcomeRun> = Vec::new();
        for (offset, fate) in fates.into_iter().filter(|(_, fate)| *fate != Fate::Applied) {
            match runs.last_mut() {
                Some(run) if run.first + i64::from(run.count) == offset && run.outcome == fate.name() => {
                    run.count += 1;
                }
                _ => runs.push(OutcomeRun { first: offset, count: 1, outcome: fate.name().into_owned() }),
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_fate_has_a_name_that_is_read_back() {
        let reasons = Reason::ALL.into_iter().map(Fate::DeadLettered);
        let copy = Fate::DuplicateOf(17);
        let newer = Fate::Other("too_old".into());
        let fates = [Fate::Applied, Fate::Duplicate, Fate::Held, Fate::NoEvent, copy, newer];
        for fate in fates.into_iter().chain(reasons) {
            assert_eq!(Fate::parse(&fate.name()), fate);
        }
    }

    #[test]
    fn a_copy_of_an_update_that_was_held_shares_its_fate() {
        let mut outcomes = Outcomes::default();
        outcomes.note([(3, Fate::Held), (4, Fate::DuplicateOf(3))]);
        assert_eq!(outcomes.get(4), Some(Fate::Held));
        let letter = Fate::DeadLettered(Reason::UnknownOrder);
        for (first, copy) in [(letter.clone(), letter), (Fate::Applied, Fate::Duplicate)] {
            outcomes.note([(3, first)]);
            assert_eq!(outcomes.get(4), Some(copy));
        }
        outcomes.begin_at(4);
        assert_eq!(outcomes.get(4), Some(Fate::Duplicate), "the first is forgotten");
    }

    #[test]
    fn what_is_not_noted_was_applied_and_what_is_forgotten_is_unknown() {
        let mut outcomes = Outcomes::default();
        outcomes.note([(3, Fate::Held), (WINDOW + 1, Fate::Duplicate)]);
        assert_eq!(outcomes.get(2), Some(Fate::Applied));
        assert_eq!(outcomes.get(3), Some(Fate::Held));
        outcomes.note([(3, Fate::Applied)]);
        assert_eq!(outcomes.get(3), Some(Fate::Applied));

        outcomes.note([(4, Fate::Duplicate)]);
        assert_eq!(outcomes.stale(WINDOW + 5), Some((WINDOW, vec![0])));
        outcomes.begin_at(WINDOW);
        assert_eq!((outcomes.get(4), outcomes.get(WINDOW + 1)), (None, Some(Fate::Duplicate)));
        assert_eq!(outcomes.stale(WINDOW + 6), None);
    }

    #[test]
    fn an_outcome_of_a_newer_version_is_kept_as_it_is() {
        let run = |first, outcome: &str| OutcomeRun { first, count: 1, outcome: outcome.to_owned() };
        let newer = OutcomeWindow { runs: vec![run(3, "too_old"), run(5, HELD)] };
        let mut outcomes = Outcomes::default();
        outcomes.load(0, Some(&newer));
        assert_eq!(outcomes.get(3), Some(Fate::Other("too_old".into())));
        let rewritten = outcomes.window(0, &[(5, Fate::Applied)]).unwrap_or(OutcomeWindow { runs: vec![] });
        assert_eq!(rewritten.runs, [run(3, "too_old")]);
    }

    #[test]
    fn only_so_many_are_kept() {
        let mut outcomes = Outcomes::default();
        let many = i64::try_from(MAX_KEPT).unwrap() + 3 * WINDOW;
        outcomes.note((0..many).map(|offset| (offset, Fate::Duplicate)));
        assert_eq!(outcomes.stale(0), Some((3 * WINDOW, vec![0, WINDOW, 2 * WINDOW])));
    }

    proptest! {
        /// Written window by window and loaded elsewhere, everything is known as before.
        #[test]
        fn windows_carry_everything(
            first in prop::collection::vec((0..3 * WINDOW, 0..6usize), 0..50),
            second in prop::collection::vec((0..3 * WINDOW, 0..6usize), 0..50),
        ) {
            let fates = [Fate::Applied, Fate::Duplicate, Fate::Held, Fate::NoEvent, Fate::DuplicateOf(1), Fate::DeadLettered(Reason::InvalidEvent)];
            let (mut here, mut there) = (Outcomes::default(), Outcomes::default());
            for batch in [first, second] {
                let changes: BTreeMap<_, _> = batch.into_iter().map(|(offset, fate)| (offset, fates[fate].clone())).collect();
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
