//! One partition: how this instance stands to it, and what is known of it.
//!
//! ```text
//! Follows ──assigned──► NeedsBarrier ──barrier_written──► AwaitsBarrier ──take_over──► Active
//! ```
//!
//! From each of them, `assigned` and `writer_lost` lead back to `NeedsBarrier` (the latter not from `Follows`), and `revoked`
//! leads back to `Follows`.
//!
//! It knows no clock and no client: it is told what happened, and says whether the tail of the changelog must move.

use std::time::{Duration, Instant};

use order_events::codec::SchemaId;

use super::grace::{Grace, Timer};
use super::retry::Retry;
use crate::changelog::{Cut, Mark, Progress};
use crate::dead_letters::{Change, Gate, Limit, Stop, Tally};

/// When a barrier is not read back after this long, although the tail stands at the end, the open transaction of a dead
/// writer stands before it. Each time that writer was fenced in vain, it takes twice as long, up to 2^4 times.
const BARRIER_PATIENCE: Duration = Duration::from_millis(500);
const LONGEST_PATIENCE: u32 = 4;

/// How this instance stands to a partition.
#[derive(Debug)]
enum Role {
    /// Another instance processes it, or none; its changelog is followed.
    Follows,
    /// The group has given it to this instance. Before anything is processed, a barrier must be written.
    NeedsBarrier,
    /// The barrier is written. When it is read back, everything before it is resolved: committed and read, or aborted.
    AwaitsBarrier {
        /// The barrier's offset in the changelog.
        offset: i64,
        /// Since when it is awaited, or since when the writer that is in the way was fenced.
        since: Instant,
    },
    /// This instance processes it.
    Active(Active),
}

/// What an instance keeps of a partition that it processes.
#[derive(Debug)]
struct Active {
    /// Whether its progress, or what identifies the changelog, is not in the changelog yet.
    unwritten: bool,
    /// Whether the changelog still has what became of events that are processed again.
    went_back: bool,
    /// The schema without which the next record cannot be read.
    waits_for: Option<SchemaId>,
    grace: Grace,
    /// The last progress record that this instance has written and shown.
    own: Option<Mark>,
}

/// What the tail of the changelog must do, so that it reads what this instance does not write itself.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TailMove {
    /// Read on as before.
    Stay,
    /// Read nothing more of the partition: this instance writes it from now on.
    Leave,
    /// Read it again, from this offset on.
    ReturnTo(i64),
}

/// Where the log of a partition's events begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Watermarks {
    /// The offset of the first record.
    pub(super) start: i64,
    /// The offset behind the last record.
    pub(super) end: i64,
}

/// The log of a partition's events, held against what was processed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Surveyed {
    /// Where it begins and ends.
    pub(super) log: Watermarks,
    /// If it is another log than was processed: the offset before which both are the same.
    pub(super) diverges_at: Option<i64>,
    /// The offset that the group has committed, if it has one.
    pub(super) committed: Option<i64>,
}

/// What the offset that the group has committed tells of the changelog, whose progress is written in the same transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// The changelog has all that was committed.
    Sound,
    /// It seems to lack something: it is to be read once more.
    ReadAnew,
    /// It lacks the progress of so many events. They are processed again.
    Lacks(i64),
    /// It has nothing at all.
    Nothing,
}

/// How a partition is processed from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TakenOver {
    /// Where it begins.
    pub(super) progress: Progress,
    /// How many events retention has deleted since the last owner.
    pub(super) lost: i64,
    /// What was cut off the log since then.
    pub(super) cut: Option<Cut>,
}

/// One partition of the events, and that of the changelog with the same number.
#[derive(Debug)]
pub(super) struct Partition {
    number: i32,
    role: Role,
    /// What this instance wrote last, until it is read back: an abort takes a transaction along whose commit marker was lost.
    unproven: Option<Mark>,
    /// Whether the tail has read everything that can be read.
    is_at_end: bool,
    /// Whether something of it is missing, so that the changelog is to be read anew.
    lacks_own: bool,
    /// Whether it was read anew since the group gave the partition or took it.
    was_read_anew: bool,
    /// Whether it was processed before, as the group's committed offset says; `None` while that is not known.
    was_processed: Option<bool>,
    /// Whether its log was looked at since the group gave it, and is what was processed: the loss of a writer changes nothing
    /// of that.
    is_surveyed: bool,
    /// Since when this instance is on the way to process it, with barriers that are not read back.
    on_its_way_since: Option<Instant>,
    /// How often the writer that is in the way was fenced since then.
    fenced: u32,
    /// The last two records of the changelog that are in the store; what this instance wrote itself included. Where a
    /// log that was cut and went on has a control record, which nobody is shown, the other one tells.
    marks: [Option<Mark>; 2],
    /// What the changelog says of the progress; `None` if it says nothing.
    progress: Option<Progress>,
    /// Where the log of the events was seen to begin and to end, when the consumer asked for an offset that it did not have.
    log: Option<Watermarks>,
    /// When to ask again what the log of the events has, if that is not sure.
    ask_again_at: Option<Instant>,
    /// Who wrote the last barrier that was read.
    last_writer: Option<String>,
    /// The record that identifies the changelog; partition 0 has it.
    identity: Option<Mark>,
    /// What is written to a changelog that nothing identifies.
    own_identity: Option<Vec<u8>>,
    /// The record whose processing failed, if it may pass. The loss of a writer does not begin its retries anew.
    retry: Option<Retry>,
    /// Stops it when too many of its events become dead letters. It outlives a revocation: a group that gives the
    /// partition back and forth must not let the flood through.
    gate: Gate,
}

