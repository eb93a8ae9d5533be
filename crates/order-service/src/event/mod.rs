//! What a record of the events topic holds, and what it does to its order. It reads rdkafka's records and talks
//! to no broker; it has no clock and shares no state.

pub(crate) mod fold;
#[cfg(test)]
mod fold_and_model;
pub(crate) mod key;
pub(crate) mod original;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod redrive_origin;
pub(crate) mod state;
