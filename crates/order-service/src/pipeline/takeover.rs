//! Taking partitions over: from the barrier that is written to the first event that is processed.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::grace::Timer;
use super::group::Group;
use super::partition::{Partition, Surveyed, TakenOver};
use super::partitions::Partitions;
use super::survey::RETRY;
use super::{Pipeline, PipelineError};
use crate::changelog::Cut;
use crate::writer::Writer;

/// When a barrier is not read back after this long, the open transaction of a dead writer stands before it.
const BARRIER_PATIENCE: Duration = Duration::from_millis(500);

/// The barrier is read back: everything before it is known. From here on this instance processes.
pub(super) fn activate(
    pipeline: &Pipeline,
    partitions: &mut Partitions,
    group: &mut Group<'_>,
    index: usize,
    surveyed: Surveyed,
) -> Result<(), PipelineError> {
    if let Some(from) = surveyed.diverges_at
        && let Err(error) = group.fetch_again(partitions[index].number(), from.max(surveyed.log.start))
    {
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
        (status.active, status.owner) = (true, owner);
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

/// Aborts what the last writer left open, by taking its transactional id for a moment. If it lives, it is fenced: it is not
/// the owner any more. One writer a turn: what was before its records can be read meanwhile.
pub(super) fn fence_longest_awaited(
    pipeline: &Pipeline,
    partitions: &mut [Partition],
) -> Result<(), PipelineError> {
    let awaited = partitions.iter().enumerate();
    let awaited = awaited.filter_map(|(index, partition)| Some((partition.awaited_since()?, index)));
    let Some((since, index)) = awaited.min() else { return Ok(()) };
    if since.elapsed() < BARRIER_PATIENCE {
        return Ok(());
    }
    let last = partitions[index].last_writer().map(str::to_owned);
    let own = pipeline.clients.transactional_id.as_ref();
    match last.as_ref().filter(|last| own.is_some_and(|own| own != *last) && !last.is_empty()) {
        Some(last) => match Writer::init(&pipeline.clients.writer(Some(last))?) {
            Ok(_) => info!(transactional_id = last, "aborted what the last owner left open"),
            Err(error) => warn!(%error, transactional_id = last, "the last owner could not be fenced yet"),
        },
        None => debug!(partition = index, "waiting for an open transaction of somebody unknown to time out"),
    }
    // Other partitions may have been the same writer's.
    for partition in partitions.iter_mut().filter(|partition| partition.last_writer() == last.as_deref()) {
        partition.last_writer_fenced(Instant::now());
    }
    Ok(())
}
