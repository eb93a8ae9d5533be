//! Both real binaries against the real broker and registry.
//!
//! A test makes a [`World`]: topics and a consumer group of its own, on the stack that all tests share or on
//! one of its own that it may break. It starts services in it, speaks to them over HTTP, and looks at Kafka
//! with a client of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod admin;
mod binaries;
pub mod checker;
pub mod contract;
mod follower;
mod kafka;
pub mod large;
mod lease;
pub mod load;
pub mod murmur2;
mod outage;
mod progress;
mod proxy;
pub mod python;
mod run_folder;
mod seed;
pub mod segment;
mod service;
mod shell;
mod times;
pub mod traffic;
mod trial;
mod wait;
mod watch;
mod world;

pub use kafka::{Record, Topic};
pub use load::Load;
pub use outage::{How, Log};
pub use proxy::{Api, Held, Proxy, Stale};
pub use seed::{chance, rounds, seed};
pub use service::{Answer, Service};
pub use shell::{Shell, at, jq};
pub use trial::Trial;
pub use wait::{eventually, until, within};
pub use watch::{Relay, Sightings, Watch};
pub use world::{ACLS, World};
