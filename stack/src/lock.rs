//! File locks between processes. The kernel lets go of one when its holder dies, however it dies.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::error::StackError;
use crate::wait::{self, Cancel};

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Waits for the lock; `on_wait` is called once if another holds it.
    pub(crate) fn wait(
        path: &Path,
        patience: Duration,
        cancel: &Cancel,
        on_wait: impl FnOnce(),
    ) -> Result<Self, StackError> {
        let file = open(path)?;
        if try_lock(&file, path)? {
            return Ok(Self { _file: file });
        }
        on_wait();
        let taken = wait::until(patience, || match cancel.check().and_then(|()| try_lock(&file, path)) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        });
        match taken {
            Some(result) => result.map(|()| Self { _file: file }),
            None => Err(StackError::Busy { lock: path.to_owned(), waited: patience }),
        }
    }

    /// Takes the lock and writes this process's pid into it, or tells the pid of the one that holds it.
    pub(crate) fn claim(path: &Path) -> Result<Result<Self, String>, StackError> {
        let mut file = open(path)?;
        if try_lock(&file, path)? {
            file.set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()))
                .map_err(StackError::io("write", path))?;
            return Ok(Ok(Self { _file: file }));
        }
        let mut holder = String::new();
        file.rewind()
            .and_then(|()| file.read_to_string(&mut holder))
            .map_err(StackError::io("read", path))?;
        Ok(Err(holder))
    }
}

fn open(path: &Path) -> Result<File, StackError> {
    File::options()
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(path)
        .map_err(StackError::io("open the lock", path))
}

fn try_lock(file: &File, path: &Path) -> Result<bool, StackError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(StackError::io("take the lock", path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_waited_for_and_then_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let mut told = false;
        let held = FileLock::wait(&path, Duration::ZERO, &Cancel::default(), || told = true).unwrap();
        assert!(!told, "nobody held it");
        let error = FileLock::wait(&path, Duration::ZERO, &Cancel::default(), || told = true).unwrap_err();
        assert!(told);
        assert!(matches!(error, StackError::Busy { .. }), "{error}");
        drop(held);
        FileLock::wait(&path, Duration::ZERO, &Cancel::default(), || {}).unwrap();
    }

    #[test]
    fn a_claimed_lock_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = FileLock::claim(&path).unwrap().unwrap();
        assert_eq!(FileLock::claim(&path).unwrap().unwrap_err(), std::process::id().to_string());
        drop(held);
        assert!(FileLock::claim(&path).unwrap().is_ok());
    }

    #[test]
    fn a_cancelled_wait_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _held = FileLock::claim(&path).unwrap().unwrap();
        let cancel = Cancel::default();
        let error = FileLock::wait(&path, Duration::from_secs(60), &cancel, || cancel.cancel()).unwrap_err();
        assert!(matches!(error, StackError::Interrupted), "{error}");
    }
}