impl Partition {
    /// One that is followed, and of which nothing is read yet.
    pub(super) fn new(number: i32, limit: Limit) -> Self {
        Self {
            number,
            role: Role::Follows,
            unproven: None,
            is_at_end: false,
            lacks_own: false,
            was_read_anew: false,
            was_processed: None,
            is_surveyed: false,
            on_its_way_since: None,
            fenced: 0,
            marks: [None; 2],
            progress: None,
            log: None,
            ask_again_at: None,
            last_writer: None,
            identity: None,
            own_identity: None,
            retry: None,
            gate: Gate::new(limit),
        }
    }

    /// As Kafka counts.
    pub(super) fn number(&self) -> i32 {
        self.number
    }

    // What the group does.

    /// The group has given it to this instance.
    pub(super) fn assigned(&mut self) -> TailMove {
        self.owner_changes();
        self.leave_for(Role::NeedsBarrier)
    }

    /// The group has taken it from this instance.
    pub(super) fn revoked(&mut self) -> TailMove {
        self.owner_changes();
        self.leave_for(Role::Follows)
    }

    fn owner_changes(&mut self) {
        (self.retry, self.ask_again_at) = (None, None);
        (self.was_read_anew, self.is_surveyed) = (false, false);
    }

    /// Whether the group has given it to this instance.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.role, Role::Follows)
    }

    // What the writer does.

    /// Whether a barrier must be written.
    pub(super) fn needs_barrier(&self) -> bool {
        matches!(self.role, Role::NeedsBarrier)
    }

    /// The barrier is committed, at this offset of the changelog. The tail must tell anew whether it stands at the end.
    pub(super) fn barrier_written(&mut self, offset: i64, now: Instant) -> TailMove {
        if !self.needs_barrier() {
            return TailMove::Stay;
        }
        self.role = Role::AwaitsBarrier { offset, since: now };
        self.on_its_way_since.get_or_insert(now);
        self.is_at_end = false;
        TailMove::ReturnTo(self.next_to_read())
    }

    /// A transaction was not committed, or that is unknown: a new barrier tells, and whether the one before it is there.
    pub(super) fn writer_lost(&mut self) -> TailMove {
        match self.role {
            Role::Follows => TailMove::Stay,
            _ => self.leave_for(Role::NeedsBarrier),
        }
    }

    /// From now on it is not processed, and its changelog is read again.
    fn leave_for(&mut self, role: Role) -> TailMove {
        (self.on_its_way_since, self.fenced) = (None, 0);
        let Role::Active(active) = std::mem::replace(&mut self.role, role) else { return TailMove::Stay };
        (self.unproven, self.is_at_end) = (active.own, false);
        TailMove::ReturnTo(self.next_to_read())
    }

    /// The offset from which on the changelog is to be read: what this instance wrote last included, until it is proven.
    pub(super) fn next_to_read(&self) -> i64 {
        self.unproven.map_or(self.known() + 1, |own| own.offset)
    }

    /// Whether its barrier is written, and this instance does not process it yet.
    pub(super) fn awaits_barrier(&self) -> bool {
        matches!(self.role, Role::AwaitsBarrier { .. })
    }

    /// Since when its barrier does not come back, if it is awaited.
    pub(super) fn awaited_since(&self) -> Option<Instant> {
        match self.role {
            Role::AwaitsBarrier { offset, since } if self.known() < offset => Some(since),
            _ => None,
        }
    }

    /// Whether everything before its barrier is known.
    fn is_read_back(&self) -> bool {
        self.awaits_barrier() && self.awaited_since().is_none() && !self.lacks_own
    }

    /// The writer that may be in the way of the barrier was fenced: what it left open ends now. If that was in vain before, a
    /// new barrier is written: of the last one the control record may be lost, and the next one of its writer ends it as well.
    pub(super) fn last_writer_fenced(&mut self, now: Instant) {
        let Role::AwaitsBarrier { since, .. } = &mut self.role else { return };
        *since = now;
        if self.fenced > 0 {
            self.role = Role::NeedsBarrier;
        }
        self.fenced = self.fenced.saturating_add(1);
    }

    /// Since when the open transaction of another writer must stand before the barrier: the tail has read everything up to it,
    /// and that for long enough. `None` if that is not so.
    pub(super) fn stuck_since(&self, now: Instant) -> Option<Instant> {
        let since = self.awaited_since().filter(|_| self.is_at_end)?;
        let patience = BARRIER_PATIENCE * 2_u32.pow(self.fenced.min(LONGEST_PATIENCE));
        (now.duration_since(since) >= patience).then_some(since)
    }

    /// Whether the writer that is in the way was fenced before.
    pub(super) fn was_fenced(&self) -> bool {
        self.fenced > 0
    }

    /// Since when this instance is on the way to process it: its first barrier is written, and nothing is processed yet.
    pub(super) fn on_its_way_since(&self) -> Option<Instant> {
        self.on_its_way_since
    }

    // What the changelog says.

    /// The last offset of the changelog that is in the store, -1 if nothing is.
    pub(super) fn known(&self) -> i64 {
        self.marks[1].map_or(-1, |mark| mark.offset)
    }

    /// The last two records of the changelog that are in the store.
    pub(super) fn marks(&self) -> [Option<Mark>; 2] {
        self.marks
    }

    /// This record of the changelog is in the store.
    pub(super) fn stored(&mut self, mark: Mark) {
        if mark.offset > self.known() {
            self.marks = [self.marks[1], Some(mark)];
        }
    }

    /// This instance wrote this record of the changelog; its last one of a batch is the progress.
    pub(super) fn wrote(&mut self, mark: Mark) {
        self.stored(mark);
        if let Role::Active(active) = &mut self.role {
            active.own = Some(mark);
        }
    }

    /// The next record that the tail has. Whether it is news: not if it is in the store, or if what this instance wrote
    /// before it is missing.
    pub(super) fn read(&mut self, mark: Mark) -> bool {
        if mark.offset <= self.known() {
            self.unproven = self.unproven.filter(|own| *own != mark);
            return false;
        }
        self.is_at_end = false;
        // Compaction may have removed it for a later one: then the partition is read anew for nothing.
        self.lacks_own |= self.unproven.is_some();
        !self.lacks_own
    }

    /// The tail has read everything that can be read.
    pub(super) fn end_read(&mut self) {
        self.is_at_end = true;
    }

    /// Whether something that this instance wrote and showed is missing.
    pub(super) fn lacks_own(&self) -> bool {
        self.lacks_own
    }

    /// Whether the tail has read everything, and it must be asked whether the partition was processed before.
    pub(super) fn wants_committed(&self) -> bool {
        self.is_at_end && self.progress.is_none() && self.was_processed.is_none()
    }

    /// Whether the partition was processed before, as the group's committed offset says.
    pub(super) fn was_processed(&mut self, was_processed: bool) {
        self.was_processed = Some(was_processed);
    }

    /// Whether what the store has of it is what there is: an empty changelog of a partition that was processed is lost.
    pub(super) fn may_be_shown(&self) -> bool {
        self.is_at_end && (self.progress.is_some() || self.was_processed == Some(false))
    }

    /// Nothing is in the store any more: the changelog is read from its begin.
    pub(super) fn read_anew(&mut self) -> TailMove {
        (self.unproven, self.is_at_end, self.was_processed) = (None, false, None);
        (self.lacks_own, self.was_read_anew, self.is_surveyed) = (false, true, false);
        (self.marks, self.progress, self.last_writer) = ([None; 2], None, None);
        TailMove::ReturnTo(0)
    }

    /// What the offset that the group has committed tells of the changelog. One below the progress is usual: it is forgotten
    /// sooner, and people set it back.
    pub(super) fn held_against(&self, surveyed: &Surveyed) -> Trust {
        let log_start = surveyed.log.start;
        let Some(committed) = surveyed.committed.filter(|committed| *committed > log_start) else {
            return Trust::Sound;
        };
        let lacking = self.progress.as_ref().map(|progress| committed - progress.next_offset);
        match lacking {
            Some(lacking) if lacking <= 0 => Trust::Sound,
            _ if !self.was_read_anew => Trust::ReadAnew,
            Some(lacking) => Trust::Lacks(lacking),
            None => Trust::Nothing,
        }
    }

    /// Whether the changelog has nothing of it, although it was processed.
    pub(super) fn is_changelog_lost(&self) -> bool {
        self.progress.is_none() && self.was_processed == Some(true)
    }

    /// How far the partition is processed, as the changelog says; `None` if it says nothing.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// Its progress was read.
    pub(super) fn progress_read(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }

    /// Who wrote the last barrier.
    pub(super) fn last_writer(&self) -> Option<&str> {
        self.last_writer.as_deref()
    }

    /// A barrier was read.
    pub(super) fn barrier_read(&mut self, writer: String) {
        self.last_writer = Some(writer);
    }

    /// The record that identifies the changelog.
    pub(super) fn identity(&self) -> Option<Mark> {
        self.identity
    }

    /// Whether the changelog lacks what identifies it, and this is the partition that has it.
    pub(super) fn lacks_identity(&self) -> bool {
        self.number == 0 && self.identity.is_none()
    }

    /// What identifies the changelog, if it lacks that and this is the partition that has it. It is made once: without
    /// transactions, an attempt that failed may have written it already.
    pub(super) fn missing_identity(&mut self, make: impl FnOnce() -> Vec<u8>) -> Option<Vec<u8>> {
        self.lacks_identity().then(|| self.own_identity.get_or_insert_with(make).clone())
    }

    /// A record that identifies the changelog is in it. Returns whether it says the same as the one before.
    #[must_use]
    pub(super) fn identified(&mut self, mark: Mark) -> bool {
        let is_another = self.identity.is_some_and(|before| !mark.says_the_same(before));
        if !is_another {
            self.identity = Some(mark);
        }
        !is_another
    }

    // Taking over.

    /// Whether it can be taken over: its barrier is read back, and what its log has was not asked just now.
    pub(super) fn can_be_taken_over(&self, now: Instant) -> bool {
        self.is_read_back() && self.ask_again_at.is_none_or(|at| at <= now)
    }

    /// Whether its log was looked at since the group gave it, and is what was processed.
    pub(super) fn is_surveyed(&self) -> bool {
        self.is_surveyed
    }

    /// It is not sure what its log has: that is asked again then.
    pub(super) fn ask_again(&mut self, at: Instant) {
        self.ask_again_at = Some(at);
    }

    /// Where it would be processed from now on.
    pub(super) fn begins_at(&self, surveyed: Surveyed) -> i64 {
        taken_over(self.progress.clone(), surveyed).progress.next_offset
    }

    /// Everything before the barrier is known: from here on this instance processes. `held` are the timers of the updates
    /// that the store holds. `None` if the barrier is not read back.
    pub(super) fn take_over(
        &mut self,
        surveyed: Surveyed,
        held: impl IntoIterator<Item = Timer>,
    ) -> Option<(TakenOver, TailMove)> {
        if !self.is_read_back() {
            return None;
        }
        let taken_over = taken_over(self.progress.clone(), surveyed);
        self.progress = Some(taken_over.progress.clone());
        self.log = None;
        (self.on_its_way_since, self.fenced, self.is_surveyed) = (None, 0, true);
        let went_back = taken_over.cut.is_some();
        // What is lost must be known to the other instances, and to who asks for what became of it. The group gets the
        // offset that goes with the progress. A changelog that has no identity yet gets one.
        let is_behind =
            surveyed.committed.is_some_and(|committed| committed > taken_over.progress.next_offset);
        let unwritten = went_back || is_behind || taken_over.lost > 0 || self.lacks_identity();
        self.role = Role::Active(Active {
            unwritten,
            went_back,
            waits_for: None,
            grace: Grace::new(held),
            own: None,
        });
        Some((taken_over, TailMove::Leave))
    }

    /// The consumer asked for an offset that its log does not have: it begins and ends here. A leader that is not up to date
    /// may know an older begin.
    pub(super) fn log_is(&mut self, log: Watermarks) {
        let start = self.log.map_or(log.start, |before| before.start.max(log.start));
        self.log = Some(Watermarks { start, end: log.end.max(start) });
    }

    /// From where its events are fetched; `None` is from the begin of their log. Behind what is processed, unless the log
    /// does not have that offset: what is lost by that is found out when the partition is taken over.
    pub(super) fn fetch_from(&self) -> Option<i64> {
        let next = self.progress.as_ref().map(|progress| progress.next_offset);
        let Some(log) = self.log else { return next };
        next.or(Some(log.start)).map(|next| next.clamp(log.start, log.end))
    }

    // Processing.

    /// How far it is processed, if this instance does that.
    pub(super) fn active(&self) -> Option<&Progress> {
        self.progress.as_ref().filter(|_| matches!(self.role, Role::Active(_)))
    }

    /// Whether its progress is to be written even without any event.
    pub(super) fn is_unwritten(&self) -> bool {
        matches!(self.role, Role::Active(Active { unwritten: true, .. }))
    }

    /// Whether the changelog still has what became of events that are processed again.
    pub(super) fn went_back(&self) -> bool {
        matches!(self.role, Role::Active(Active { went_back: true, .. }))
    }

    /// Whether its records cannot be processed just now.
    pub(super) fn is_blocked(&self, now: Instant) -> bool {
        let Role::Active(active) = &self.role else { return true };
        let waits = active.waits_for.is_some() || self.retry.is_some_and(|retry| retry.waits(now));
        waits || self.gate.is_stopped()
    }

    /// The held updates, if this instance processes it.
    pub(super) fn grace(&mut self) -> Option<&mut Grace> {
        match &mut self.role {
            Role::Active(active) => Some(&mut active.grace),
            _ => None,
        }
    }

    /// How many updates are held.
    pub(super) fn held(&self) -> usize {
        match &self.role {
            Role::Active(active) => active.grace.held(),
            _ => 0,
        }
    }

    /// The record whose processing failed.
    pub(super) fn retry(&self) -> Option<Retry> {
        self.retry
    }

    /// Its records were folded: what the next one waits for. Returns whether that is a schema that it did not wait for
    /// before.
    pub(super) fn folded(&mut self, waits_for: Option<SchemaId>, retry: Option<Retry>) -> bool {
        self.retry = retry;
        let Role::Active(active) = &mut self.role else { return false };
        let before = std::mem::replace(&mut active.waits_for, waits_for);
        waits_for.is_some() && waits_for != before
    }

    /// A batch of it was committed: how far it is processed now, up to when held updates were given up, and which are new.
    pub(super) fn committed(&mut self, progress: Progress, given_up_until: Option<i64>, held: Vec<Timer>) {
        if let Role::Active(active) = &mut self.role {
            self.progress = Some(progress);
            (active.unwritten, active.went_back) = (false, false);
            active.grace.committed(given_up_until, held);
        }
    }

    // The limit on dead letters.

    /// Whether one more event may be processed behind those of a batch.
    pub(super) fn admits(&self, batch: Tally) -> bool {
        self.gate.admits(batch)
    }

    /// Whether too many of its events became dead letters.
    pub(super) fn is_stopped(&self) -> bool {
        self.gate.is_stopped()
    }

    /// The stop, if this instance has the partition.
    pub(super) fn stop(&self) -> Option<Stop> {
        self.gate.stop().filter(|_| self.is_ours())
    }

    /// Time has passed for a stop of this instance.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Change> {
        if self.is_ours() { self.gate.tick(now) } else { None }
    }

    /// Counts the letters of a batch that was committed.
    pub(super) fn count_letters(&mut self, tally: Tally, now: Instant) -> Option<Change> {
        self.gate.note(tally, now)
    }
}

