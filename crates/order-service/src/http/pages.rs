//! Pages of a long answer: `limit` and `cursor`.

use service_runtime::input::{Query, parse_whole_number};

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
        let limit = query.optional(&["limit"], |text| parse_whole_number(text, 1..=max));
        let cursor = query.optional(&["cursor"], |text| Ok(text.to_owned()));
        Some(Self { limit: limit?, cursor: cursor? })
    }
}
