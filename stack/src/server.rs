//! One server of a stack, and what a test may do to it.

use std::fmt;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::broker;
use crate::error::StackError;
use crate::gate::Gate;
use crate::kind::Kind;
use crate::launch;
use crate::logfile::LogFile;
use crate::process::{self, Process};
use crate::registry;
use crate::state::{Record, StateFile};
use crate::wait::{self, Cancel};

/// How long a server may take to stop when asked, before it is killed.
pub(crate) const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// How long one question after readiness may take.
const QUESTION: Duration = Duration::from_secs(2);

/// Makes the command anew for each start.
pub(crate) type MakeCommand = Box<dyn Fn() -> Command + Send + Sync>;

/// A broker or the registry of a stack. It may be stopped, killed, paused and started from any thread.
pub struct Server {
    kind: Kind,
    port: u16,
    gate: Option<Gate>,
    peer_ports: Option<[u16; 2]>,
    make_command: MakeCommand,
    log: LogFile,
    state: Arc<StateFile>,
    cancel: Cancel,
    process: Mutex<Option<Process>>,
}

impl Server {
    pub(crate) fn new(
        kind: Kind,
        record: &Record,
        make_command: MakeCommand,
        log: LogFile,
        state: Arc<StateFile>,
        cancel: Cancel,
    ) -> Self {
        let process = record.alive().map(|id| Process::adopted(kind.name(), id.clone()));
        let port = record.port;
        let process = Mutex::new(process);
        Self { kind, port, gate: None, peer_ports: None, make_command, log, state, cancel, process }
    }

    /// Puts a gate at its port, which it leaves for that of the gate. Its peers go around the gate, to these ports.
    pub(crate) fn behind(mut self, gate: Gate, peer_ports: [u16; 2]) -> Self {
        (self.gate, self.peer_ports) = (Some(gate), Some(peer_ports));
        self
    }

    /// What it is, for a sentence: "the Kafka broker", "Kafka broker 2", "the schema registry".
    pub fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its port on 127.0.0.1, the same after each start.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens itself: at its port, unless there is a gate.
    pub(crate) fn own_port(&self) -> u16 {
        self.gate.as_ref().map_or(self.port, Gate::broker)
    }

    /// The gate in front of it; only brokers have one, with [`StackConfig::gates`](crate::StackConfig::gates).
    pub fn gate(&self) -> Option<&Gate> {
        self.gate.as_ref()
    }

    /// The ports on 127.0.0.1 at which the other brokers reach it, and no client does: that for brokers, and that of its
    /// controller. Only brokers behind a gate have them.
    pub fn peer_ports(&self) -> Option<[u16; 2]> {
        self.peer_ports
    }

    /// Its process; none when it does not run.
    pub fn pid(&self) -> Option<u32> {
        self.if_running(|process| process.id().pid)
    }

    /// Its log, one file for all its starts.
    pub fn log(&self) -> &std::path::Path {
        self.log.path()
    }

    /// Starts it on its port and data, without waiting until it is ready; nothing happens if it runs.
    ///
    /// # Errors
    /// [`StackError::PortTaken`], or an I/O error.
    pub fn start(&self) -> Result<(), StackError> {
        let mut process = self.process();
        if process.as_mut().is_some_and(|running| running.exit().is_none()) {
            return Ok(());
        }
        self.kind.port_use().check_free(self.own_port())?;
        let open = || self.log.open(self.kind.name()).and_then(|output| Ok((output.try_clone()?, output)));
        let (output, errors) = open().map_err(StackError::io("open the log", self.log.path()))?;
        let mut command = (self.make_command)();
        command.stdout(output).stderr(errors);
        let child = launch::spawn(command).map_err(StackError::io("start", self.kind.name()))?;
        let started = process.insert(Process::started(self.kind.name(), child));
        let id = started.id().clone();
        self.state.update(|state| {
            if let Some(record) = state.record(self.kind) {
                record.process = Some(id);
            }
        })
    }

