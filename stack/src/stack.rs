//! A broker and a registry together.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::broker::{self, Ports};
use crate::config::StackConfig;
use crate::error::StackError;
use crate::identity::ProcessId;
use crate::installation::Installation;
use crate::launch::Lifetime;
use crate::layout::{BROKER_DATA, Layout};
use crate::lock::FileLock;
use crate::logfile::LogFile;
use crate::ports;
use crate::process::{self, Process};
use crate::registry;
use crate::server::{Kind, MakeCommand, STOP_PATIENCE, Server};
use crate::state::{Record, State, StateFile};
use crate::wait::Cancel;

/// A server that runs already is ready or nearly so; one that does not answer for this long hangs.
const ADOPTED_PATIENCE: Duration = Duration::from_secs(20);
/// How long a drop may take before it kills: shorter than a stop that somebody asked for.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

/// A running broker and registry. Unless it is [`Lifetime::Detached`] or was found running, dropping it stops
/// both.
#[derive(Debug)]
pub struct Stack {
    data_dir: PathBuf,
    broker: Server,
    registry: Server,
    owned: bool,
    found_running: bool,
}

impl Stack {
    /// Starts what is not running of the stack in the folder, and waits until all of it is ready. The programs
    /// are fetched before the first start on a machine.
    ///
    /// What an earlier, killed command left in the folder is used: data, and servers that still run and answer.
    /// One that runs and does not answer is replaced.
    ///
    /// # Errors
    /// Any [`StackError`]; what this call started is stopped again.
    pub fn start(config: StackConfig) -> Result<Self, StackError> {
        let installation = Installation::find(&config)?;
        if !installation.has_archives() {
            installation.make_archives(&config, |training, installation| {
                let stack = Self::start_with(&training, &installation)?;
                // Java writes the archives when it ends, which takes seconds.
                stack.stop_within(training.start_deadline, |_| true)
            })?;
        }
        Self::start_with(&config, &installation)
    }

    fn start_with(config: &StackConfig, installation: &Installation) -> Result<Self, StackError> {
        let layout = Layout::create(&config.data_dir)?;
        let _lock = FileLock::wait(&layout.lock(), config.start_deadline, &config.cancel, || {
            (config.progress)("waiting for another local-stack command in the same folder");
        })?;
        let state = plan(&layout, config)?;
        if state.broker.alive().is_none() {
            broker::check_readable(&layout, installation.kafka_version())?;
        }
        let mut stack = assemble(config, &layout, installation, &state)?;
        let ports = Ports { broker: state.broker.port, controller: state.controller_port };
        let prepare =
            || broker::prepare(&layout, installation, ports, &config.broker_settings, &config.cancel);
        match stack.bring_up(config, prepare) {
            Ok(()) => Ok(stack),
            Err(error) => {
                // The first error is the one to tell.
                let _ = stack.stop_within(DROP_PATIENCE, Process::is_child);
                Err(error)
            }
        }
    }

    /// What Kafka clients need to know.
    pub fn bootstrap_servers(&self) -> String {
        format!("127.0.0.1:{}", self.broker.port())
    }

    /// What registry clients need to know: the root of the API that Confluent's clients speak.
    pub fn registry_url(&self) -> String {
        registry::url(self.registry.port())
    }

    /// The Kafka broker.
    pub fn broker(&self) -> &Server {
        &self.broker
    }

    /// Where the broker keeps its logs: a folder for each partition.
    pub fn broker_data(&self) -> PathBuf {
        self.data_dir.join(BROKER_DATA)
    }

    /// The schema registry.
    pub fn registry(&self) -> &Server {
        &self.registry
    }

    /// The folder of its data and logs.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether all of it ran already and this found it so.
    pub fn found_running(&self) -> bool {
        self.found_running
    }

    /// Stops both servers, and kills one that has not ended after 30 s.
    ///
    /// # Errors
    /// [`StackError::Unkillable`], or an I/O error.
    pub fn stop(&self) -> Result<(), StackError> {
        self.stop_within(STOP_PATIENCE, |_| true)
    }

    fn stop_within(&self, patience: Duration, which: impl Fn(&Process) -> bool) -> Result<(), StackError> {
        let (mut broker, mut registry) = (self.broker.process(), self.registry.process());
        let processes = broker.iter_mut().chain(registry.iter_mut()).filter(|process| which(process));
        process::stop_all(processes, patience, &Cancel::default()).map(drop)
    }

