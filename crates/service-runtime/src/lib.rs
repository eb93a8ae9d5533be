//! What each service needs around its work, and nothing of that work itself.
//!
//! A service's `main` is [`settings::parse`], [`telemetry::init`], [`shutdown::on_signal`], its own `run`, and
//! [`exit`]; its router goes through [`app::finish`], which gives every route the same limits, problem details,
//! request ids and metrics, and is served by [`server::serve`].

pub mod api_docs;
mod api_token;
pub mod app;
mod body_limit;
pub mod conditional;
mod cors;
mod deadline;
mod host;
pub mod input;
pub mod limits;
pub mod observe;
pub mod openapi;
mod overload;
pub mod prefer;
pub mod probe;
pub mod problem;
mod rate_limit;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod snapshot;
pub mod telemetry;

use std::error::Error;
use std::process::ExitCode;

use tracing::error;

pub use api_token::ApiToken;
pub use conditional::Conditional;
pub use prefer::Prefer;
pub use problem::{Fault, Problem, ProblemType};

/// The last word of a service: success, or why it cannot go on, in the log and as one line on standard error.
pub fn exit<E: Error>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reason = chain(&error);
            error!(reason, "the service cannot go on");
            settings::complain(&reason);
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes on one line; a cause that its error already tells is left out.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !line.contains(&told) {
            line.push_str(": ");
            line.push_str(&told);
        }
        cause = error.source();
    }
    line
}
