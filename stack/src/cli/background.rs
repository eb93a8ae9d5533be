//! The stack in the background: `up`, `down`, `status`, `clean-data`.

use std::process::ExitCode;

use super::arguments::{Folder, StackArguments};
use super::error::CliError;
use super::output::{progress, say, shown};
use super::signals;
use crate::config::StackConfig;
use crate::control::{self, Condition, ServerStatus};
use crate::launch::Lifetime;
use crate::layout::Layout;
use crate::stack::Stack;

/// Starts what does not run yet.
pub(super) fn up(arguments: &StackArguments) -> Result<ExitCode, CliError> {
    let folder = &arguments.folder.data_dir;
    if let Some(owner) = control::status(folder)?.and_then(|status| status.owner) {
        say(&format!("already up, as part of process {owner} (`local-stack run`), and it stops with that"));
        return Ok(ExitCode::SUCCESS);
    }
    let asked = signals::listen()?;
    let config = StackConfig { lifetime: Lifetime::Detached, ..arguments.config(asked.stop, progress) };
    let stack = Stack::start(config)?;
    say(if stack.found_running() { "already up:" } else { "up:" });
    say(&format!("  Kafka            {}", stack.bootstrap_servers()));
    say(&format!("  schema registry  {}", stack.registry_url()));
    say(&format!("  data and logs    {}", shown(stack.data_dir())));
    say("`local-stack down` (`make stack-down`) stops it and keeps the data");
    Ok(ExitCode::SUCCESS)
}

/// Stops what runs.
pub(super) fn down(folder: &Folder) -> Result<ExitCode, CliError> {
    let stopped = control::stop(&folder.data_dir)?;
    say(if stopped { "stopped; the data is kept" } else { "nothing was running" });
    Ok(ExitCode::SUCCESS)
}

/// Tells how the servers are.
pub(super) fn status(folder: &Folder) -> Result<ExitCode, CliError> {
    let Some(status) = control::status(&folder.data_dir)? else {
        say("not running, and never was with this data folder: `local-stack up` (`make stack-up`) starts it");
        return Ok(ExitCode::FAILURE);
    };
    for server in status.servers() {
        say(&line(server));
    }
    if let Some(owner) = status.owner {
        say(&format!("part of process {owner} (`local-stack run`)"));
    }
    say(&format!("logs in {}", shown(&status.logs)));
    Ok(if status.is_up() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(server: &ServerStatus) -> String {
    let condition = match &server.condition {
        Condition::Ready => "ready".to_owned(),
        Condition::NotReady(reason) => format!("not ready: {reason}"),
        Condition::Stopped => "not running".to_owned(),
    };
    let process = server.pid.map_or_else(String::new, |pid| format!(", process {pid}"));
    format!("{:<20} port {}{process}: {condition}", server.what, server.port)
}

/// Deletes the data.
pub(super) fn clean_data(folder: &Folder) -> Result<ExitCode, CliError> {
    let root = Layout::of(&folder.data_dir)?;
    let wiped = control::clean(&folder.data_dir)?;
    let verdict = if wiped { "deleted the data and logs in" } else { "there was no data in" };
    say(&format!("{verdict} {}", shown(root.root())));
    Ok(ExitCode::SUCCESS)
}
