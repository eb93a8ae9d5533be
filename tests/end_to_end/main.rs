//! One file a risk. All share one process, and most of them one stack.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod at_least_once;
mod avro_interop;
mod bad_input;
mod bad_records;
mod boot;
mod broker_outage;
mod conformance;
mod corrupt_log;
mod cut_changelog;
mod cut_events;
mod dead_letter_cases;
mod dead_letters;
mod documents;
mod exactly_once_aborts;
mod exactly_once_crashes;
mod exactly_once_instances;
mod exactly_once_outages;
mod hanging_transactions;
mod health_and_metrics;
mod http_examples;
mod limits;
mod lost_and_anew;
mod lost_markers;
mod memory;
mod outcomes;
mod partitions;
mod permissions;
mod raw_sockets;
mod record_format;
mod redrive;
mod registry_nodes;
mod registry_outage;
mod restarts;
mod seeds;
mod slow_fetches;
mod stale_leader;
mod takeover_times;
mod topic_settings;
mod transitions;
