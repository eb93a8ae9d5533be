//! What can go wrong on the command line beyond what can go wrong with a stack.

use std::path::PathBuf;

use crate::error::StackError;

#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(
        "`local-stack run` already runs as process {pid}: stop it first (Ctrl-C in its terminal, or \
         `kill -TERM {pid}`), or run a second one with another --data-dir and other ports"
    )]
    AlreadyRunning { pid: String },
    #[error("the program of {service} is not at {}: build it (`cargo build --workspace`; `make run` does)",
        path.display())]
    NoProgram { service: &'static str, path: PathBuf },
    #[error("{}", .0.join("\n"))]
    Ended(Vec<String>),
}
