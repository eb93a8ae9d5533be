//! What can go wrong, told so that a person knows what happened, to what, and what to do.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why the stack could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// No Java was found.
    #[error("Java is missing: Kafka needs Java 17 or newer; `stack/setup.sh` installs it, or set JAVA_HOME")]
    JavaMissing,
    /// The Java found is older than what the broker needs.
    #[error(
        "{} is Java {found}, and Kafka needs Java 17 or newer: `stack/setup.sh` installs one, or set JAVA_HOME",
        path.display()
    )]
    JavaTooOld {
        /// The program asked.
        path: PathBuf,
        /// What it said of itself.
        found: String,
    },
    /// The programs must be fetched, and there is no Maven to fetch them with.
    #[error("Maven (`mvn`) is missing: it fetches Kafka and the registry once; `stack/setup.sh` installs it")]
    MavenMissing,
    /// Maven could not fetch the programs.
    #[error(
        "Maven could not fetch Kafka and the registry ({reason}); is the network up? Try again, nothing is \
         left half done\n{}\nthe whole log: {}", quoted(tail), log.display()
    )]
    Fetch {
        /// How Maven ended.
        reason: String,
        /// The last lines of its log.
        tail: String,
        /// Its log.
        log: PathBuf,
    },
    /// A port belongs to another program.
    #[error(
        "port {port}, wanted for {what}, is taken by another program: stop that program or choose another \
         port ({flag} PORT; with make, {variable}=PORT)"
    )]
    PortTaken {
        /// The port.
        port: u16,
        /// What wanted it.
        what: &'static str,
        /// The command-line flag that chooses another.
        flag: &'static str,
        /// The make variable that chooses another.
        variable: &'static str,
    },
    /// No port could be bound at all.
    #[error("no free port was found on 127.0.0.1 in {tries} tries: are local connections allowed at all?")]
    NoFreePort {
        /// How many ports were tried.
        tries: u32,
    },
    /// A server runs on another port than the one asked for.
    #[error(
        "{what} is running, but on port {running}, not on {asked}: stop it first (`local-stack down`, \
         `make stack-down`), or ask for {flag} {running} (with make, {variable}={running})"
    )]
    OtherPort {
        /// Which server.
        what: &'static str,
        /// Where it listens.
        running: u16,
        /// Where it was asked to listen.
        asked: u16,
        /// The command-line flag for it.
        flag: &'static str,
        /// The make variable for it.
        variable: &'static str,
    },
    /// The stack in this folder lives and dies with another process.
    #[error(
        "the stack in {} belongs to process {owner} and stops with it: stop that one first (Ctrl-C in its \
         terminal, or `kill -TERM {owner}`), or use another --data-dir", data_dir.display()
    )]
    Owned {
        /// The process that started it.
        owner: u32,
        /// The stack's folder.
        data_dir: PathBuf,
    },
    /// The stack must be stopped before its data may be wiped, or its brokers be others.
    #[error(
        "the stack in {} is running (process {pid}): stop it first (`local-stack down`, `make stack-down`)",
        data_dir.display()
    )]
    Running {
        /// A process of it.
        pid: u32,
        /// The stack's folder.
        data_dir: PathBuf,
    },
    /// Another command works on the same folder and did not finish in time.
    #[error(
        "another local-stack command has held {} for {} s: wait for it or stop it, then try again",
        lock.display(), waited.as_secs()
    )]
    Busy {
        /// The lock file.
        lock: PathBuf,
        /// How long this one waited.
        waited: Duration,
    },
    /// A process ended when it should have run.
    #[error("{what} {exit} while it was starting; the last lines of its log:\n{}\nthe whole log: {}",
        quoted(tail), log.display())]
    Died {
        /// Which server.
        what: &'static str,
        /// How it ended.
        exit: String,
        /// The last lines of its log.
        tail: String,
        /// Its log.
        log: PathBuf,
    },
    /// A process runs but does not answer.
    #[error(
        "{what} was not ready after {} s ({reason}); the last lines of its log:\n{}\nthe whole log: {}",
        waited.as_secs(), quoted(tail), log.display()
    )]
    NotReady {
        /// Which server.
        what: &'static str,
        /// How long it was waited for.
        waited: Duration,
        /// What the last question got for an answer.
        reason: String,
        /// The last lines of its log.
        tail: String,
        /// Its log.
        log: PathBuf,
    },
    /// A signal was asked for a server that does not run.
    #[error("{what} is not running: call `start` first")]
    NotRunning {
        /// Which server.
        what: &'static str,
    },
    /// A process outlived SIGKILL, which only one stuck in the kernel does.
    #[error(
        "process {pid} ({what}) did not end within {} s of SIGKILL: it hangs in the kernel (a broken disk or \
         network file system?)", waited.as_secs()
    )]
    Unkillable {
        /// Which server.
        what: &'static str,
        /// The process.
        pid: u32,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The broker's data are of a newer Kafka than the one that would be started on them.
    #[error(
        "Kafka {kafka} cannot read the data in {}: a newer Kafka has formatted it (metadata.version level {found}; \
         this one reads up to {newest}), and `kafka-features.sh downgrade` refuses to make it older; start with an empty \
         folder (`local-stack clean-data`, `make clean-data`, or another --data-dir), or read the old data once \
         more with `local-stack up --kafka-version 4.3.1`",
        data.display()
    )]
    NewerData {
        /// The broker that would have been started.
        kafka: String,
        /// The folder of the data.
        data: PathBuf,
        /// The feature level of the data's metadata.version.
        found: i16,
        /// The newest level that the broker reads.
        newest: i16,
    },
    /// The data in a folder are of another number of brokers.
    #[error(
        "the data in {} are of --brokers {found} (with make, BROKERS={found}), not of {asked}: ask for {found}, take \
         another folder (--data-dir), or delete the data (`local-stack clean-data`, `make clean-data`)",
        data_dir.display()
    )]
    OtherBrokers {
        /// The stack's folder.
        data_dir: PathBuf,
        /// How many brokers have used it.
        found: u16,
        /// How many were asked for.
        asked: u16,
    },
    /// A partition's leader, or its replicas, stayed where they were.
    #[error("{what} of {topic}-{partition} could not be moved to {to:?}: {reason}")]
    NotMoved {
        /// "the leader" or "the replicas".
        what: &'static str,
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The node ids of the brokers that were wanted.
        to: Vec<i32>,
        /// Why, or what was seen last.
        reason: String,
    },
    /// The recorded state cannot be read.
    #[error(
        "{} cannot be understood ({reason}): if no Java process of this folder runs any more, delete that file",
        path.display()
    )]
    State {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A signal asked this program to stop while it was waiting.
    #[error("stopped by a signal")]
    Interrupted,
    /// A file, a folder or a process could not be had.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl StackError {
    /// For `map_err`: an I/O error with what was tried, and on what.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

/// Sets quoted lines off from our own.
fn quoted(lines: &str) -> String {
    if lines.is_empty() {
        return "  | (nothing)".to_owned();
    }
    lines.lines().map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
