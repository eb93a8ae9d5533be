//! One running process: our own child, or one that an earlier command left behind.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::StackError;
use crate::identity::ProcessId;
use crate::wait::{self, Cancel};

/// After SIGKILL only a process stuck in the kernel is still there.
const KILL_PATIENCE: Duration = Duration::from_secs(20);

/// How a process ended; unknown for one that is not our child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(Option<ExitStatus>);

impl Exit {
    /// Whether it did what it was started for.
    pub(crate) fn is_success(self) -> bool {
        self.0.is_some_and(|status| status.success())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.and_then(|status| status.code());
        let signal = self.0.and_then(|status| status.signal());
        match (code, signal) {
            (Some(code), _) => write!(formatter, "ended with exit code {code}"),
            (None, Some(signal)) => write!(formatter, "was ended by signal {signal}"),
            (None, None) => write!(formatter, "ended"),
        }
    }
}

/// A process that can be watched and signalled.
#[derive(Debug)]
pub(crate) struct Process {
    what: &'static str,
    id: ProcessId,
    child: Option<Child>,
}

impl Process {
    /// A child of this process.
    pub(crate) fn started(what: &'static str, child: Child) -> Self {
        // A child that has already ended has no start time, and needs none: it is waited for through its handle.
        let pid = child.id();
        let id = ProcessId::of(pid).unwrap_or_else(|| ProcessId::unknown(pid));
        Self { what, id, child: Some(child) }
    }

    /// A process that another one started.
    pub(crate) fn adopted(what: &'static str, id: ProcessId) -> Self {
        Self { what, id, child: None }
    }

    /// Whether this process started it.
    pub(crate) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn what(&self) -> &'static str {
        self.what
    }

    pub(crate) fn id(&self) -> &ProcessId {
        &self.id
    }

    /// How it ended; none while it runs.
    pub(crate) fn exit(&mut self) -> Option<Exit> {
        match &mut self.child {
            Some(child) => child.try_wait().ok().flatten().map(|status| Exit(Some(status))),
            None => (!self.id.is_alive()).then_some(Exit(None)),
        }
    }

    /// Sends a signal, to this process or to nobody.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), StackError> {
        // A child that was not waited for keeps its pid; an adopted process is looked at just before.
        if self.exit().is_some() {
            return Ok(());
        }
        let sent = i32::try_from(self.id.pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput.into())
            .and_then(|pid| kill_process(pid, signal).map_err(io::Error::from));
        match sent {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Err(StackError::io("signal process", self.id.pid.to_string())(error))
            }
            _ => Ok(()),
        }
    }

    /// Asks it to stop. A paused process is woken, so that it can.
    pub(crate) fn terminate(&mut self) -> Result<(), StackError> {
        self.signal(Signal::TERM)?;
        self.signal(Signal::CONT)
    }

    /// Ends it at once, and waits until it is gone.
    pub(crate) fn kill(&mut self) -> Result<(), StackError> {
        self.signal(Signal::KILL)?;
        if self.gone_within(KILL_PATIENCE) {
            return Ok(());
        }
        Err(StackError::Unkillable { what: self.what, pid: self.id.pid, waited: KILL_PATIENCE })
    }

    /// Lets it finish its work; none, and it is killed, when it takes too long.
    pub(crate) fn finish(&mut self, patience: Duration, cancel: &Cancel) -> Result<Option<Exit>, StackError> {
        let finished = wait::until(patience, || match cancel.check() {
            Ok(()) => self.exit().map(Ok),
            Err(interrupted) => Some(Err(interrupted)),
        });
        if !matches!(finished, Some(Ok(_))) {
            self.kill()?;
        }
        finished.transpose()
    }

    /// Waits for its end; false when it still runs.
    pub(crate) fn gone_within(&mut self, patience: Duration) -> bool {
        wait::until(patience, || self.exit()).is_some()
    }
}

/// Asks all to stop, gives them `patience` together, or until `hurry` says otherwise, and kills those that are
/// left. Yields the names of these.
pub(crate) fn stop_all<'a>(
    processes: impl IntoIterator<Item = &'a mut Process>,
    patience: Duration,
    hurry: &Cancel,
) -> Result<Vec<&'static str>, StackError> {
    let mut running: Vec<_> = processes.into_iter().collect();
    for process in &mut running {
        process.terminate()?;
    }
    // `retain_mut` looks at every one, so each is reaped as soon as it ends.
    wait::until(patience, || {
        running.retain_mut(|process| process.exit().is_none());
        (running.is_empty() || hurry.is_cancelled()).then_some(())
    });
    running.into_iter().map(|process| process.kill().map(|()| process.what())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::{self, Lifetime};

    fn shell(script: &str) -> Process {
        let mut command = launch::command("sh", Lifetime::Bound);
        command.args(["-c", script]);
        Process::started("the test's shell", launch::spawn(command).unwrap())
    }

    #[test]
    fn an_end_is_told_with_its_cause() {
        let mut process = shell("exit 3");
        assert!(process.gone_within(Duration::from_secs(20)));
        assert_eq!(process.exit().unwrap().to_string(), "ended with exit code 3");
        let mut process = shell("kill -9 $$");
        assert!(process.gone_within(Duration::from_secs(20)));
        assert_eq!(process.exit().unwrap().to_string(), "was ended by signal 9");
    }

    #[test]
    fn a_paused_process_is_alive_and_still_stops() {
        let mut process = shell("exec sleep 600");
        process.signal(Signal::STOP).unwrap();
        assert_eq!(process.exit(), None);
        assert!(stop_all([&mut process], Duration::from_secs(20), &Cancel::default()).unwrap().is_empty());
        assert_eq!(process.exit().unwrap().to_string(), "was ended by signal 15");
    }

    #[test]
    fn a_process_deaf_to_sigterm_is_killed() {
        // An ignored signal stays ignored across exec. The shell tells that it is deaf by making the file.
        let folder = tempfile::tempdir().unwrap();
        let deaf = folder.path().join("deaf");
        let mut process = shell(&format!("trap '' TERM; : >'{}'; exec sleep 600", deaf.display()));
        assert!(wait::until(Duration::from_secs(20), || deaf.exists().then_some(())).is_some());
        let killed = stop_all([&mut process], Duration::from_millis(50), &Cancel::default()).unwrap();
        assert_eq!(killed, ["the test's shell"]);
        assert_eq!(process.exit().unwrap().to_string(), "was ended by signal 9");
    }

    #[test]
    fn an_adopted_process_that_is_gone_gets_no_signal() {
        let mut child = shell("exec sleep 600");
        let mut adopted = Process::adopted("the sleeper", child.id().clone());
        assert_eq!(adopted.exit(), None);
        child.kill().unwrap();
        assert_eq!(adopted.exit().unwrap().to_string(), "ended");
        adopted.signal(Signal::KILL).unwrap();
    }
}
