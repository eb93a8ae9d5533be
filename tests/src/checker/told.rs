//! What clients were told of their events.

use super::Checker;
use super::anomaly::{Class, Findings};

/// What cart-service told a client of an event.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its id.
    pub event_id: String,
    /// Where it is.
    pub partition: i32,
    /// Where it is.
    pub offset: i64,
}

impl Checker<'_> {
    /// What was confirmed to a client and is not in the log.
    pub fn find_lost(&self, told: &[Told]) -> Findings {
        let mut findings = Findings::default();
        for told in told {
            let place = (told.partition, told.offset);
            let found = self.events.binary_search_by_key(&place, |record| (record.partition, record.offset));
            let id = found.ok().and_then(|index| self.events[index].header("ce_id"));
            let is_there = id.as_ref() == Some(&told.event_id);
            let what = || format!("{told:?} was confirmed; the event there is {id:?}");
            findings.expect(is_there, Class::LostWrite, what);
        }
        findings
    }
}
