//! What runs, written down: a later command finds the processes of an earlier one by it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::brokers::Brokers;
use crate::error::StackError;
use crate::identity::ProcessId;
use crate::kind::Kind;

/// The servers of one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process that the stack lives and dies with; none if it was brought up to stay.
    pub(crate) owner: Option<ProcessId>,
    /// Written as it was when there was no other broker: each version finds what another one has started.
    #[serde(flatten)]
    pub(crate) first_broker: BrokerRecord,
    /// The second broker and the third.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) other_brokers: Vec<BrokerRecord>,
    pub(crate) registry: Record,
}

/// One broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BrokerRecord {
    /// Where the controller inside the broker's process listens.
    pub(crate) controller_port: u16,
    pub(crate) broker: Record,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) port: u16,
    /// None before its first start.
    pub(crate) process: Option<ProcessId>,
}

impl Record {
    /// Its process, if that still runs.
    pub(crate) fn alive(&self) -> Option<&ProcessId> {
        self.process.as_ref().filter(|process| process.is_alive())
    }
}

impl State {
    /// The last state written in a folder; none if there is none.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, StackError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StackError::io("read", path)(error)),
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| StackError::State { path: path.to_owned(), reason: error.to_string() })
    }

    /// All brokers, in the order of their node ids.
    pub(crate) fn brokers(&self) -> impl Iterator<Item = &BrokerRecord> {
        iter::once(&self.first_broker).chain(&self.other_brokers)
    }

    /// How many brokers there are.
    pub(crate) fn count(&self) -> Brokers {
        if self.other_brokers.is_empty() { Brokers::One } else { Brokers::Three }
    }

    /// All servers, brokers first.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (Kind, &Record)> {
        let brokers = self.count().nodes().zip(self.brokers());
        let brokers = brokers.map(|(node, record)| (Kind::Broker(node), &record.broker));
        brokers.chain(iter::once((Kind::Registry, &self.registry)))
    }

    /// The record of one server.
    pub(crate) fn record(&mut self, kind: Kind) -> Option<&mut Record> {
        let index = match kind {
            Kind::Broker(node) => node.index(),
            Kind::Registry => return Some(&mut self.registry),
        };
        let mut brokers = iter::once(&mut self.first_broker).chain(&mut self.other_brokers);
        brokers.nth(index).map(|record| &mut record.broker)
    }

    /// The processes that still run, brokers first.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &ProcessId> {
        self.servers().filter_map(|(_, record)| record.alive())
    }

    /// The owner, if it still runs and there is something left to own.
    pub(crate) fn living_owner(&self) -> Option<&ProcessId> {
        self.owner.as_ref().filter(|owner| owner.is_alive() && self.alive().next().is_some())
    }
}

/// The file that holds the state, kept in step with it.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    state: Mutex<State>,
}

impl StateFile {
    /// Writes the first state.
    pub(crate) fn create(path: PathBuf, state: State) -> Result<Self, StackError> {
        write(&path, &state)?;
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// Changes the state and writes it before anyone else can change it.
    pub(crate) fn update(&self, change: impl FnOnce(&mut State)) -> Result<(), StackError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        write(&self.path, &state)
    }
}

/// Whole or not at all: a reader sees the old file or the new one, also after a crash of the machine.
fn write(path: &Path, state: &State) -> Result<(), StackError> {
    let temporary = path.with_extension("json.new");
    let text = serde_json::to_string_pretty(state).map_err(io::Error::from);
    text.and_then(|text| {
        let mut file = File::create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })
    .map_err(StackError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broker(port: u16) -> BrokerRecord {
        let broker = Record { port, process: ProcessId::own() };
        BrokerRecord { controller_port: 20_001, broker }
    }

    fn state() -> State {
        State {
            owner: None,
            first_broker: broker(9092),
            other_brokers: Vec::new(),
            registry: Record { port: 8081, process: None },
        }
    }

    #[test]
    fn a_state_survives_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stack.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let file = StateFile::create(path.clone(), state()).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state()));
        file.update(|state| state.first_broker.broker.process = None).unwrap();
        let read = State::read(&path).unwrap().unwrap();
        assert_eq!(read.first_broker.broker, Record { port: 9092, process: None });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    /// As the versions before three brokers wrote it, and as this one writes it for one.
    const OF_ONE: &str = r#"{
  "owner": null,
  "controller_port": 20001,
  "broker": {
    "port": 9092,
    "process": {
      "pid": 4711,
      "started": "5f1c2c4e-0d5e-4f0c-9d5b-2f1f0a8f5a11/1234"
    }
  },
  "registry": {
    "port": 8081,
    "process": null
  }
}"#;

    #[test]
    fn the_file_of_one_broker_is_that_of_older_versions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stack.json");
        fs::write(&path, OF_ONE).unwrap();
        let state = State::read(&path).unwrap().unwrap();
        assert_eq!(state.first_broker.controller_port, 20_001);
        assert_eq!(state.first_broker.broker.process.as_ref().unwrap().pid, 4711);
        assert_eq!(state.count(), Brokers::One);
        StateFile::create(path.clone(), state).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), OF_ONE);
    }

    #[test]
    fn each_of_three_brokers_has_its_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stack.json");
        let mut state = State { other_brokers: vec![broker(9093), broker(9094)], ..state() };
        StateFile::create(path.clone(), state.clone()).unwrap();
        assert_eq!(State::read(&path).unwrap().as_ref(), Some(&state));
        assert_eq!(state.alive().count(), 3);
        let ports: Vec<_> = state.servers().map(|(_, record)| record.port).collect();
        assert_eq!(ports, [9092, 9093, 9094, 8081]);
        let kinds: Vec<_> = state.servers().map(|(kind, _)| kind).collect();
        let by_kind = kinds.into_iter().map(|kind| state.record(kind).unwrap().port);
        assert_eq!(by_kind.collect::<Vec<_>>(), ports);
    }

    #[test]
    fn only_running_processes_count() {
        let mut state = state();
        assert_eq!(state.alive().count(), 1);
        assert_eq!(state.living_owner(), None);
        state.owner = ProcessId::own();
        assert_eq!(state.living_owner(), ProcessId::own().as_ref());
        state.first_broker.broker.process = None;
        assert_eq!(state.living_owner(), None, "an owner of nothing stands in nobody's way");
    }

    #[test]
    fn a_broken_file_is_an_error_that_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stack.json");
        fs::write(&path, "{\"broker\": ").unwrap();
        let message = State::read(&path).unwrap_err().to_string();
        assert!(message.contains("stack.json") && message.contains("delete"), "{message}");
    }
}
