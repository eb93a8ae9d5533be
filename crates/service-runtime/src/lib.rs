//! What each service needs around its work, and nothing of that work itself.
//!
//! A service's `main` is [`settings::parse`] and [`ServiceArgs::run`]; its router goes through [`app::finish`], which
//! gives every route the same limits, problem details, request ids and metrics, and is served by [`server::serve`].

pub mod api_docs;
mod api_token;
pub mod app;
mod conditional;
mod cors;
mod deadline;
pub mod health;
mod host;
pub mod input;
pub mod limits;
pub mod metrics;
pub mod observe;
pub mod openapi;
mod overload;
pub mod prefer;
mod probe;
mod problem;
mod rate_limit;
mod repetition;
mod request_body;
pub mod server;
mod service;
pub mod settings;
pub mod shutdown;
pub mod snapshot;
mod telemetry;

use std::error::Error;

pub use api_token::ApiToken;
pub use conditional::Conditional;
pub use prefer::Prefer;
pub use problem::{Fault, Problem, ProblemType};
pub use repetition::{IDEMPOTENCY_KEYS, WritesHaveKeys};
pub use service::{Command, ServiceArgs};
pub use telemetry::{LogArgs, LogFormat};

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
