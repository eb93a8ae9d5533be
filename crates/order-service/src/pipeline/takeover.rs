//! Taking partitions over: from the barrier that is written to the first event that is processed.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::grace::Timer;
use super::group::Group;
use super::partition::{Partition, Surveyed, TakenOver, Trust};
use super::partitions::Partitions;
use super::survey::{RETRY, Survey};
use super::{Pipeline, PipelineError, index_of};
use crate::changelog::Cut;
use crate::view::status::Obstacle;

/// After this long on its way an operator is told of a partition.
const TELL_AFTER: Duration = Duration::from_secs(30);

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
            partitions[index].was_processed(true);
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

/// Tells an operator of partitions that cannot be processed for too long. Those that it tells of are `told`.
pub(super) fn tell(pipeline: &Pipeline, partitions: &[Partition], survey: &Survey, told: &mut Vec<i32>) {
    let now = Instant::now();
    let is_late = |partition: &&Partition| {
        let since = partition.on_its_way_since().filter(|_| !partition.is_changelog_lost());
        since.is_some_and(|since| now - since >= TELL_AFTER)
    };
    let late: Vec<&Partition> = partitions.iter().filter(is_late).collect();
    let numbers: Vec<i32> = late.iter().map(|partition| partition.number()).collect();
    if numbers == *told {
        return;
    }
    *told = numbers;
    let Some(first) = late.first() else {
        pipeline.status.clear(Obstacle::Takeover);
        return;
    };
    let reason = match survey.unanswered(index_of(first.number())) {
        Some(error) => format!("what partitions {told:?} and the group have cannot be told: {error}"),
        None => {
            let config = pipeline.clients.watch();
            let servers = config.get("bootstrap.servers").unwrap_or_default();
            format!(
                "partitions {told:?} of the changelog cannot be read up to the end, as an open transaction stands there: \
                 kafka-transactions.sh --bootstrap-server {servers} find-hanging --topic {} --partition {}",
                pipeline.topics.changelog,
                first.number()
            )
        }
    };
    pipeline.status.set(Obstacle::Takeover, reason);
}
