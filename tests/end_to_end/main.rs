//! One file a risk. All share one process, and most of them one stack.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod avro_interop;
mod bad_input;
mod bad_records;
mod boot;
mod broker_outage;
mod documents;
mod health_and_metrics;
mod outcomes;
mod record_format;
mod registry_outage;
mod restarts;
mod seeds;
