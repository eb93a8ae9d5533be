//! Sends dead letters back to the events topic.

mod error;
mod examiner;
mod redriver;
mod request;
mod transaction;

pub(crate) use self::error::{RedriveError, Refusal};
pub(crate) use self::redriver::Redriver;
pub(crate) use self::request::{RedriveRequest, Report, Selection};
