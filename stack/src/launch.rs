//! Starting a process so that it lives exactly as long as it should.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};
use std::thread;

/// How long a started process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// As long as the process that started it, even if that is killed. On systems other than Linux, and where
    /// `setpriv` of util-linux is missing, a killed starter leaves it behind, for the next start to find.
    Bound,
    /// Until someone stops it.
    Detached,
}

/// A command that will run `program` with that lifetime, without input and in a process group of its own, so
/// that Ctrl-C in a terminal reaches only the program that decides in which order things stop.
pub(crate) fn command(program: impl AsRef<OsStr>, lifetime: Lifetime) -> Command {
    let mut command = match setpriv() {
        Some(setpriv) if lifetime == Lifetime::Bound => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.stdin(Stdio::null()).process_group(0);
    command
}

/// Starts a command from a thread that lives as long as this process. The kernel's death signal is sent when the
/// starting THREAD ends (prctl(2)), so a test's own thread would take the servers that it shares down with it.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();

    let gone = || io::Error::other("the thread that starts processes is gone");
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The asker waits for the reply: it cannot be gone.
                let _ = reply.send(command.spawn());
            }
        });
        requests
    });
    let (reply, child) = mpsc::channel();
    spawner.send((command, reply)).map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// The program `name` as the shell would find it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| {
        path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// `setpriv`, if it is the one that can set a death signal (busybox has another).
fn setpriv() -> Option<&'static PathBuf> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    let works = |path: &PathBuf| {
        let mut probe = Command::new(path);
        probe.args(["--pdeathsig", "KILL", "--", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    };
    SETPRIV.get_or_init(|| find("setpriv").filter(works)).as_ref()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::process::ExitStatusExt as _;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::wait;

    #[test]
    fn a_bound_process_outlives_the_thread_that_asked_for_it() {
        let asker = thread::spawn(|| {
            let mut command = command("cat", Lifetime::Bound);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let child = spawn(command).unwrap();
            let name = format!("/proc/{}/comm", child.id());
            // Once it bears this name, its death signal is set.
            await_that(|| fs::read_to_string(&name).is_ok_and(|name| name.trim() == "cat"));
            (child, fs::read_link("/proc/thread-self").unwrap())
        });
        let (mut child, thread) = asker.join().unwrap();
        // A thread sends the death signals after it can be joined and before it leaves this list.
        await_that(|| !Path::new("/proc").join(&thread).exists());
        // Only a process without a pending SIGKILL echoes.
        let mut echoed = String::new();
        child.stdin.take().unwrap().write_all(b"still here").unwrap();
        child.stdout.take().unwrap().read_to_string(&mut echoed).unwrap();
        assert_eq!(echoed, "still here");
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_bound_process_with_a_group_of_its_own_ends_with_its_starter() {
        if setpriv().is_none() {
            return;
        }
        // Only root may give another group than its own.
        let group =
            if rustix::process::geteuid().is_root() { 7001 } else { rustix::process::getegid().as_raw() };
        let starter = thread::spawn(move || {
            let mut command = command("sleep", Lifetime::Bound);
            let child = command.arg("600").gid(group).spawn().unwrap();
            let status = format!("/proc/{}/status", child.id());
            // Once it bears this name, its death signal is set.
            await_that(|| {
                fs::read_to_string(&status).is_ok_and(|status| status.starts_with("Name:\tsleep\n"))
            });
            (child, fs::read_to_string(&status).unwrap())
        });
        let (mut child, status) = starter.join().unwrap();
        assert!(status.contains(&format!("Gid:\t{group}\t{group}\t")), "{status}");
        let ended = wait::until(Duration::from_secs(20), || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        assert_eq!(ended.and_then(|status| status.signal()), Some(9));
    }

    fn await_that(condition: impl Fn() -> bool) {
        let held = wait::until(Duration::from_secs(60), || condition().then_some(()));
        assert!(held.is_some());
    }

    #[test]
    fn programs_are_found_like_the_shell_finds_them() {
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program-anywhere"), None);
    }
}