    fn bring_up(
        &mut self,
        config: &StackConfig,
        prepare_broker: impl FnOnce() -> Result<(), StackError>,
    ) -> Result<(), StackError> {
        for server in [&self.broker, &self.registry] {
            if server.pid().is_some() && server.wait_ready(ADOPTED_PATIENCE).is_err() {
                config.cancel.check()?;
                (config.progress)(&format!("{} runs but does not answer: starting it again", server.name()));
                server.kill()?;
            }
        }
        self.found_running = self.broker.pid().is_some() && self.registry.pid().is_some();
        if self.found_running {
            return Ok(());
        }
        let bound = config.lifetime == Lifetime::Bound;
        if bound {
            self.broker.state().update(|state| state.owner = ProcessId::own())?;
        }
        let deadline = Instant::now() + config.start_deadline;
        // The registry first: it gets going while the broker's storage is formatted.
        self.registry.start()?;
        if self.broker.pid().is_none() {
            prepare_broker()?;
            self.broker.start()?;
        }
        for server in [&self.broker, &self.registry] {
            server.wait_ready(deadline.saturating_duration_since(Instant::now()))?;
        }
        self.owned = bound;
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.owned {
            // Nobody is left to be told of an error, and a bound server ends with this process in any case.
            let _ = self.stop_within(DROP_PATIENCE, |_| true);
        }
    }
}

/// What shall run where: servers that still run stay where they are.
fn plan(layout: &Layout, config: &StackConfig) -> Result<State, StackError> {
    let previous = State::read(&layout.state())?;
    if let Some(owner) = previous.as_ref().and_then(State::living_owner) {
        return Err(StackError::Owned { owner: owner.pid, data_dir: layout.root().to_owned() });
    }
    let broker = previous.as_ref().map(|state| &state.broker);
    let registry = previous.as_ref().map(|state| &state.registry);
    let controller_port = match &previous {
        Some(state) if state.broker.alive().is_some() => state.controller_port,
        _ => ports::free_port()?,
    };
    Ok(State {
        owner: None,
        controller_port,
        broker: plan_one(Kind::Broker, broker, config.kafka_port)?,
        registry: plan_one(Kind::Registry, registry, config.registry_port)?,
    })
}

fn plan_one(kind: Kind, previous: Option<&Record>, asked: Option<u16>) -> Result<Record, StackError> {
    let running = previous.filter(|record| record.alive().is_some());
    match (running, asked) {
        (Some(record), Some(asked)) if record.port != asked => {
            let ports::PortUse { what, flag, variable } = kind.port_use();
            Err(StackError::OtherPort { what, running: record.port, asked, flag, variable })
        }
        (Some(record), _) => Ok(record.clone()),
        (None, Some(asked)) => {
            kind.port_use().check_free(asked)?;
            Ok(Record { port: asked, process: None })
        }
        (None, None) => Ok(Record { port: ports::free_port()?, process: None }),
    }
}

fn assemble(
    config: &StackConfig,
    layout: &Layout,
    installation: &Installation,
    state: &State,
) -> Result<Stack, StackError> {
    let file = Arc::new(StateFile::create(layout.state(), state.clone())?);
    let server = |kind, record: &Record, log: &str, make_command: MakeCommand| {
        let log = LogFile::new(layout.log(log));
        Server::new(kind, record, make_command, log, Arc::clone(&file), config.cancel.clone())
    };
    let lifetime = config.lifetime;
    let broker_command: MakeCommand = {
        let (layout, installation) = (layout.clone(), installation.clone());
        Box::new(move || broker::command(&layout, &installation, lifetime))
    };
    let registry_command: MakeCommand = {
        let (layout, installation, port) = (layout.clone(), installation.clone(), state.registry.port);
        Box::new(move || registry::command(&layout, &installation, lifetime, port))
    };
    Ok(Stack {
        data_dir: layout.root().to_owned(),
        broker: server(Kind::Broker, &state.broker, "broker", broker_command),
        registry: server(Kind::Registry, &state.registry, "registry", registry_command),
        owned: false,
        found_running: false,
    })
}
