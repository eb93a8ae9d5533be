//! Reads the dead letter topic: `follower.rs` everything into the index, `lookup.rs` one letter that is not in the index,
//! `source.rs` the records that they and the redriver ask for.

mod follower;
mod lookup;
mod source;

pub(crate) use self::follower::follow;
pub(crate) use self::lookup::Lookup;
pub(crate) use self::source::{DeadLetterTopic, DeadLetterTopicError};
