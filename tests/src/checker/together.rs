//! What was committed must belong together: every batch holds the states of its events and the progress past them,
//! and what is said of an event in one place holds in every other.

use std::collections::{BTreeMap, BTreeSet};

use super::anomaly::{Class, Findings};
use super::changelog::{Changelog, Progress, State, all_offsets, offsets};
use super::letters::Origin;
use super::model::{Model, Outcome, Place};
use super::redriven::Redriven;
use crate::kafka::Record;

/// Holds states, progress, outcomes and letters against each other. Nothing of the changelog may have been compacted
/// away: segments of 128 MiB see to that.
pub(super) fn find(changelog: &Changelog, letters: &[Origin], events: &[Record]) -> Findings {
    let mut findings = Findings::default();
    let redriven = Redriven::of(events);
    let states = changelog.states.iter().flat_map(|(id, states)| states.iter().map(move |state| (id, state)));
    let mut by_place: BTreeMap<Place, (&String, &State)> = BTreeMap::new();
    for (id, state) in states {
        by_place.insert((state.partition, state.offset), (id, state));
    }
    let mut before: BTreeMap<&String, BTreeSet<i64>> = BTreeMap::new();
    for (id, state) in by_place.into_values() {
        let now = all_offsets(&state.value);
        let new = before.insert(id, now.clone()).unwrap_or_default();
        let new = now.difference(&new).copied();
        findings.extend(check_batch(id, state, new, changelog, &redriven));
    }
    check_progress(changelog, &mut findings);
    check_outcomes(changelog, &redriven, &mut findings);
    check_letters(changelog, letters, &mut findings);
    findings
}

/// The events that a state shows for the first time are those of its batch.
fn check_batch(
    id: &str,
    state: &State,
    new: impl Iterator<Item = i64>,
    changelog: &Changelog,
    redriven: &Redriven,
) -> Findings {
    let mut findings = Findings::default();
    let (partition, at) = (state.partition, state.offset);
    let records = changelog.progress.get(&partition).map(Vec::as_slice).unwrap_or_default();
    let behind = records.partition_point(|progress| progress.offset < at);
    let Some(progress) = records.get(behind) else {
        let what = format!("no progress is behind the state of {id} at {partition}:{at} of the changelog");
        findings.add(Class::TornTransaction, what);
        return findings;
    };
    let from = behind.checked_sub(1).map_or(0, |last| records[last].next_offset);
    let batch = from..progress.next_offset;
    for offset in new {
        // One that came again is named by where it was first.
        let is_in = batch.contains(&offset) || redriven.has((partition, offset));
        let what = || format!("the event at {partition}:{offset} is in {id} with the batch of {batch:?}");
        findings.expect(is_in, Class::TornTransaction, what);
    }
    findings
}

/// The progress never goes back.
fn check_progress(changelog: &Changelog, findings: &mut Findings) {
    for (partition, records) in &changelog.progress {
        for pair in records.windows(2) {
            let [Progress { next_offset: before, .. }, Progress { next_offset: now, .. }] = pair else {
                continue;
            };
            let what = || format!("the progress of partition {partition} went back from {before} to {now}");
            findings.expect(now >= before, Class::TornTransaction, what);
        }
    }
}

/// What is applied is said to be applied, and what is held, to be held.
fn check_outcomes(changelog: &Changelog, redriven: &Redriven, findings: &mut Findings) {
    for (id, states) in &changelog.states {
        let Some(State { partition, value, .. }) = states.last() else { continue };
        let (applied, held) = offsets(value);
        for (offset, wanted) in
            applied.iter().map(|offset| (offset, "applied")).chain(held.iter().map(|offset| (offset, "held")))
        {
            let place = (*partition, *offset);
            let said = changelog.outcome(place);
            let is_so = said.is_none_or(|said| said == wanted) || redriven.has(place);
            let what = || format!("{place:?} is {wanted} in {id}, and its outcome is {said:?}");
            findings.expect(is_so, Class::TornTransaction, what);
        }
    }
}

/// A letter for each event that is said to be one, and the other way round.
fn check_letters(changelog: &Changelog, letters: &[Origin], findings: &mut Findings) {
    let mut said = changelog.letters();
    for Origin { place, reason, .. } in letters {
        let outcome = changelog.outcome(*place);
        let is_so = outcome == Some(reason) || is_forgotten(changelog, *place);
        let what = || format!("{place:?} is a letter ({reason}), and its outcome is {outcome:?}");
        findings.expect(is_so, Class::TornTransaction, what);
        said.remove(place);
    }
    for (place, reason) in said {
        let what = format!("the outcome of {place:?} is {reason}, and there is no letter");
        findings.add(Class::TornTransaction, what);
    }
}

fn is_forgotten(changelog: &Changelog, place: Place) -> bool {
    place.1 < changelog.processed(place.0) && changelog.outcome(place).is_none()
}

/// The outcomes that were committed are those of the model. What becomes of a copy of an update that was held, an
/// older version tells otherwise; that of an instance is looked at.
pub(super) fn check_model(changelog: &Changelog, model: &Model) -> Findings {
    let mut findings = Findings::default();
    for (place, outcome) in &model.outcomes {
        let wanted = match outcome {
            Outcome::Applied => "applied",
            Outcome::Duplicate => "duplicate",
            Outcome::Held => "held",
            Outcome::Letter(reason) => reason,
            Outcome::CopyOf(_) => continue,
        };
        let Some(said) = changelog.outcome(*place) else { continue };
        let class = if wanted == "duplicate" { Class::Duplicate } else { Class::Wrong };
        findings.expect(said == wanted, class, || format!("{place:?} is {said}; it must be {wanted}"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Two batches, of the events 0 and 1 and of the event 2; `states` are what the first and the second hold of an order.
    fn changelog(states: [&[i64]; 2]) -> Changelog {
        let mut changelog = Changelog::default();
        for (batch, applied) in (0..).zip(states) {
            let events: Vec<_> = applied.iter().map(|offset| json!({ "offset": offset })).collect();
            let value = json!({ "applied": events, "held": [] });
            let state = State { partition: 0, offset: 2 * batch, value };
            changelog.states.entry("ORDER".to_owned()).or_default().push(state);
            let progress = Progress { offset: 2 * batch + 1, next_offset: 2 + batch, outcomes_from: 0 };
            changelog.progress.entry(0).or_default().push(progress);
        }
        changelog
    }

    fn torn(changelog: &Changelog, letters: &[Origin]) -> usize {
        find(changelog, letters, &[]).count(Class::TornTransaction)
    }

    #[test]
    fn the_state_of_an_event_is_in_the_batch_that_goes_past_it() {
        assert_eq!(torn(&changelog([&[0, 1], &[0, 1, 2]]), &[]), 0);
        // Too late, and before its progress.
        assert_eq!(torn(&changelog([&[0], &[0, 1, 2]]), &[]), 1);
        assert_eq!(torn(&changelog([&[0, 1, 2], &[0, 1, 2]]), &[]), 1);
        let mut without_progress = changelog([&[0, 1], &[0, 1, 2]]);
        without_progress.progress.get_mut(&0).unwrap().pop();
        assert_eq!(torn(&without_progress, &[]), 1);
    }

    #[test]
    fn a_letter_is_said_to_be_one() {
        let letter = |offset| Origin {
            topic: "events".to_owned(),
            place: (0, offset),
            reason: "undecodable".to_owned(),
        };
        assert_eq!(torn(&changelog([&[], &[2]]), &[letter(1)]), 1, "it is said to be applied");
        assert_eq!(torn(&changelog([&[], &[2]]), &[letter(7)]), 1, "it is not processed");
    }
}
