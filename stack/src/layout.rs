//! Where a stack keeps its things.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::brokers::Node;
use crate::error::StackError;

/// The folder of one stack. The servers run in it and name their data relative to it, so that no character of
/// its path can upset their settings (a comma would split Kafka's `log.dirs`).
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

/// The registry's database, relative to the folder; H2 adds `.mv.db`.
pub(crate) const REGISTRY_DATABASE: &str = "registry/registry";

/// All that holds data and that `clean-data` removes. Nothing else in the folder is ours to delete.
const DATA: [&str; 4] = ["broker", "registry", "logs", "tmp"];

impl Layout {
    /// The folder at `root`, made with all that the servers expect to find in it.
    pub(crate) fn create(root: &Path) -> Result<Self, StackError> {
        let layout = Self::of(root)?;
        for folder in DATA {
            let path = layout.root.join(folder);
            fs::create_dir_all(&path).map_err(StackError::io("make the folder", path))?;
        }
        Ok(layout)
    }

    /// The folder at `root`, whether it exists or not.
    pub(crate) fn of(root: &Path) -> Result<Self, StackError> {
        let root = std::path::absolute(root).map_err(StackError::io("find the folder", root))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn broker_data(&self, node: Node) -> PathBuf {
        self.root.join(node.data())
    }

    pub(crate) fn broker_properties(&self, node: Node) -> PathBuf {
        self.root.join(node.folder()).join("server.properties")
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.logs().join(format!("{name}.log"))
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("stack.json")
    }

    /// Held while a command starts or stops something in the folder.
    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("stack.lock")
    }

    /// Held for the whole life of a `run`.
    pub(crate) fn run_lock(&self) -> PathBuf {
        self.root.join("run.lock")
    }

    /// Removes the servers' data, their logs and the state file; false if there was nothing of it.
    pub(crate) fn wipe(&self) -> Result<bool, StackError> {
        let state = self.state();
        let mut found = existed(fs::remove_file(&state)).map_err(StackError::io("remove the file", state))?;
        for folder in DATA {
            let path = self.root.join(folder);
            found |= existed(fs::remove_dir_all(&path)).map_err(StackError::io("remove the folder", path))?;
        }
        Ok(found)
    }
}

/// What a removal says of the thing removed: one that is already gone is no error.
pub(crate) fn existed(removal: io::Result<()>) -> io::Result<bool> {
    match removal {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_takes_the_data_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::create(folder.path()).unwrap();
        fs::write(layout.log("broker"), "a line").unwrap();
        fs::write(folder.path().join("mine.txt"), "not the stack's").unwrap();
        assert!(layout.wipe().unwrap());
        assert!(!layout.wipe().unwrap(), "nothing was left to wipe");
        assert!(!layout.logs().exists());
        assert!(folder.path().join("mine.txt").exists());
    }
}
