//! What runs, written down: a later command finds the processes of an earlier one by it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::error::StackError;
use crate::identity::ProcessId;

/// The servers of one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// The process that the stack lives and dies with; none if it was brought up to stay.
    pub(crate) owner: Option<ProcessId>,
    /// Where the controller inside the broker's process listens.
    pub(crate) controller_port: u16,
    pub(crate) broker: Record,
    pub(crate) registry: Record,
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

    /// The processes that still run, broker first.
    pub(crate) fn alive(&self) -> impl Iterator<Item = &ProcessId> {
        [&self.broker, &self.registry].into_iter().filter_map(Record::alive)
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

    fn state() -> State {
        State {
            owner: None,
            controller_port: 20_001,
            broker: Record { port: 9092, process: ProcessId::own() },
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
        file.update(|state| state.broker.process = None).unwrap();
        let read = State::read(&path).unwrap().unwrap();
        assert_eq!(read.broker, Record { port: 9092, process: None });
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn only_running_processes_count() {
        let mut state = state();
        assert_eq!(state.alive().count(), 1);
        assert_eq!(state.living_owner(), None);
        state.owner = ProcessId::own();
        assert_eq!(state.living_owner(), ProcessId::own().as_ref());
        state.broker.process = None;
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
