//! The command line: `local-stack up`, `down`, `status`, `clean-data` and `run`.

mod arguments;
mod background;
mod banner;
mod error;
mod output;
mod run;
mod service;
mod signals;

use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Task};

/// Does what the command line of this process asks for.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().task {
        Task::Up(arguments) => background::up(&arguments),
        Task::Down(folder) => background::down(&folder),
        Task::Status(folder) => background::status(&folder),
        Task::CleanData(folder) => background::clean_data(&folder),
        Task::Run(arguments) => run::run(&arguments),
    };
    done.unwrap_or_else(|error| {
        output::complain(&format!("local-stack: {error}"));
        ExitCode::FAILURE
    })
}
