//! Pages of a long answer: `limit` and `cursor`.

use crate::query::{Query, whole_number};

/// Which page a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    /// How many entries it has at most, if the client said so.
    pub(super) limit: Option<usize>,
    /// It begins after the order with this id.
    pub(super) cursor: Option<String>,
}

impl Page {
    /// The page of at most `max` entries among a query's parameters; `None` if they are wrong.
    pub(super) fn read(query: &mut Query, max: usize) -> Option<Self> {
        let limit = query.optional(&["limit"]).map_or(Some(None), |limit| {
            let number = whole_number(&limit).ok().and_then(|number| usize::try_from(number).ok());
            let parsed = number.filter(|number| (1..=max).contains(number));
            let expected = || format!("must be a whole number from 1 to {max}, this is {limit:?}");
            query.checked("limit", parsed.map(Some).ok_or_else(expected))
        });
        let cursor = query.optional(&["cursor"]);
        Some(Self { limit: limit?, cursor })
    }
}
