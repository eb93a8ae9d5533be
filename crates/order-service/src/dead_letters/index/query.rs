//! What the index is asked, and what it answers.

use std::sync::Arc;

use order_events::{OrderId, Reason};

use crate::dead_letters::category::Category;
use crate::dead_letters::note::RedriveNote;
use crate::dead_letters::stored_letter::StoredLetter;

/// What a letter must match; what is `None` matches every letter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Its category.
    pub category: Option<Category>,
    /// Its reason.
    pub reason: Option<Reason>,
    /// Its order.
    pub order_id: Option<OrderId>,
}

impl Filter {
    pub(super) fn matches(&self, letter: &StoredLetter) -> bool {
        self.category.is_none_or(|category| letter.category == Some(category))
            && self.reason.is_none_or(|reason| letter.reason == Some(reason))
            && self.order_id.as_ref().is_none_or(|id| letter.order_id.as_deref() == Some(id.as_str()))
    }
}

/// Asks for the oldest letters that go into one transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchQuery<'a> {
    pub(crate) filter: &'a Filter,
    /// Only letters behind this offset.
    pub(crate) after: Option<i64>,
    /// Only letters that were not sent again yet.
    pub(crate) only_new: bool,
    /// The most letters.
    pub(crate) limit: usize,
    /// The most bytes; the first letter is taken whatever its size.
    pub(crate) max_bytes: usize,
}

/// A letter with its last redrive.
#[derive(Debug, Clone)]
pub struct TrackedLetter {
    /// The letter.
    pub letter: Arc<StoredLetter>,
    /// The note of its last redrive, if it was sent again.
    pub redrive: Option<RedriveNote>,
    /// The letter that its event became after that redrive, if it did.
    pub dead_again: Option<i64>,
}
