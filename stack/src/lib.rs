//! A real Kafka broker and schema registry on this machine, without Docker.
//!
//! The broker is Apache Kafka (KRaft), one node or three; the registry is Apicurio, whose API Confluent's clients speak.
//! Maven fetches both once; Java 17 or newer runs them, on 127.0.0.1 only.
//!
//! A test starts a [`Stack`] of its own on free ports, disturbs its servers as it likes, and drops it:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use local_stack::{Stack, StackConfig};
//!
//! let folder = tempfile::tempdir()?;
//! let stack = Stack::start(StackConfig::new(folder.path()))?;
//! println!("{} {}", stack.bootstrap_servers(), stack.registry_url());
//! stack.broker().kill()?;
//! stack.broker().start()?;
//! stack.broker().wait_ready(Duration::from_secs(60))?;
//! # Ok(())
//! # }
//! ```
//!
//! With three brokers ([`Brokers::Three`]), [`Stack::move_leader`] and [`Stack::place`] say where a partition is, and a [`Gate`]
//! in front of each can cut clients off ([`StackConfig::gates`]).
//!
//! A packet filter can do the same between brokers: it tells them apart by [`StackConfig::groups`] and
//! [`Server::peer_ports`].
//!
//! One stack may serve a whole test process from a `static`: statics are never dropped, and the servers end with
//! the process all the same, even if it is killed ([`Lifetime::Bound`]).
//!
//! All calls block, some for seconds: an async test wraps them in `spawn_blocking` or `block_in_place`.
//!
//! The program `local-stack` keeps a stack in the background (`up`, `down`, `status`, `clean-data`) and runs it
//! together with both services (`run`): [`cli`].

mod broker;
mod brokers;
pub mod cli;
mod config;
mod control;
mod error;
mod gate;
mod http;
mod identity;
mod installation;
mod java;
mod kind;
mod launch;
mod layout;
mod lock;
mod logfile;
mod plan;
mod ports;
mod process;
mod programs;
mod registry;
mod server;
mod stack;
mod state;
mod wait;

pub use brokers::Brokers;
pub use config::StackConfig;
pub use control::{Condition, ServerStatus, Status, clean, status, stop};
pub use error::StackError;
pub use gate::Gate;
pub use launch::Lifetime;
pub use ports::free_port;
pub use server::Server;
pub use stack::Stack;
pub use wait::Cancel;
