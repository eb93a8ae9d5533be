//! Both real binaries against the real broker and registry.
//!
//! A test makes a [`World`]: topics and a consumer group of its own, on the stack that all tests share or on
//! one of its own that it may break. It starts services in it, speaks to them over HTTP, and looks at Kafka
//! with a client of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod binaries;
mod kafka;
mod load;
pub mod murmur2;
pub mod python;
mod service;
mod shell;
mod wait;
mod world;

pub use kafka::{Record, Topic};
pub use load::Load;
pub use service::{Answer, Service};
pub use shell::{Shell, jq};
pub use wait::eventually;
pub use world::World;