/// The progress of a partition, held against its log.
fn taken_over(progress: Option<Progress>, Surveyed { log, diverges_at, .. }: Surveyed) -> TakenOver {
    let Some(mut progress) = progress else {
        let progress = Progress { next_offset: log.start, outcomes_from: log.start, ..Progress::default() };
        return TakenOver { progress, lost: 0, cut: None };
    };
    let cut = diverges_at.map(|from| go_back(&mut progress, from.max(log.start)));
    let lost = (log.start - progress.next_offset).max(0);
    if lost > 0 {
        (progress.next_offset, progress.outcomes_from) = (log.start, log.start);
        progress.lost += lost;
    }
    TakenOver { progress, lost, cut }
}

/// The events from this offset on are not those that were processed.
fn go_back(progress: &mut Progress, from: i64) -> Cut {
    let to = progress.next_offset;
    let events = progress.cut.map_or(0, |before| before.events) + (to - from);
    // What was being read again after another cut still is.
    let to = progress.cut.map_or(to, |before| before.to.max(to));
    let cut = Cut { from, to, events };
    progress.next_offset = from;
    progress.outcomes_from = progress.outcomes_from.min(from);
    progress.checkpoints.cut_at(from);
    progress.cut = Some(cut);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changelog::{Checkpoint, Checkpoints};

    /// Where the barrier of these tests is.
    const BARRIER: i64 = 7;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum State {
        Follows,
        NeedsBarrier,
        /// The barrier is not read back yet.
        Awaits,
        /// It is.
        ReadBack,
        Active,
    }

    #[derive(Debug, Clone, Copy)]
    enum Input {
        Assigned,
        Revoked,
        BarrierWritten,
        BarrierRead,
        LastWriterFenced,
        Unsure,
        TakeOver,
        Committed,
        WriterLost,
    }

    impl State {
        /// Each has a successor, so that none is forgotten.
        fn next(self) -> Option<Self> {
            Some(match self {
                Self::Follows => Self::NeedsBarrier,
                Self::NeedsBarrier => Self::Awaits,
                Self::Awaits => Self::ReadBack,
                Self::ReadBack => Self::Active,
                Self::Active => return None,
            })
        }

        fn of(partition: &Partition) -> Self {
            match partition.role {
                Role::Follows => Self::Follows,
                Role::NeedsBarrier => Self::NeedsBarrier,
                Role::AwaitsBarrier { .. } if partition.awaited_since().is_some() => Self::Awaits,
                Role::AwaitsBarrier { .. } => Self::ReadBack,
                Role::Active(_) => Self::Active,
            }
        }

        /// A partition in this state, of which the changelog is known up to before the barrier.
        fn partition(self) -> Partition {
            let mut partition = new();
            partition.stored(mark(BARRIER - 1));
            let inputs: &[Input] = match self {
                Self::Follows => &[],
                Self::NeedsBarrier => &[Input::Assigned],
                Self::Awaits => &[Input::Assigned, Input::BarrierWritten],
                Self::ReadBack => &[Input::Assigned, Input::BarrierWritten, Input::BarrierRead],
                Self::Active => {
                    &[Input::Assigned, Input::BarrierWritten, Input::BarrierRead, Input::TakeOver]
                }
            };
            for input in inputs {
                let _ = input.apply(&mut partition);
            }
            assert_eq!(Self::of(&partition), self);
            partition
        }
    }

    impl Input {
        fn next(self) -> Option<Self> {
            Some(match self {
                Self::Assigned => Self::Revoked,
                Self::Revoked => Self::BarrierWritten,
                Self::BarrierWritten => Self::BarrierRead,
                Self::BarrierRead => Self::LastWriterFenced,
                Self::LastWriterFenced => Self::Unsure,
                Self::Unsure => Self::TakeOver,
                Self::TakeOver => Self::Committed,
                Self::Committed => Self::WriterLost,
                Self::WriterLost => return None,
            })
        }

        fn apply(self, partition: &mut Partition) -> TailMove {
            let now = Instant::now();
            match self {
                Self::Assigned => return partition.assigned(),
                Self::Revoked => return partition.revoked(),
                Self::WriterLost => return partition.writer_lost(),
                Self::BarrierWritten => return partition.barrier_written(BARRIER, now),
                Self::BarrierRead => partition.stored(mark(BARRIER)),
                Self::LastWriterFenced => partition.last_writer_fenced(now),
                Self::Unsure => partition.ask_again(now),
                Self::Committed => partition.committed(progress(9), None, Vec::new()),
                Self::TakeOver => {
                    let taken_over = partition.take_over(sound(0, 9), []);
                    return taken_over.map_or(TailMove::Stay, |(_, tail_move)| tail_move);
                }
            }
            TailMove::Stay
        }

        /// The state after this input, and what the tail does. Every pair is here.
        fn expected(self, state: State) -> (State, TailMove) {
            use State::{Active, Awaits, Follows, NeedsBarrier, ReadBack};
            use TailMove::{Leave, ReturnTo, Stay};
            match (self, state) {
                (Self::Assigned, Follows | NeedsBarrier | Awaits | ReadBack) => (NeedsBarrier, Stay),
                (Self::Assigned, Active) => (NeedsBarrier, ReturnTo(BARRIER + 1)),
                (Self::Revoked, Follows | NeedsBarrier | Awaits | ReadBack) => (Follows, Stay),
                (Self::Revoked, Active) => (Follows, ReturnTo(BARRIER + 1)),
                (Self::BarrierWritten, NeedsBarrier) => (Awaits, ReturnTo(BARRIER)),
                (Self::BarrierWritten, Follows | Awaits | ReadBack | Active) => (state, Stay),
                (Self::BarrierRead, Awaits) => (ReadBack, Stay),
                (Self::BarrierRead, Follows | NeedsBarrier | ReadBack | Active) => (state, Stay),
                (Self::TakeOver, ReadBack) => (Active, Leave),
                (Self::TakeOver, Follows | NeedsBarrier | Awaits | Active) => (state, Stay),
                (Self::WriterLost, Follows) => (Follows, Stay),
                (Self::WriterLost, NeedsBarrier | Awaits | ReadBack) => (NeedsBarrier, Stay),
                (Self::WriterLost, Active) => (NeedsBarrier, ReturnTo(BARRIER + 1)),
                (
                    Self::LastWriterFenced | Self::Unsure | Self::Committed,
                    Follows | NeedsBarrier | Awaits | ReadBack | Active,
                ) => (state, Stay),
            }
        }
    }

    fn new() -> Partition {
        Partition::new(0, "off".parse().unwrap())
    }

    fn mark(offset: i64) -> Mark {
        Mark::at(offset)
    }

    fn progress(next_offset: i64) -> Progress {
        Progress { next_offset, ..Progress::default() }
    }

    /// A log that has what was processed.
    fn sound(start: i64, end: i64) -> Surveyed {
        Surveyed { log: Watermarks { start, end }, diverges_at: None, committed: None }
    }

    #[test]
    fn every_state_answers_every_input() {
        let states = std::iter::successors(Some(State::Follows), |state| state.next());
        for state in states {
            let inputs = std::iter::successors(Some(Input::Assigned), |input| input.next());
            for input in inputs {
                let mut partition = state.partition();
                let tail_move = input.apply(&mut partition);
                let got = (State::of(&partition), tail_move);
                assert_eq!(got, input.expected(state), "{input:?} when it is {state:?}");
            }
        }
    }

    #[test]
    fn only_an_active_partition_is_processed_and_has_held_updates() {
        for state in std::iter::successors(Some(State::Follows), |state| state.next()) {
            let mut partition = state.partition();
            let is_active = state == State::Active;
            assert_eq!(partition.active().is_some(), is_active, "{state:?}");
            assert_eq!(partition.grace().is_some(), is_active, "{state:?}");
            assert_eq!(partition.is_blocked(Instant::now()), !is_active, "{state:?}");
            assert_eq!(partition.is_ours(), state != State::Follows);
        }
    }

    #[test]
    fn while_it_is_not_sure_what_its_log_has_it_is_not_taken_over() {
        let (mut partition, now) = (State::ReadBack.partition(), Instant::now());
        assert!(partition.can_be_taken_over(now));
        partition.ask_again(now + Duration::from_secs(2));
        assert!(!partition.can_be_taken_over(now + Duration::from_secs(1)));
        assert!(partition.can_be_taken_over(now + Duration::from_secs(2)));
        assert!(!State::Awaits.partition().can_be_taken_over(now), "the barrier is not read back");
    }

    #[test]
    fn it_goes_on_where_the_changelog_says_or_where_its_log_begins() {
        let take_over = |before: Option<Progress>| {
            let mut partition = State::ReadBack.partition();
            assert!(partition.identified(mark(1)));
            before.into_iter().for_each(|before| partition.progress_read(before));
            let (taken_over, _) = partition.take_over(sound(4, 20), []).unwrap();
            assert_eq!(partition.active(), Some(&taken_over.progress));
            assert!(!partition.went_back());
            (taken_over.progress.next_offset, taken_over.lost, partition.is_unwritten())
        };
        assert_eq!(take_over(None), (4, 0, false), "nothing was processed, so nothing is lost");
        assert_eq!(take_over(Some(progress(9))), (9, 0, false));
        assert_eq!(take_over(Some(progress(1))), (4, 3, true), "retention was faster");
    }

    #[test]
    fn its_log_is_looked_at_once_an_owner() {
        let mut partition = State::Active.partition();
        assert!(partition.is_surveyed());
        let _ = partition.writer_lost();
        assert!(partition.is_surveyed());
        let _ = partition.assigned();
        assert!(!partition.is_surveyed());
        let mut partition = State::Active.partition();
        let _ = (partition.writer_lost(), partition.read_anew());
        assert!(!partition.is_surveyed(), "what it is held against is another progress");
    }

    #[test]
    fn what_was_lost_before_is_not_forgotten() {
        let lost_before = Progress { lost: 5, ..progress(1) };
        let expected = Progress { next_offset: 4, outcomes_from: 4, lost: 8, ..Progress::default() };
        let expected = TakenOver { progress: expected, lost: 3, cut: None };
        assert_eq!(taken_over(Some(lost_before), sound(4, 20)), expected);
    }

    fn checkpoints(offsets: &[i64]) -> Checkpoints {
        let mut checkpoints = Checkpoints::default();
        for offset in offsets {
            checkpoints.note(Checkpoint { offset: *offset, timestamp: 0, fingerprint: 0 });
        }
        checkpoints
    }

    /// Processed up to before 100; its log begins at 4.
    fn gone_back(diverges_at: i64, cut: Option<Cut>) -> TakenOver {
        let progress = Progress {
            next_offset: 100,
            outcomes_from: 10,
            lost: 1,
            checkpoints: checkpoints(&[20, 60, 99]),
            cut,
        };
        let log = Watermarks { start: 4, end: 200 };
        taken_over(Some(progress), Surveyed { log, diverges_at: Some(diverges_at), committed: None })
    }

    #[test]
    fn another_log_is_processed_from_where_it_differs() {
        let TakenOver { progress, lost, cut } = gone_back(61, None);
        assert_eq!((cut, lost), (Some(Cut { from: 61, to: 100, events: 39 }), 0));
        let expected = Progress {
            next_offset: 61,
            outcomes_from: 10,
            lost: 1,
            checkpoints: checkpoints(&[20, 60]),
            cut,
        };
        assert_eq!(progress, expected);
        assert!(progress.is_read_again());
        assert!(!Progress { next_offset: 100, ..progress }.is_read_again());
    }

    #[test]
    fn a_log_that_has_nothing_of_what_was_processed_is_processed_from_its_begin() {
        let TakenOver { progress, lost, .. } = gone_back(0, None);
        assert_eq!((progress.next_offset, progress.outcomes_from, lost), (4, 4, 0));
        assert_eq!(progress.checkpoints, Checkpoints::default());
    }

    #[test]
    fn a_second_cut_adds_to_the_first_one() {
        let before = Cut { from: 90, to: 120, events: 30 };
        let after = gone_back(61, Some(before)).cut;
        assert_eq!(after, Some(Cut { from: 61, to: 120, events: 69 }), "it had not read up to 120 again");
    }

    #[test]
    fn what_is_processed_again_is_written_even_without_any_event() {
        let mut partition = State::ReadBack.partition();
        assert!(partition.identified(mark(1)));
        partition.progress_read(progress(9));
        let log = Watermarks { start: 0, end: 5 };
        let surveyed = Surveyed { log, diverges_at: Some(3), committed: None };
        let (_, tail_move) = partition.take_over(surveyed, []).unwrap();
        assert_eq!(tail_move, TailMove::Leave);
        assert!(partition.is_unwritten() && partition.went_back());
        partition.committed(progress(3), None, Vec::new());
        assert!(!partition.is_unwritten() && !partition.went_back());
    }

    #[test]
    fn it_is_fetched_from_its_progress_as_far_as_its_log_has_that() {
        let mut partition = new();
        assert_eq!(partition.fetch_from(), None);
        partition.log_is(Watermarks { start: 3, end: 20 });
        assert_eq!(partition.fetch_from(), Some(3));
        partition.progress_read(progress(5));
        assert_eq!(partition.fetch_from(), Some(5));
        partition.log_is(Watermarks { start: 9, end: 20 });
        partition.log_is(Watermarks { start: 7, end: 20 });
        assert_eq!(partition.fetch_from(), Some(9), "a leader that is not up to date knows an older begin");
        partition.progress_read(progress(30));
        assert_eq!(partition.fetch_from(), Some(20), "the log is too short");
    }

    #[test]
    fn an_attempt_that_failed_and_the_next_one_write_the_same_identity() {
        let mut partition = State::Active.partition();
        let mut made = 0..;
        let mut attempt = || partition.missing_identity(|| vec![made.next().unwrap()]);
        assert_eq!([attempt(), attempt()], [Some(vec![0]), Some(vec![0])]);
        assert!(partition.identified(mark(8)));
        assert_eq!(partition.missing_identity(Vec::new), None);
        assert_eq!(Partition::new(1, "off".parse().unwrap()).missing_identity(Vec::new), None);
    }

    #[test]
    fn fencing_begins_the_wait_for_the_barrier_anew() {
        let mut partition = State::Awaits.partition();
        let later = partition.awaited_since().unwrap() + Duration::from_secs(1);
        partition.last_writer_fenced(later);
        assert_eq!(partition.awaited_since(), Some(later));
    }

    #[test]
    fn the_last_writer_is_in_the_way_only_where_the_tail_stands_at_the_end() {
        let mut partition = State::Awaits.partition();
        let since = partition.awaited_since().unwrap();
        let later = since + BARRIER_PATIENCE;
        assert_eq!(partition.stuck_since(later), None, "the tail is behind");
        partition.end_read();
        assert_eq!(partition.stuck_since(later - Duration::from_millis(1)), None);
        assert_eq!((partition.stuck_since(later), partition.was_fenced()), (Some(since), false));
        partition.last_writer_fenced(later);
        assert!(partition.was_fenced());
        assert_eq!(partition.stuck_since(later + BARRIER_PATIENCE), None);
        assert_eq!(partition.stuck_since(later + BARRIER_PATIENCE * 2), Some(later));
        partition.last_writer_fenced(later);
        assert!(partition.needs_barrier(), "its own barrier may be what hangs");
        assert_eq!(partition.on_its_way_since(), Some(since));
        let _ = partition.barrier_written(BARRIER + 5, later);
        assert!(partition.read(mark(BARRIER + 5)), "the tail moves");
        partition.end_read();
        partition.stored(mark(BARRIER + 5));
        assert_eq!(partition.stuck_since(later + BARRIER_PATIENCE * 9), None, "it is read back");
        let _ = partition.take_over(sound(0, 9), []).unwrap();
        assert_eq!((partition.on_its_way_since(), partition.was_fenced()), (None, false));
    }

    #[test]
    fn retries_outlive_a_writer_and_not_an_owner() {
        let retry = Some(Retry::new(5, 2, Instant::now()));
        let mut partition = State::Active.partition();
        partition.folded(None, retry);
        let _ = partition.writer_lost();
        assert!(partition.retry().is_some_and(|retry| retry.is_of(5)));
        let _ = partition.assigned();
        assert!(partition.retry().is_none(), "a rebalance");
        partition.folded(None, retry);
        let _ = partition.revoked();
        assert!(partition.retry().is_none());
    }

    #[test]
    fn a_stop_outlives_a_revocation_and_is_told_by_the_owner_only() {
        let mut partition = Partition::new(0, "0%/1/1m".parse().unwrap());
        let now = Instant::now();
        let _ = partition.assigned();
        assert!(partition.count_letters(Tally { events: 1, letters: 1 }, now).is_some());
        assert!(partition.stop().is_some());
        let _ = partition.revoked();
        assert!(partition.stop().is_none());
        assert_eq!(partition.tick(now + Duration::from_secs(3600)), None, "nobody is there to be told");
        let _ = partition.assigned();
        assert!(partition.stop().is_some() && partition.is_stopped());
        assert_eq!(partition.tick(now + Duration::from_secs(3600)), Some(Change::Probing));
    }

    #[test]
    fn it_begins_with_the_timers_of_the_store_and_ignores_commits_of_others() {
        let mut partition = State::ReadBack.partition();
        partition.committed(progress(9), None, vec![(5, "ORD-1".into())]);
        assert_eq!((partition.progress(), partition.held()), (None, 0));
        let timers = [(5, "ORD-1".into()), (6, "ORD-2".into())];
        let (_, tail_move) = partition.take_over(sound(0, 9), timers).unwrap();
        assert_eq!(tail_move, TailMove::Leave);
        assert_eq!(partition.held(), 2);
    }

    #[test]
    fn the_last_two_records_are_remembered_and_older_ones_are_not_news() {
        let mut partition = new();
        assert_eq!(partition.known(), -1);
        [3, 5, 4, 5].into_iter().for_each(|offset| partition.stored(mark(offset)));
        assert_eq!((partition.marks(), partition.known()), ([Some(mark(3)), Some(mark(5))], 5));
    }

    /// It has written a batch whose progress is at 9, and lost its writer.
    fn without_writer() -> Partition {
        let mut partition = State::Active.partition();
        partition.committed(progress(9), None, Vec::new());
        [8, 9].map(mark).into_iter().for_each(|mark| partition.wrote(mark));
        assert_eq!(partition.writer_lost(), TailMove::ReturnTo(9), "it must see its progress");
        assert_eq!(partition.barrier_written(12, Instant::now()), TailMove::ReturnTo(9));
        partition
    }

    #[test]
    fn what_it_wrote_itself_is_read_back_before_it_goes_on() {
        let mut partition = without_writer();
        assert!(!partition.read(mark(9)), "it is in the store");
        assert!(partition.read(mark(12)));
        partition.stored(mark(12));
        assert!(!partition.lacks_own() && partition.can_be_taken_over(Instant::now()));
    }

    #[test]
    fn when_what_it_wrote_is_missing_everything_is_read_anew() {
        for other in [None, Some(Mark::of_another(9))] {
            let mut partition = without_writer();
            assert!(other.is_none_or(|other| !partition.read(other)));
            assert!(!partition.read(mark(12)), "the store has what the log has not");
            assert!(partition.lacks_own() && !partition.can_be_taken_over(Instant::now()));
            assert_eq!(partition.read_anew(), TailMove::ReturnTo(0));
            assert_eq!((partition.known(), partition.progress(), partition.lacks_own()), (-1, None, false));
            assert!(partition.read(mark(3)));
            partition.stored(mark(3));
            partition.progress_read(progress(4));
            assert!(!partition.can_be_taken_over(Instant::now()), "the barrier is not read back");
            partition.stored(mark(12));
            assert!(partition.can_be_taken_over(Instant::now()));
        }
    }

    #[test]
    fn an_empty_changelog_is_shown_only_if_nothing_was_processed() {
        let mut partition = new();
        partition.end_read();
        assert!(partition.wants_committed() && !partition.may_be_shown());
        partition.was_processed(true);
        assert!(!partition.wants_committed() && !partition.may_be_shown() && partition.is_changelog_lost());
        let _ = (partition.assigned(), partition.revoked());
        assert!(!partition.may_be_shown(), "another owner changes nothing");
        partition.progress_read(progress(9));
        assert!(partition.may_be_shown() && !partition.is_changelog_lost());
        let _ = partition.read_anew();
        assert!(!partition.may_be_shown() && !partition.wants_committed(), "it is not read");
        partition.end_read();
        assert!(partition.wants_committed());
        partition.was_processed(false);
        assert!(partition.may_be_shown());
    }

    #[test]
    fn what_is_processed_again_gets_its_offset_committed() {
        let mut partition = State::ReadBack.partition();
        assert!(partition.identified(mark(1)));
        partition.progress_read(progress(8));
        let _ = partition.take_over(Surveyed { committed: Some(9), ..sound(0, 9) }, []).unwrap();
        assert!(partition.is_unwritten());
    }

    #[test]
    fn the_committed_offset_tells_what_the_changelog_lacks() {
        let surveyed = |committed| Surveyed { committed, ..sound(4, 20) };
        let mut partition = State::ReadBack.partition();
        assert_eq!(partition.held_against(&surveyed(None)), Trust::Sound);
        assert_eq!(partition.held_against(&surveyed(Some(4))), Trust::Sound, "nothing was processed");
        assert_eq!(partition.held_against(&surveyed(Some(9))), Trust::ReadAnew);
        partition.progress_read(progress(8));
        assert_eq!(partition.held_against(&surveyed(Some(8))), Trust::Sound);
        assert_eq!(partition.held_against(&surveyed(Some(5))), Trust::Sound, "somebody set it back");
        assert_eq!(partition.held_against(&surveyed(Some(9))), Trust::ReadAnew);
        let _ = partition.read_anew();
        assert_eq!(partition.held_against(&surveyed(Some(9))), Trust::Nothing);
        partition.progress_read(progress(7));
        assert_eq!(partition.held_against(&surveyed(Some(9))), Trust::Lacks(2));
        let _ = partition.assigned();
        assert_eq!(partition.held_against(&surveyed(Some(9))), Trust::ReadAnew, "for each owner anew");
    }

    #[test]
    fn a_changelog_keeps_its_identity() {
        let mut partition = new();
        assert!(partition.lacks_identity());
        assert!(!Partition::new(1, "off".parse().unwrap()).lacks_identity(), "partition 0 has it");
        assert!(partition.identified(mark(3)));
        assert!(!partition.lacks_identity());
        assert!(partition.identified(mark(8)), "the same record, written once more");
        assert!(!partition.identified(Mark::of_another(9)));
        assert_eq!(partition.identity(), Some(mark(8)));
    }

    #[test]
    fn a_schema_that_is_waited_for_is_looked_ahead_from_once() {
        let mut partition = State::Active.partition();
        assert!(partition.folded(Some(11), None));
        assert!(partition.is_blocked(Instant::now()));
        assert!(!partition.folded(Some(11), None), "it waits for the same one");
        assert!(partition.folded(Some(12), None));
        assert!(!partition.folded(None, None));
        assert!(!partition.is_blocked(Instant::now()));
    }

    #[test]
    fn a_commit_writes_what_was_unwritten() {
        let mut partition = State::Active.partition();
        assert!(partition.is_unwritten(), "the changelog lacks its identity");
        partition.committed(progress(9), None, vec![(5, "ORD-1".into())]);
        assert!(!partition.is_unwritten());
        assert_eq!((partition.active(), partition.held()), (Some(&progress(9)), 1));
    }
}
