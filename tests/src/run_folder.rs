//! The folder of one run of the tests, in `target/end-to-end`.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Held for as long as the run's process lives.
const LOCK: &str = "run.lock";
/// So long the logs of a run that has ended can be looked at.
const KEPT: Duration = Duration::from_secs(3600);

/// This process's folder, made by the first call. Runs that have ended are deleted then: brokers leave a lot behind.
pub(crate) fn run_folder() -> &'static Path {
    static RUN: OnceLock<(PathBuf, File)> = OnceLock::new();
    let (folder, _lock) = RUN.get_or_init(|| {
        let test = std::env::current_exe().unwrap();
        let runs = test.ancestors().nth(3).unwrap().join("end-to-end");
        delete_ended(&runs, SystemTime::now() - KEPT);
        begin(&runs, std::process::id()).unwrap()
    });
    folder
}

/// Makes the folder of a process. One that is there is of an earlier process with this id.
fn begin(runs: &Path, process: u32) -> io::Result<(PathBuf, File)> {
    let folder = runs.join(process.to_string());
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let lock = File::create(folder.join(LOCK))?;
    lock.lock()?;
    Ok((folder, lock))
}

/// Deletes what began before that time and belongs to no process that lives.
fn delete_ended(runs: &Path, before: SystemTime) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let folder = entry.path();
        let lock = folder.join(LOCK);
        let began = fs::metadata(&lock).or_else(|_| entry.metadata()).and_then(|file| file.modified());
        if began.is_ok_and(|began| began < before) && !is_locked(&lock) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

fn is_locked(lock: &Path) -> bool {
    File::open(lock).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_still_lives_is_kept_whatever_its_age() {
        let runs = tempfile::tempdir().unwrap();
        let (living, _lock) = begin(runs.path(), 1).unwrap();
        let (ended, lock) = begin(runs.path(), 2).unwrap();
        drop(lock);
        let without_lock = runs.path().join("of-an-older-version");
        fs::create_dir(&without_lock).unwrap();
        delete_ended(runs.path(), SystemTime::now() - KEPT);
        assert!(ended.exists(), "its logs are new");
        delete_ended(runs.path(), SystemTime::now() + KEPT);
        assert!(living.exists() && !ended.exists() && !without_lock.exists());
    }
}
