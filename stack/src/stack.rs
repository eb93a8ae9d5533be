//! Brokers and a registry together.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::broker::{self, Ports};
use crate::brokers::Node;
use crate::config::StackConfig;
use crate::error::StackError;
use crate::gate::Gate;
use crate::identity::ProcessId;
use crate::installation::Installation;
use crate::kind::Kind;
use crate::launch::Lifetime;
use crate::layout::Layout;
use crate::lock::FileLock;
use crate::logfile::LogFile;
use crate::plan::{self, plan};
use crate::process::{self, Process};
use crate::registry;
use crate::server::{MakeCommand, STOP_PATIENCE, Server};
use crate::state::{BrokerRecord, Record, State, StateFile};
use crate::wait::Cancel;

/// A server that runs already is ready or nearly so; one that does not answer for this long hangs.
const ADOPTED_PATIENCE: Duration = Duration::from_secs(20);
/// How long a drop may take before it kills: shorter than a stop that somebody asked for.
const DROP_PATIENCE: Duration = Duration::from_secs(10);

/// Running brokers, one or three, and a registry. Unless it is [`Lifetime::Detached`] or was found running, dropping
/// it stops all of them; three brokers are killed.
#[derive(Debug)]
pub struct Stack {
    layout: Layout,
    nodes: Vec<Node>,
    brokers: Vec<Server>,
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
        let installation = Self::installation(&config)?;
        Self::start_with(&config, &installation)
    }

    /// Does what the first start on a machine does on top: fetches the programs and prepares quick starts. No later start
    /// of this version needs the network.
    ///
    /// # Errors
    /// Any [`StackError`].
    pub fn prepare(config: &StackConfig) -> Result<(), StackError> {
        Self::installation(config).map(drop)
    }

    fn installation(config: &StackConfig) -> Result<Installation, StackError> {
        let installation = Installation::find(config)?;
        if !installation.has_archives() {
            installation.make_archives(config, |training, installation| {
                let stack = Self::start_with(&training, &installation)?;
                // Java writes the archives when it ends, which takes seconds.
                stack.stop_within(training.start_deadline, |_| true)
            })?;
        }
        Ok(installation)
    }

    fn start_with(config: &StackConfig, installation: &Installation) -> Result<Self, StackError> {
        let layout = Layout::create(&config.data_dir)?;
        let _lock = FileLock::wait(&layout.lock(), config.start_deadline, &config.cancel, || {
            (config.progress)("waiting for another local-stack command in the same folder");
        })?;
        broker::check_brokers(&layout, config.brokers)?;
        let state = plan(&layout, config)?;
        for (node, record) in config.brokers.nodes().zip(state.brokers()) {
            if record.broker.alive().is_none() {
                broker::check_readable(&layout, node, installation.kafka_version())?;
            }
        }
        let ports = plan::broker_ports(&state, config.gates)?;
        let mut stack = assemble(config, &layout, installation, state, &ports)?;
        let prepare = |node| {
            let (settings, cancel) = (&config.broker_settings, &config.cancel);
            broker::prepare(&layout, installation, node, &ports, settings, cancel)
        };
        match stack.bring_up(config, prepare) {
            Ok(()) => Ok(stack),
            Err(error) => {
                // The first error is the one to tell.
                let _ = stack.stop_within(DROP_PATIENCE, Process::is_child);
                Err(error)
            }
        }
    }

    /// What Kafka clients need to know: the address of every broker.
    pub fn bootstrap_servers(&self) -> String {
        let addresses = self.brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port()));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// What registry clients need to know: the root of the API that Confluent's clients speak.
    pub fn registry_url(&self) -> String {
        registry::url(self.registry.port())
    }

    /// The first Kafka broker, or the only one.
    pub fn broker(&self) -> &Server {
        &self.brokers[0]
    }

    /// All Kafka brokers, in the order of their node ids, which begin at 1.
    pub fn brokers(&self) -> &[Server] {
        &self.brokers
    }

    /// Where the first broker keeps its logs: a folder for each partition.
    pub fn broker_data(&self) -> PathBuf {
        self.data_of_broker(0)
    }

    /// The same of the broker at this index of [`Stack::brokers`]; there must be one.
    pub fn data_of_broker(&self, index: usize) -> PathBuf {
        self.layout.broker_data(self.nodes[index])
    }

    /// Lets another broker lead a partition: that with this node id, which must have a replica of it. It becomes the
    /// preferred leader, too. Returns when it leads, as soon as it is in sync.
    ///
    /// # Errors
    /// [`StackError::NotMoved`].
    pub fn move_leader(&self, topic: &str, partition: i32, to: i32) -> Result<(), StackError> {
        self.move_to("the leader", topic, partition, &[to], |port| {
            broker::move_leader(port, topic, partition, to)
        })
    }

    /// Puts the replicas of a partition on the brokers with these node ids, of which the first becomes the preferred
    /// leader. Returns when they are in sync.
    ///
    /// # Errors
    /// [`StackError::NotMoved`].
    pub fn place(&self, topic: &str, partition: i32, on: &[i32]) -> Result<(), StackError> {
        self.move_to("the replicas", topic, partition, on, |port| broker::place(port, topic, partition, on))
    }

    /// Has the first of these brokers asked, at its port, once all of them are known.
    fn move_to(
        &self,
        what: &'static str,
        topic: &str,
        partition: i32,
        to: &[i32],
        ask: impl FnOnce(u16) -> Result<(), String>,
    ) -> Result<(), StackError> {
        let ports: Result<Vec<u16>, String> = to.iter().map(|id| self.port_of(*id)).collect();
        let moved = ports.and_then(|ports| match ports.first() {
            Some(port) => ask(*port),
            None => Err("no broker is named".to_owned()),
        });
        let (topic, to) = (topic.to_owned(), to.to_vec());
        moved.map_err(|reason| StackError::NotMoved { what, topic, partition, to, reason })
    }

    fn port_of(&self, id: i32) -> Result<u16, String> {
        let index = self.nodes.iter().position(|node| i32::from(node.id()) == id);
        index
            .map(|index| self.brokers[index].own_port())
            .ok_or_else(|| format!("there is no such broker: {id}"))
    }

    /// The schema registry.
    pub fn registry(&self) -> &Server {
        &self.registry
    }

    /// The folder of its data and logs.
    pub fn data_dir(&self) -> &Path {
        self.layout.root()
    }

    /// Whether all of it ran already and this found it so.
    pub fn found_running(&self) -> bool {
        self.found_running
    }

    /// Stops all servers, and kills those that have not ended after 30 s.
    ///
    /// # Errors
    /// [`StackError::Unkillable`], or an I/O error.
    pub fn stop(&self) -> Result<(), StackError> {
        self.stop_within(STOP_PATIENCE, |_| true)
    }

    /// All servers, brokers first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &Server> {
        self.brokers.iter().chain([&self.registry])
    }

    fn stop_within(&self, patience: Duration, which: impl Fn(&Process) -> bool) -> Result<(), StackError> {
        let mut processes: Vec<_> = self.servers().map(Server::process).collect();
        let processes = processes.iter_mut().filter_map(|process| process.as_mut());
        process::stop_all(processes.filter(|process| which(process)), patience, &Cancel::default()).map(drop)
    }

    fn bring_up(
        &mut self,
        config: &StackConfig,
        prepare_broker: impl Fn(Node) -> Result<(), StackError> + Sync,
    ) -> Result<(), StackError> {
        for server in self.servers() {
            if server.pid().is_some() && server.wait_ready(ADOPTED_PATIENCE).is_err() {
                config.cancel.check()?;
                (config.progress)(&format!("{} runs but does not answer: starting it again", server.name()));
                server.kill()?;
            }
        }
        let all_run = self.servers().all(|server| server.pid().is_some());
        self.found_running = all_run;
        if all_run {
            return Ok(());
        }
        let bound = config.lifetime == Lifetime::Bound;
        if bound {
            self.registry.state().update(|state| state.owner = ProcessId::own())?;
        }
        let deadline = Instant::now() + config.start_deadline;
        // The registry first: it gets going while the brokers' storage is formatted.
        self.registry.start()?;
        self.start_brokers(prepare_broker)?;
        for server in self.servers() {
            server.wait_ready(deadline.saturating_duration_since(Instant::now()))?;
        }
        self.owned = bound;
        Ok(())
    }

    /// All at once: none is ready before most are.
    fn start_brokers(
        &self,
        prepare: impl Fn(Node) -> Result<(), StackError> + Sync,
    ) -> Result<(), StackError> {
        let start = &|(node, broker): (&Node, &Server)| match broker.pid() {
            Some(_) => Ok(()),
            None => prepare(*node).and_then(|()| broker.start()),
        };
        thread::scope(|scope| {
            let all = self.nodes.iter().zip(&self.brokers);
            let starting: Vec<_> = all.map(|broker| scope.spawn(move || start(broker))).collect();
            let join =
                |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            starting.into_iter().try_for_each(join)
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.owned {
            if self.brokers.len() > 1 {
                // The last of three could not end in order: it would ask a controller that has no majority any more.
                self.brokers.iter().for_each(|broker| drop(broker.kill()));
            }
            // Nobody is left to be told of an error, and a bound server ends with this process in any case.
            let _ = self.stop_within(DROP_PATIENCE, |_| true);
        }
    }
}

fn assemble(
    config: &StackConfig,
    layout: &Layout,
    installation: &Installation,
    state: State,
    ports: &[Ports],
) -> Result<Stack, StackError> {
    let file = Arc::new(StateFile::create(layout.state(), state.clone())?);
    let lifetime = config.lifetime;
    let server = |kind, record: &Record, log: &str, make_command: MakeCommand| {
        let log = LogFile::new(layout.log(log));
        Server::new(kind, record, make_command, log, Arc::clone(&file), config.cancel.clone())
    };
    let broker = |((node, record), ports): ((Node, &BrokerRecord), &Ports)| {
        let (layout, installation) = (layout.clone(), installation.clone());
        let group = config.groups.map(|first| node.group(first));
        let life = (lifetime, config.short_lived);
        let command = move || broker::command(&layout, &installation, life, node, group);
        let broker = server(Kind::Broker(node), &record.broker, &node.log(), Box::new(command));
        let Some(gated) = ports.gated else { return Ok(broker) };
        let gate = Gate::new(ports.clients, gated.clients);
        let gate = gate.map_err(StackError::io("make a gate for", node.port_use().what))?;
        Ok(broker.behind(gate, [gated.brokers, ports.controller]))
    };
    let nodes: Vec<Node> = config.brokers.nodes().collect();
    let records = nodes.iter().copied().zip(state.brokers()).zip(ports);
    let brokers = records.map(broker).collect::<Result<_, StackError>>()?;
    let registry_command: MakeCommand = {
        let (layout, installation, port) = (layout.clone(), installation.clone(), state.registry.port);
        Box::new(move || registry::command(&layout, &installation, lifetime, port))
    };
    let registry = server(Kind::Registry, &state.registry, "registry", registry_command);
    Ok(Stack { layout: layout.clone(), nodes, brokers, registry, owned: false, found_running: false })
}
