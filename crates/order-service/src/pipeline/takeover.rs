//! Taking partitions over: from the barrier that is written to the first event that is processed.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::grace::Timer;
use super::group::Group;
use super::partition::{Surveyed, TakenOver, Trust};
use super::partitions::Partitions;
use super::survey::RETRY;
use super::{Pipeline, PipelineError};
use crate::changelog::Cut;

/// When a partition is looked at again whose changelog is lost.
const LOST_PAUSE: Duration = Duration::from_secs(10);

/// The barrier of a partition is read back, and its log was looked at: processes it, if the changelog has what was committed.
pub(super) fn take_over(
    pipeline: &Pipeline,
    partitions: &mut Partitions,
    group: &mut Group<'_>,
    index: usize,
    surveyed: Surveyed,
) -> Result<(), PipelineError> {
    match partitions[index].held_against(&surveyed) {
        Trust::Sound => {}
        Trust::ReadAnew => {
            warn!(
                partition = index,
                committed = surveyed.committed,
                next_offset = partitions[index].progress().map(|progress| progress.next_offset),
                "the group has committed more than the changelog has; reading it once more"
            );
            return partitions.read_anew(pipeline, index);
        }
        Trust::Lacks(events) => {
            error!(
                partition = index,
                events,
                "the changelog lacks what was committed: these events are processed again, and their dead letters may be \
                 doubled"
            );
            pipeline.metrics.processed_again(events);
        }
        Trust::Nothing if pipeline.settings.accept_lost_changelog => {
            warn!(partition = index, "the changelog has nothing; beginning anew (ACCEPT_LOST_CHANGELOG)");
        }
        Trust::Nothing => {
            partitions[index].changelog_lost();
            // Nothing of it is known, and nothing is said of it.
            pipeline.status.change(index, |status| status.restored = false);
            partitions[index].ask_again(Instant::now() + LOST_PAUSE);
            return Ok(());
        }
    }
    activate(pipeline, partitions, group, index, surveyed)
}

/// Everything before the barrier is known. From here on this instance processes.
fn activate(
    pipeline: &Pipeline,
    partitions: &mut Partitions,
    group: &mut Group<'_>,
    index: usize,
    surveyed: Surveyed,
) -> Result<(), PipelineError> {
    if let Err(error) = group.fetch_from(index, partitions[index].begins_at(surveyed)) {
        debug!(partition = index, %error, "the partition cannot be fetched again yet");
        partitions[index].ask_again(Instant::now() + RETRY);
        return Ok(());
    }
    let before = partitions[index].progress().map(|progress| progress.next_offset);
    let held = held(pipeline, index)?;
    let Some(taken_over) = partitions.take_over(index, surveyed, held)? else { return Ok(()) };
    tell_what_is_gone(pipeline, index, before, &taken_over);
    let progress = taken_over.progress;
    group.backlog.drop_below(index, progress.next_offset);
    let owner = pipeline.status.instance();
    pipeline.status.change(index, |status| {
        (status.active, status.owner, status.restored) = (true, owner, true);
        (status.position, status.start_offset, status.end_offset) =
            (progress.next_offset, surveyed.log.start, surveyed.log.end);
        (status.lost, status.cut) = (progress.lost, progress.cut);
    });
    info!(partition = index, next_offset = progress.next_offset, "processing");
    Ok(())
}

/// The timers of the updates that the store holds.
fn held(pipeline: &Pipeline, index: usize) -> Result<Vec<Timer>, PipelineError> {
    let store = &pipeline.view.store;
    let mut held = Vec::new();
    for order_id in store.early(index) {
        let state = store.state(index, &order_id)?;
        let updates = state.iter().flat_map(|state| &state.held);
        held.extend(updates.map(|update| (update.give_up_at, order_id.clone())));
    }
    Ok(held)
}

fn tell_what_is_gone(pipeline: &Pipeline, index: usize, before: Option<i64>, taken_over: &TakenOver) {
    let TakenOver { progress, lost, cut } = taken_over;
    if *lost > 0 {
        error!(
            partition = index,
            lost,
            from = before,
            to = progress.next_offset,
            "events were deleted from the topic before they were processed (retention); going on behind them"
        );
        pipeline.metrics.lost(*lost);
    }
    if let Some(Cut { from, .. }) = cut {
        let to = before.unwrap_or(*from);
        error!(
            partition = index,
            from,
            to,
            "the log of the events lost its end after that was processed, or was made anew: what it has from there on \
             is processed again; the orders stay as they are. Events up to before {to} may be lost"
        );
        pipeline.metrics.cut(to - from);
    }
}
