//! Redrives: sends dead letters back to the events topic, each of them once (ADR 10).
//!
//! `request.rs` has what a redrive is asked and what it answers, `redriver.rs` the order of its steps and the
//! transaction, `examiner.rs` the rules that a letter must meet.

mod examiner;
mod redriver;
mod request;

pub(crate) use self::examiner::Examiner;
pub(crate) use self::redriver::Redriver;
pub(crate) use self::request::{RedriveError, RedriveRequest, Refusal, Report, Selection};
