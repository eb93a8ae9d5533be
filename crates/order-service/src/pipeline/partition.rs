//! What the pipeline knows of one partition of the events topic, and of its partition of the changelog.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use compact_str::CompactString;
use order_events::codec::SchemaId;

use super::retry::Retry;
use crate::changelog::Progress;
use crate::dead_letters::{Gate, Limit};
use crate::mark::Mark;

/// How this instance stands to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Another instance processes it, or none; its changelog is followed.
    Follows,
    /// The group has given it to this instance. Before anything is processed, a barrier must be written.
    NeedsBarrier,
    /// The barrier is written, at this offset of the changelog. When it is read back, everything before it is
    /// resolved: committed and read, or aborted.
    AwaitsBarrier {
        /// The barrier's offset.
        offset: i64,
        /// Since when it is awaited, or since when the writer that is in the way was fenced.
        since: Instant,
    },
    /// This instance processes it.
    Active,
}

/// Where the log of a partition ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct EndSeen {
    /// The offset behind the last record, marks of transactions included.
    pub(super) end: i64,
    /// When it was asked for, in milliseconds since 1970.
    pub(super) at: i64,
    /// The same, by another clock.
    pub(super) since: Instant,
}

/// When nothing has come for so long from a broker that answers, what is left of a log are marks of transactions,
/// which a consumer is not shown.
const QUIET: Duration = Duration::from_secs(2);

impl EndSeen {
    /// Whether everything that was in the log is processed.
    pub(super) fn is_reached(self, next_offset: i64, is_drained: bool) -> bool {
        next_offset >= self.end || (is_drained && self.since.elapsed() > QUIET)
    }
}

/// One partition.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) role: Role,
    /// The last two records of the changelog that are in the store; what this instance wrote itself included. Where a
    /// log that was cut and went on has the marker of a transaction, which nobody is shown, the other one tells.
    pub(super) marks: [Option<Mark>; 2],
    /// What the changelog says of the progress; `None` if it says nothing.
    pub(super) progress: Option<Progress>,
    /// Who wrote the last barrier that was read.
    pub(super) last_writer: Option<String>,
    /// The record that identifies the changelog; partition 0 has it.
    pub(super) identity: Option<Mark>,
    /// When to ask again where it begins and ends, if its leader did not answer.
    pub(super) ask_again_at: Option<Instant>,
    /// The schema without which the next record cannot be read.
    pub(super) waits_for: Option<SchemaId>,
    /// Whether `progress` is not in the changelog yet.
    pub(super) unwritten: bool,
    /// How far the log was known to reach, when that was asked for the sake of held updates.
    pub(super) end_seen: Option<EndSeen>,
    /// The record whose processing failed, if it may pass.
    pub(super) retry: Option<Retry>,
    /// Stops it when too many of its events become dead letters. It outlives a revocation: a group that gives the
    /// partition back and forth must not let the flood through.
    pub(super) gate: Gate,
    /// When held updates are to be given up, and of which order. Of an order that exists by now it is ignored.
    pub(super) timers: BTreeSet<(i64, CompactString)>,
    /// Whether it is not fetched, since more than enough is there. The consumer keeps that for as long as it
    /// lives, also when the group takes the partition away and gives it again.
    pub(super) paused: bool,
}

impl Partition {
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            role: Role::Follows,
            marks: [None; 2],
            progress: None,
            last_writer: None,
            identity: None,
            ask_again_at: None,
            waits_for: None,
            unwritten: false,
            end_seen: None,
            retry: None,
            gate: Gate::new(limit),
            timers: BTreeSet::new(),
            paused: false,
        }
    }

    /// The last offset of the changelog that is in the store, -1 if nothing is.
    pub(super) fn known(&self) -> i64 {
        self.marks[1].map_or(-1, |mark| mark.offset)
    }

    /// Notes what is in the store now.
    pub(super) fn note(&mut self, mark: Mark) {
        if mark.offset > self.known() {
            self.marks = [self.marks[1], Some(mark)];
        }
    }

    /// Whether the group has given it to this instance.
    pub(super) fn is_ours(&self) -> bool {
        self.role != Role::Follows
    }

    /// Whether its records cannot be processed just now.
    pub(super) fn is_blocked(&self) -> bool {
        let waits = self.waits_for.is_some() || self.retry.is_some_and(|retry| retry.waits(Instant::now()));
        self.role != Role::Active || waits || self.gate.is_stopped()
    }

    /// What is processed, if this instance may process it.
    pub(super) fn active(&self) -> Option<Progress> {
        self.progress.filter(|_| self.role == Role::Active)
    }
}
