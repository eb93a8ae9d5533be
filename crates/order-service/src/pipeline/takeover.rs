//! Taking partitions over: from the barrier that is written to the first event that is processed.

use std::time::{Duration, Instant};

use tracing::{debug, error, info, warn};

use super::group::Group;
use super::partition::{EndsTooEarly, Partition, TakenOver, Watermarks};
use super::partitions::Partitions;
use super::{Pipeline, PipelineError};
use crate::writer::Writer;

/// When a barrier is not read back after this long, the open transaction of a dead writer stands before it.
const BARRIER_PATIENCE: Duration = Duration::from_millis(500);

/// How long a broker may take to tell where a partition begins and ends.
pub(super) const WATERMARK_TIMEOUT: Duration = Duration::from_secs(1);

/// Which partition is asked for first.
#[derive(Default)]
pub(super) struct Cursor(usize);

impl Cursor {
    /// Begins to process the partitions whose barrier is read back. One whose leader does not answer keeps this thread
    /// waiting: only one such is asked a turn, and the next turn begins behind it. Gives the partition whose log ends before
    /// what is processed, if there is one.
    pub(super) fn take_over(
        &mut self,
        pipeline: &Pipeline,
        partitions: &mut Partitions,
        group: &mut Group<'_>,
    ) -> Result<Option<(usize, EndsTooEarly)>, PipelineError> {
        let count = partitions.len();
        for index in (0..count).map(|step| (self.0 + step) % count) {
            if !partitions[index].can_be_taken_over(Instant::now()) {
                continue;
            }
            pipeline.status.beat();
            let checked = match group.watermarks(partitions[index].number(), WATERMARK_TIMEOUT) {
                Ok(log) => partitions[index].check_end(log).map(|()| Some(log)),
                Err(error) => {
                    debug!(partition = index, %error, "the partition's offsets cannot be had yet");
                    Ok(None)
                }
            };
            if let Ok(Some(log)) = checked {
                activate(pipeline, partitions, group, index, log)?;
                continue;
            }
            partitions[index].leader_silent(Instant::now());
            self.0 = index + 1;
            return Ok(checked.err().map(|early| (index, early)));
        }
        Ok(None)
    }
}

/// The barrier is read back: everything before it is known. From here on this instance processes.
fn activate(
    pipeline: &Pipeline,
    partitions: &mut Partitions,
    group: &mut Group<'_>,
    index: usize,
    log: Watermarks,
) -> Result<(), PipelineError> {
    let store = &pipeline.view.store;
    let mut held = Vec::new();
    for order_id in store.early(index) {
        let state = store.state(index, &order_id)?;
        let updates = state.iter().flat_map(|state| &state.held);
        held.extend(updates.map(|update| (update.give_up_at, order_id.clone())));
    }
    let before = partitions[index].progress();
    let Some(taken_over) = partitions.take_over(index, log, held)? else { return Ok(()) };
    let TakenOver { progress, lost } = taken_over;
    if lost > 0 {
        error!(
            partition = index,
            lost,
            from = before.map(|before| before.next_offset),
            to = progress.next_offset,
            "events were deleted from the topic before they were processed (retention); going on behind them"
        );
        pipeline.metrics.lost(lost);
    }
    group.backlog.drop_below(index, progress.next_offset);
    let owner = pipeline.status.instance();
    pipeline.status.change(index, |status| {
        (status.active, status.owner) = (true, owner);
        (status.position, status.start_offset, status.end_offset) =
            (progress.next_offset, log.start, log.end);
        status.lost = progress.lost;
    });
    info!(partition = index, next_offset = progress.next_offset, "processing");
    Ok(())
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
