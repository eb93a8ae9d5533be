//! What one process may do to a stack that another one started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::broker;
use crate::error::StackError;
use crate::kind::Kind;
use crate::layout::Layout;
use crate::lock::FileLock;
use crate::process::{self, Process};
use crate::registry;
use crate::server::STOP_PATIENCE;
use crate::state::{Record, State};
use crate::wait::Cancel;

/// How long another command may hold the folder: a start by its own deadline, and a little.
const LOCK_PATIENCE: Duration = Duration::from_secs(150);
const QUESTION: Duration = Duration::from_secs(3);

/// What is known of the stack in a folder.
#[derive(Debug)]
pub struct Status {
    /// The brokers, in the order of their node ids.
    pub brokers: Vec<ServerStatus>,
    /// The registry.
    pub registry: ServerStatus,
    /// The process that the stack stops with, if it was started so and that process runs.
    pub owner: Option<u32>,
    /// The folder of the logs.
    pub logs: PathBuf,
}

impl Status {
    /// All servers, brokers first.
    pub fn servers(&self) -> impl Iterator<Item = &ServerStatus> {
        self.brokers.iter().chain([&self.registry])
    }

    /// Whether all servers do their work.
    pub fn is_up(&self) -> bool {
        self.servers().all(|server| matches!(server.condition, Condition::Ready))
    }
}

/// What is known of one server.
#[derive(Debug)]
pub struct ServerStatus {
    /// What it is, for a sentence.
    pub what: &'static str,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// Its process, if that runs.
    pub pid: Option<u32>,
    /// How it is.
    pub condition: Condition,
}

/// How a server is.
#[derive(Debug)]
pub enum Condition {
    /// It does its work.
    Ready,
    /// Its process runs, and answers this or nothing.
    NotReady(String),
    /// Its process is gone.
    Stopped,
}

/// Looks at the stack in a folder; none if none was ever started there.
///
/// # Errors
/// [`StackError::State`], or an I/O error.
pub fn status(data_dir: &Path) -> Result<Option<Status>, StackError> {
    let layout = Layout::of(data_dir)?;
    let Some(state) = State::read(&layout.state())? else { return Ok(None) };
    let brokers = state.count().nodes().zip(state.brokers());
    Ok(Some(Status {
        brokers: brokers.map(|(node, record)| look(Kind::Broker(node), &record.broker)).collect(),
        registry: look(Kind::Registry, &state.registry),
        owner: state.living_owner().map(|owner| owner.pid),
        logs: layout.logs(),
    }))
}

fn look(kind: Kind, record: &Record) -> ServerStatus {
    let pid = record.alive().map(|process| process.pid);
    let condition = match pid.map(|_| ask(kind, record.port)) {
        None => Condition::Stopped,
        Some(Ok(())) => Condition::Ready,
        Some(Err(reason)) => Condition::NotReady(reason),
    };
    ServerStatus { what: kind.name(), port: record.port, pid, condition }
}

fn ask(kind: Kind, port: u16) -> Result<(), String> {
    match kind {
        Kind::Broker(node) => {
            broker::Probe::new(node, port).map_err(|error| error.to_string())?.ask(QUESTION)
        }
        Kind::Registry => registry::ask(port, QUESTION),
    }
}

/// Stops the stack in a folder; false if nothing of it ran.
///
/// # Errors
/// [`StackError::Owned`] if it stops with another process; [`StackError::Unkillable`], or an I/O error.
pub fn stop(data_dir: &Path) -> Result<bool, StackError> {
    let layout = Layout::of(data_dir)?;
    if State::read(&layout.state())?.is_none() {
        return Ok(false);
    }
    let _lock = FileLock::wait(&layout.lock(), LOCK_PATIENCE, &Cancel::default(), || {})?;
    let Some(state) = State::read(&layout.state())? else { return Ok(false) };
    if let Some(owner) = state.living_owner() {
        return Err(StackError::Owned { owner: owner.pid, data_dir: layout.root().to_owned() });
    }
    let mut running: Vec<Process> = state
        .servers()
        .filter_map(|(kind, record)| Some(Process::adopted(kind.name(), record.alive()?.clone())))
        .collect();
    process::stop_all(&mut running, STOP_PATIENCE, &Cancel::default())?;
    Ok(!running.is_empty())
}

/// Wipes the data and the logs of the stack in a folder; false if there was nothing to wipe.
///
/// # Errors
/// [`StackError::Running`] while it runs; or an I/O error.
pub fn clean(data_dir: &Path) -> Result<bool, StackError> {
    let layout = Layout::of(data_dir)?;
    if !layout.root().exists() {
        return Ok(false);
    }
    let _lock = FileLock::wait(&layout.lock(), LOCK_PATIENCE, &Cancel::default(), || {})?;
    if let Some(state) = State::read(&layout.state())?
        && let Some(process) = state.alive().next()
    {
        return Err(StackError::Running { pid: process.pid, data_dir: layout.root().to_owned() });
    }
    layout.wipe()
}
