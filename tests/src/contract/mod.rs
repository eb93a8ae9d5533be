//! The HTTP contract, promise by promise: one row is one request and what its answer must be.

pub mod reads;
mod row;

pub use row::{Row, Site, To, cart, orders};
