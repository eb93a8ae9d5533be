//! All partitions, and the tail that reads the changelog of those that this instance does not process.
//!
//! Where a change of a partition moves the tail, the change is made here.

use std::ops::{Deref, DerefMut};
use std::time::Instant;

use tracing::debug;

use super::grace::Timer;
use super::partition::{Partition, Surveyed, TailMove, TakenOver};
use super::silence::Silence;
use super::tail::{self, Tail};
use super::{Pipeline, PipelineError};

/// See the module.
pub(super) struct Partitions {
    all: Vec<Partition>,
    tail: Tail,
    /// That of the tail.
    silence: Silence,
}

impl Partitions {
    /// Begins to read the changelog from its begin; waits for brokers that are away. `None` if it was told to stop meanwhile.
    pub(super) fn begin(pipeline: &Pipeline) -> Result<Option<Self>, PipelineError> {
        let numbers = (0..).take(pipeline.partitions);
        let all: Vec<_> = numbers.map(|number| Partition::new(number, pipeline.settings.dlq_limit)).collect();
        let tail = tail::begin(pipeline, &next_to_read(&all))?;
        Ok(tail.map(|tail| Self { all, tail, silence: Silence::default() }))
    }

    /// Reads on with a new client.
    pub(super) fn replace_tail(&mut self, pipeline: &Pipeline) -> Result<(), PipelineError> {
        let Some(tail) = tail::begin(pipeline, &next_to_read(&self.all))? else { return Ok(()) };
        for partition in self.all.iter().filter(|partition| partition.active().is_some()) {
            tail.leave(partition.number())?;
        }
        self.tail = tail;
        self.silence.end();
        Ok(())
    }

    /// The tail, and the partitions that it tells of.
    pub(super) fn split(&mut self) -> (&Tail, &mut [Partition]) {
        (&self.tail, &mut self.all)
    }

    /// The group has given this instance a partition, or has taken it.
    pub(super) fn change_owner(&mut self, index: usize, is_ours: bool) -> Result<(), PipelineError> {
        let partition = &mut self.all[index];
        let tail_move = if is_ours { partition.assigned() } else { partition.revoked() };
        self.move_tail(index, tail_move)
    }

    /// A barrier is committed, at this offset of the changelog.
    pub(super) fn barrier_written(&mut self, index: usize, offset: i64) -> Result<(), PipelineError> {
        let tail_move = self.all[index].barrier_written(offset, Instant::now());
        self.move_tail(index, tail_move)
    }

    /// A transaction was not committed, or that is unknown.
    pub(super) fn writer_lost(&mut self, index: usize) -> Result<(), PipelineError> {
        let tail_move = self.all[index].writer_lost();
        self.move_tail(index, tail_move)
    }

    /// Everything before the barrier of a partition is known: see [`Partition::take_over`].
    pub(super) fn take_over(
        &mut self,
        index: usize,
        surveyed: Surveyed,
        held: Vec<Timer>,
    ) -> Result<Option<TakenOver>, PipelineError> {
        let Some((taken_over, tail_move)) = self.all[index].take_over(surveyed, held) else {
            return Ok(None);
        };
        self.move_tail(index, tail_move)?;
        Ok(Some(taken_over))
    }

    /// Forgets what is known of a partition, and reads its changelog from its begin.
    pub(super) fn read_anew(&mut self, pipeline: &Pipeline, index: usize) -> Result<(), PipelineError> {
        let tail_move = self.forget(pipeline, index);
        self.move_tail(index, tail_move)
    }

    /// The same for all, with a new client. Those of this instance need barriers again.
    pub(super) fn read_all_anew(&mut self, pipeline: &Pipeline) -> Result<(), PipelineError> {
        for index in 0..self.all.len() {
            let _ = self.all[index].writer_lost();
            let _ = self.forget(pipeline, index);
        }
        self.replace_tail(pipeline)
    }

    fn forget(&mut self, pipeline: &Pipeline, index: usize) -> TailMove {
        pipeline.view.store.clear(index);
        pipeline.view.processed.clear(index);
        pipeline.status.change(index, |status| {
            (status.active, status.restored, status.position) = (false, false, 0);
        });
        pipeline.metrics.read_anew();
        self.all[index].read_anew()
    }

    fn move_tail(&self, index: usize, change: TailMove) -> Result<(), PipelineError> {
        let number = self.all[index].number();
        match change {
            TailMove::Stay => {}
            TailMove::Leave => self.tail.leave(number)?,
            TailMove::ReturnTo(offset) => self.tail.return_to(number, offset)?,
        }
        Ok(())
    }

    /// The tail has given something.
    pub(super) fn news_came(&mut self) {
        self.silence.end();
    }

    /// Makes a new tail if this one gives nothing, although there should be something.
    pub(super) fn renew_silent_tail(&mut self, pipeline: &Pipeline) -> Result<(), PipelineError> {
        if !self.silence.is_too_long(&self.all, &pipeline.status.partitions(), Instant::now()) {
            return Ok(());
        }
        debug!("the changelog is silent; reading it with a new client");
        self.replace_tail(pipeline)?;
        self.silence.replaced(&pipeline.status.partitions());
        Ok(())
    }

    /// What one of this instance's partitions may take of so many bytes.
    pub(super) fn share_of(&self, bytes: usize) -> usize {
        let ours = self.all.iter().filter(|partition| partition.is_ours()).count();
        (bytes / ours.max(1)).max(1)
    }

    /// Whether the group has given this instance any.
    pub(super) fn has_any(&self) -> bool {
        self.all.iter().any(Partition::is_ours)
    }
}

/// From where the changelog of each is to be read.
fn next_to_read(all: &[Partition]) -> Vec<i64> {
    all.iter().map(Partition::next_to_read).collect()
}

impl Deref for Partitions {
    type Target = [Partition];

    fn deref(&self) -> &[Partition] {
        &self.all
    }
}

impl DerefMut for Partitions {
    fn deref_mut(&mut self) -> &mut [Partition] {
        &mut self.all
    }
}
