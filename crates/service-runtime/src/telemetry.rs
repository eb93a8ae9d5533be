//! The log: to standard output, and to a file as well if one is named.

use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use thiserror::Error;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// What is logged, and how.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log")]
pub struct LogArgs {
    /// What to log: a level, or levels by module, for example info,rdkafka=debug.
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,

    /// How a line looks.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Writes the log to this file too; appended, never rotated.
    #[arg(long, env = "LOG_FILE", value_name = "PATH")]
    pub log_file: Option<PathBuf>,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// Why there can be no log.
#[derive(Debug, Error)]
pub(crate) enum TelemetryError {
    /// The filter is none.
    #[error("RUST_LOG={filter}: {reason}")]
    Filter {
        /// What was set.
        filter: String,
        /// What is wrong with it.
        reason: ParseError,
    },
    /// The file cannot be written.
    #[error("LOG_FILE={path}: {source}")]
    File {
        /// What was set.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Only when it is set up twice.
    #[error("the log is set up already: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets the log up for the whole process. Call it once, first of all.
///
/// # Errors
/// See [`TelemetryError`].
pub(crate) fn init(args: &LogArgs) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&args.log)
        .map_err(|reason| TelemetryError::Filter { filter: args.log.clone(), reason })?;
    let mut lines = vec![line(args.log_format, std::io::stdout, std::io::stdout().is_terminal())];
    if let Some(path) = &args.log_file {
        lines.push(line(args.log_format, Arc::new(open(path)?), false));
    }
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(())
}

fn open(path: &Path) -> Result<File, TelemetryError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| TelemetryError::File { path: path.to_owned(), source })
}

fn line<W>(format: LogFormat, writer: W, colours: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    match format {
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
        LogFormat::Text => fmt::layer().with_ansi(colours).with_writer(writer).boxed(),
    }
}
