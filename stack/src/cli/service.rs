//! One of our services as a child: its environment, its log, whether it is ready.

use std::env;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::output;
use crate::error::StackError;
use crate::http;
use crate::launch::{self, Lifetime};
use crate::logfile::LogFile;
use crate::process::Process;
use crate::wait::{self, Cancel};

const QUESTION: Duration = Duration::from_secs(2);

/// A service to be started.
pub(super) struct Plan<'a> {
    pub(super) name: &'static str,
    pub(super) program: &'a Path,
    pub(super) port: u16,
    pub(super) variables: Vec<(&'static str, String)>,
    pub(super) log: LogFile,
}

/// A service that was started.
pub(super) struct Service {
    pub(super) process: Process,
    port: u16,
    log: LogFile,
    echo: Arc<AtomicBool>,
    copier: Option<JoinHandle<()>>,
}

impl Service {
    pub(super) fn start(plan: Plan<'_>) -> Result<Self, StackError> {
        let Plan { name, program, port, variables, log } = plan;
        let file = log.open(name).map_err(StackError::io("open the log", log.path()))?;
        let pipe = || io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
        let (reader, output, errors) = pipe().map_err(StackError::io("make a pipe for", name))?;
        let mut command = launch::command(program, Lifetime::Bound);
        command.stdout(output).stderr(errors).envs(variables).env("PORT", port.to_string());
        // Ours for the broker's port; a service would take it for a property of its Kafka client.
        command.env_remove("KAFKA_PORT");
        if env::var_os("BIND").is_none() {
            // A service listens on all interfaces by default; one that is tried out need not.
            command.env("BIND", "127.0.0.1");
        }
        for variable in ["NO_PROXY", "no_proxy"] {
            command.env(variable, without_proxy(env::var(variable).ok()));
        }
        let child = launch::spawn(command).map_err(StackError::io("start", program))?;
        let echo = Arc::new(AtomicBool::new(false));
        let copier = {
            let echo = Arc::clone(&echo);
            thread::spawn(move || copy(name, reader, file, &echo))
        };
        let process = Process::started(name, child);
        Ok(Self { process, port, log, echo, copier: Some(copier) })
    }

    /// From now on its log lines are also shown on the terminal.
    pub(super) fn show_log(&self) {
        self.echo.store(true, Ordering::Relaxed);
    }

    /// Waits until `GET /health/ready` answers 200.
    pub(super) fn wait_ready(&mut self, patience: Duration, cancel: &Cancel) -> Result<(), StackError> {
        let url = format!("http://127.0.0.1:{}/health/ready", self.port);
        let begun = Instant::now();
        let mut last_reason = String::new();
        let ready = wait::until(patience, || {
            if let Err(interrupted) = cancel.check() {
                return Some(Err(interrupted));
            }
            if let Some(exit) = self.process.exit() {
                return Some(Err(self.died(exit.to_string())));
            }
            match http::get(&url, QUESTION) {
                Ok(answer) if answer.status == 200 => return Some(Ok(())),
                Ok(answer) => {
                    last_reason = format!("{url} answers {}: {}", answer.status, answer.body.trim());
                }
                Err(reason) => last_reason = format!("{url}: {reason}"),
            }
            None
        });
        ready.unwrap_or_else(|| {
            Err(StackError::NotReady {
                what: self.process.what(),
                waited: begun.elapsed(),
                reason: last_reason,
                tail: self.log.tail(),
                log: self.log.path().to_owned(),
            })
        })
    }

    /// How it ended, as a sentence; none while it runs.
    pub(super) fn end(&mut self) -> Option<String> {
        let exit = self.process.exit()?;
        Some(format!("{} {exit}; its log: {}", self.process.what(), output::shown(self.log.path())))
    }

    fn died(&mut self, exit: String) -> StackError {
        // Its last words may still be in the pipe.
        if let Some(copier) = self.copier.take() {
            let _ = copier.join();
        }
        StackError::Died {
            what: self.process.what(),
            exit,
            tail: self.log.tail(),
            log: self.log.path().to_owned(),
        }
    }
}

/// Copies lines to the log, and to the terminal when asked to, until the service closes its output.
fn copy(name: &str, output: PipeReader, mut log: File, echo: &AtomicBool) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        // A full disk must not stop the service, which it would if nobody read its output.
        let _ = log.write_all(&line);
        if echo.load(Ordering::Relaxed) {
            output::say(&format!("{name:<13} | {}", String::from_utf8_lossy(&line).trim_end()));
        }
        line.clear();
    }
}

/// The registry and the other service are on this machine: no proxy leads there.
fn without_proxy(set: Option<String>) -> String {
    match set {
        Some(hosts) if !hosts.trim().is_empty() => format!("{hosts},127.0.0.1,localhost"),
        _ => "127.0.0.1,localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_never_asked_for_this_machine() {
        assert_eq!(without_proxy(None), "127.0.0.1,localhost");
        assert_eq!(without_proxy(Some(" ".to_owned())), "127.0.0.1,localhost");
        assert_eq!(without_proxy(Some("intranet".to_owned())), "intranet,127.0.0.1,localhost");
    }
}
