//! What is asked of the redriver, and what it answers.

use super::error::Refusal;
use crate::dead_letters::index::Filter;
use crate::dead_letters::note::RedriveNote;

/// What is to be sent again, and how.
#[derive(Debug, Clone)]
pub struct RedriveRequest {
    /// Which letters.
    pub which: Selection,
    /// Overrules that a letter was sent again already, and that a later update was applied.
    pub force: bool,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Who asks.
    pub by: Option<String>,
    /// The `x-request-id`.
    pub request_id: Option<String>,
}

/// Which letters are to be sent again.
#[derive(Debug, Clone)]
pub enum Selection {
    /// The one at this offset of the dead letter topic.
    One(i64),
    /// Of those in memory that the filter takes and that were not sent again yet (or also those, with force), the
    /// oldest first.
    Some {
        /// Which ones.
        filter: Filter,
        /// Only those behind this offset of the dead letter topic.
        after: Option<i64>,
        /// At most so many; fewer if they are large.
        limit: usize,
    },
}

/// What was done.
#[derive(Debug)]
pub struct Report {
    /// What was sent again; in a dry run, what would be, with the place of the old record.
    pub redriven: Vec<RedriveNote>,
    /// What was not, and why.
    pub refused: Vec<(i64, Refusal)>,
    /// How many more there are that the request would take.
    pub remaining: usize,
    /// The last one that was looked at, if there are more: they lie behind it.
    pub next: Option<i64>,
}