    /// Waits until it does its work: the broker and the controller agree to make a topic with a replica there, the
    /// registry lists its subjects.
    ///
    /// # Errors
    /// [`StackError::Died`] at once when it ends, [`StackError::NotReady`] when the time is up.
    pub fn wait_ready(&self, patience: Duration) -> Result<(), StackError> {
        let probe = match self.kind {
            Kind::Broker(node) => Some(broker::Probe::new(node, self.port)?),
            Kind::Registry => None,
        };
        let ask = || match &probe {
            Some(probe) => probe.ask(QUESTION),
            None => registry::ask(self.port, QUESTION),
        };
        let begun = Instant::now();
        let mut last_reason = String::new();
        let outcome = wait::until(patience, || {
            if let Err(error) = self.cancel.check().and_then(|()| self.check_alive()) {
                return Some(Err(error));
            }
            ask().map_err(|reason| last_reason = reason).ok().map(Ok)
        });
        outcome.unwrap_or_else(|| {
            Err(StackError::NotReady {
                what: self.kind.name(),
                waited: begun.elapsed(),
                reason: last_reason,
                tail: self.log.tail(),
                log: self.log.path().to_owned(),
            })
        })
    }

    /// Asks it to stop (SIGTERM) and waits; after 30 s it is killed. Nothing happens if it does not run.
    ///
    /// # Errors
    /// [`StackError::Unkillable`], or an I/O error.
    pub fn stop(&self) -> Result<(), StackError> {
        process::stop_all(self.process().as_mut(), STOP_PATIENCE, &Cancel::default()).map(drop)
    }

    /// Ends it at once (SIGKILL) and waits until it is gone. Nothing happens if it does not run.
    ///
    /// # Errors
    /// [`StackError::Unkillable`], or an I/O error.
    pub fn kill(&self) -> Result<(), StackError> {
        self.process().as_mut().map_or(Ok(()), Process::kill)
    }

    /// Freezes it (SIGSTOP): its connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`StackError::NotRunning`], or an I/O error.
    pub fn pause(&self) -> Result<(), StackError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Server::pause`] (SIGCONT).
    ///
    /// # Errors
    /// [`StackError::NotRunning`], or an I/O error.
    pub fn resume(&self) -> Result<(), StackError> {
        self.signal(Signal::CONT)
    }

    /// How it ended, as a sentence; none while it runs.
    pub(crate) fn end(&self) -> Option<String> {
        let exit = self.process().as_mut().map(Process::exit);
        match exit {
            Some(None) => None,
            Some(Some(exit)) => {
                Some(format!("{} {exit}; its log: {}", self.kind.name(), self.log.path().display()))
            }
            None => Some(format!("{} was never started", self.kind.name())),
        }
    }

    /// The record of all servers.
    pub(crate) fn state(&self) -> &StateFile {
        &self.state
    }

    /// For stopping several servers at once.
    pub(crate) fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(&self, signal: Signal) -> Result<(), StackError> {
        self.if_running(|process| process.signal(signal))
            .unwrap_or(Err(StackError::NotRunning { what: self.kind.name() }))
    }

    fn if_running<T>(&self, action: impl FnOnce(&mut Process) -> T) -> Option<T> {
        let mut process = self.process();
        let process = process.as_mut()?;
        process.exit().is_none().then(|| action(process))
    }

    fn check_alive(&self) -> Result<(), StackError> {
        let exit = match self.process().as_mut().map(Process::exit) {
            Some(None) => return Ok(()),
            Some(Some(exit)) => exit.to_string(),
            None => return Err(StackError::NotRunning { what: self.kind.name() }),
        };
        Err(StackError::Died {
            what: self.kind.name(),
            exit,
            tail: self.log.tail(),
            log: self.log.path().to_owned(),
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("kind", &self.kind)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
