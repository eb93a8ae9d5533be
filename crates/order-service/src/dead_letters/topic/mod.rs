//! The dead letter topic as it is read.

mod follower;
mod lookup;
mod source;

pub(crate) use self::follower::follow;
pub(crate) use self::lookup::Lookup;
pub(crate) use self::source::{DeadLetterTopic, DeadLetterTopicError};
