//! What is in the changelog topic: the state behind the view, made to be read back.
//!
//! Each partition of the events topic has one partition of the changelog, with the same number. It is
//! compacted: the last record of each key is what counts.

mod checkpoint;
mod entry;
#[cfg(test)]
mod golden;
mod identity;
mod key;
mod mark;
mod state_bytes;

pub use checkpoint::{Checkpoint, Checkpoints};
pub use entry::{Barrier, ChangelogEntry, Cut, OutcomeRun, OutcomeWindow, Progress};
pub use identity::Identity;
pub use key::Key;
pub(crate) use mark::Mark;

pub use crate::event::state::OrderState;

use order_events::codec::Codec;

/// The codec of the changelog's values.
pub type ChangelogCodec = Codec<ChangelogEntry>;

/// The name of the changelog of a consumer group.
pub fn topic_name(group: &str) -> String {
    format!("{group}-orders-changelog")
}
