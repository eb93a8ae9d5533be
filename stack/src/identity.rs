//! Which process a recorded pid means, so that a recycled pid is never signalled.

use std::fs;
use std::process::Command;

use serde::{Deserialize, Serialize};

/// A process, told apart from any later one with the same pid by when it started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The number that signals go to.
    pub(crate) pid: u32,
    /// An opaque mark of its start: equal marks mean the same process.
    started: String,
}

impl ProcessId {
    /// The process that has this pid now; none if there is none, or only the zombie of one.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let started = if cfg!(target_os = "linux") { started_by_proc(pid) } else { started_by_ps(pid) };
        started.map(|started| Self { pid, started })
    }

    /// A process that ended before it could be looked at: it is never alive.
    pub(crate) fn unknown(pid: u32) -> Self {
        Self { pid, started: String::new() }
    }

    /// This very process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether that process still runs (a stopped one does).
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// The boot and the clock tick of the start. Unlike a time of day it does not move when the clock is set.
fn started_by_proc(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ticks = start_ticks(&stat)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("{}/{ticks}", boot.trim()))
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)), unless field 3 says that the process is a zombie or dead.
fn start_ticks(stat: &str) -> Option<u64> {
    // Field 2 is the program's name in parentheses and may itself hold spaces and parentheses.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// For systems without /proc: what `ps` says, to the second.
fn started_by_ps(pid: u32) -> Option<String> {
    let output = Command::new("ps").args(["-o", "state=,lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_running_process_is_itself() {
        let own = ProcessId::own().unwrap();
        assert!(own.is_alive());
        assert_eq!(own, ProcessId::of(own.pid).unwrap());
    }

    #[test]
    fn a_recycled_pid_is_another_process() {
        let mut recorded = ProcessId::own().unwrap();
        recorded.started.push('0');
        assert!(!recorded.is_alive());
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let recorded = ProcessId::of(child.id()).unwrap();
        assert!(recorded.is_alive());
        // Without its input `cat` ends; it stays a zombie until it is waited for.
        drop(child.stdin.take());
        while recorded.is_alive() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert_eq!(ProcessId::of(recorded.pid), None);
    }

    #[test]
    fn a_name_full_of_parentheses_hides_no_field() {
        let stat = "42 (a) Z (b)) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 2000 1 18446744073709551615";
        assert_eq!(start_ticks(stat), Some(987_654));
        assert_eq!(start_ticks(&stat.replace(" S 1 ", " Z 1 ")), None);
        assert_eq!(start_ticks("42 (cut"), None);
    }

    #[test]
    fn ps_tells_the_start_where_there_is_no_proc() {
        // A minimal system may lack `ps`, and then it has /proc.
        if Command::new("ps").arg("-V").output().is_ok() {
            let own = std::process::id();
            assert!(started_by_ps(own).is_some());
            assert_eq!(started_by_ps(own), started_by_ps(own));
        }
    }
}
