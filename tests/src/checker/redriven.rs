//! Events that were sent again from their dead letters.

use std::collections::BTreeSet;

use super::model::{Place, origin};
use crate::kafka::Record;

/// The places at which events were that came again.
pub(super) struct Redriven(BTreeSet<Place>);

impl Redriven {
    /// Those of these events.
    pub(super) fn of(events: &[Record]) -> Self {
        Self(events.iter().filter_map(|record| Some((record.partition, origin(record)?))).collect())
    }

    /// Whether the event at this place came again.
    pub(super) fn has(&self, place: Place) -> bool {
        self.0.contains(&place)
    }
}
