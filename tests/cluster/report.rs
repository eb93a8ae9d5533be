//! A line of JSON for each trial.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use end_to_end_tests::checker::Findings;
use serde_json::{Value, json};

/// What became of a trial.
pub(crate) struct Report {
    pub(crate) seed: u64,
    /// What happened, in its order.
    pub(crate) faults: Vec<String>,
    /// Records in the events topic, aborted ones not among them.
    pub(crate) events: usize,
    /// Writes that were confirmed to clients of cart-service.
    pub(crate) confirmed: usize,
    /// States of orders that were seen meanwhile.
    pub(crate) seen: usize,
    /// How long the load lasted.
    pub(crate) seconds: u64,
    /// Where the logs are.
    pub(crate) logs: PathBuf,
    pub(crate) findings: Findings,
}

impl Report {
    pub(crate) fn has_passed(&self) -> bool {
        self.findings.is_empty()
    }

    /// For the one who waits for it.
    pub(crate) fn summary(&self) -> String {
        let Self { seed, faults, events, confirmed, seen, seconds, findings, .. } = self;
        format!(
            "SEED={seed}: {} faults in {seconds} s, {events} events, {confirmed} confirmed over HTTP, {seen} states seen; \
             found: {findings}",
            faults.len()
        )
    }

    fn to_json(&self, commit: &str, size: &str) -> Value {
        json!({
            "seed": self.seed, "commit": commit, "size": size, "time": jiff::Timestamp::now().to_string(), "seconds": self.seconds,
            "events": self.events, "confirmed": self.confirmed, "seen": self.seen, "faults": self.faults,
            "found": self.findings.to_json(), "passed": self.has_passed(), "logs": self.logs,
        })
    }
}

/// The trials so far.
pub(crate) struct Reports {
    path: PathBuf,
    commit: String,
    size: String,
}

impl Reports {
    /// Of trials of this size.
    pub(crate) fn open(size: &str) -> Self {
        // <target>/<profile>/deps/<this program>
        let program = std::env::current_exe().unwrap();
        let folder = program.ancestors().nth(3).unwrap().join("cluster");
        fs::create_dir_all(&folder).unwrap();
        Self { path: folder.join("trials.jsonl"), commit: commit(), size: size.to_owned() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this commit has passed this trial, at this size. What is not committed may have changed since.
    pub(crate) fn has_passed(&self, seed: u64) -> bool {
        let lines = fs::read_to_string(&self.path).unwrap_or_default();
        let mut trials = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let is_this = |trial: &Value| {
            trial["seed"] == seed && trial["commit"] == *self.commit && trial["size"] == *self.size
        };
        !self.commit.ends_with('+') && trials.any(|trial| is_this(&trial) && trial["passed"] == true)
    }

    pub(crate) fn add(&self, report: &Report) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path).unwrap();
        writeln!(file, "{}", report.to_json(&self.commit, &self.size)).unwrap();
    }
}

/// The commit of the working tree; with a plus if something is not committed, or there is no git to ask.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    };
    let (commit, changes) = (git(&["rev-parse", "--short", "HEAD"]), git(&["status", "--porcelain"]));
    let is_changed = commit.is_empty() || !changes.is_empty();
    format!("{commit}{}", if is_changed { "+" } else { "" })
}
