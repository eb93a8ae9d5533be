//! The HTTP interface inside of the test's process: every route with all that is around it. Kafka is librdkafka's mock
//! cluster, or not there; what depends on a real one is in the end-to-end tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod health;
mod outcomes;
mod publishing;
mod refusals;
mod service;
