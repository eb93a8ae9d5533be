//! A service as a program: where it listens, how it logs, and how it begins and ends.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::limits::HttpArgs;
use crate::server::Patience;
use crate::settings::{self, positive_duration};
use crate::telemetry::LogArgs;
use crate::{chain, probe, server, shutdown, telemetry};

/// How long after `SHUTDOWN_TIMEOUT` the program ends, whatever runs.
const OVERTIME: Duration = Duration::from_secs(2);

/// How long threads that block are waited for when the service has ended.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// What a program can do besides serving.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Asks the service that runs on this machine, at BIND and PORT, whether it is ready: exit code 0 or 1.
    Healthcheck,
}

/// The settings that every service has; `PORT` is the port if none is set.
#[derive(Debug, Clone, Args)]
pub struct ServiceArgs<const PORT: u16> {
    /// Port of the HTTP server; 0 is any free one.
    #[arg(long, env = "PORT", default_value_t = PORT)]
    pub port: u16,

    /// Address that the HTTP server listens on.
    #[arg(long, env = "BIND", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind: IpAddr,

    /// How long what runs may take after SIGTERM: requests, and what they have begun.
    #[arg(long, env = "SHUTDOWN_TIMEOUT", default_value = "25s", value_parser = positive_duration)]
    pub shutdown_timeout: Duration,

    /// See [`HttpArgs`].
    #[command(flatten)]
    pub http: HttpArgs,

    /// See [`LogArgs`].
    #[command(flatten)]
    pub log: LogArgs,
}

impl<const PORT: u16> ServiceArgs<PORT> {
    /// How long the server waits.
    pub fn patience(&self) -> Patience {
        Patience {
            head: self.http.read_timeout,
            write: self.http.write_timeout,
            grace: self.shutdown_timeout,
        }
    }

    /// Does what `command` says.
    pub fn obey(&self, command: Command) -> ExitCode {
        match command {
            Command::Healthcheck => probe::ready(self.bind, self.port),
        }
    }

    /// Sets up the log, listens, and runs the service until it ends or is told to, by SIGTERM or SIGINT. Must not be
    /// called inside of a runtime.
    pub fn run<E: Error>(
        &self,
        service: impl AsyncFnOnce(TcpListener, CancellationToken) -> Result<(), E>,
    ) -> ExitCode {
        if let Err(error) = telemetry::init(&self.log) {
            settings::refuse(&error.to_string());
        }
        let runtime = match Runtime::new() {
            Ok(runtime) => runtime,
            Err(error) => return fail(&error),
        };
        let code = runtime.block_on(self.serve(service));
        // A thread may wait for Kafka still, on behalf of a request that is over.
        runtime.shutdown_timeout(LEFTOVERS);
        code
    }

    async fn serve<E: Error>(
        &self,
        service: impl AsyncFnOnce(TcpListener, CancellationToken) -> Result<(), E>,
    ) -> ExitCode {
        let stop = match shutdown::on_signal() {
            Ok(stop) => stop,
            Err(error) => return fail(&error),
        };
        let listener = match server::bind(self.bind, self.port).await {
            Ok(listener) => listener,
            Err(error) => return fail(&error),
        };
        let time_is_up = time_is_up(stop.clone(), self.shutdown_timeout);
        tokio::select! {
            ended = service(listener, stop) => match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error),
            },
            late = time_is_up => fail(&late),
        }
    }
}

/// The service did not end by itself.
#[derive(Debug, Error)]
#[error("something still ran {OVERTIME:?} after SHUTDOWN_TIMEOUT ({0:?}); the program ends all the same")]
struct StillRunning(Duration);

/// A client of Kafka may hang while it leaves its group; an orchestrator would kill the program a little later.
async fn time_is_up(stop: CancellationToken, shutdown_timeout: Duration) -> StillRunning {
    stop.cancelled().await;
    tokio::time::sleep(shutdown_timeout + OVERTIME).await;
    StillRunning(shutdown_timeout)
}

/// Says why a service cannot go on, in the log and as one line on standard error.
fn fail(error: &dyn Error) -> ExitCode {
    let reason = chain(error);
    error!(reason, "the service cannot go on");
    settings::complain(&reason);
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_service_that_hangs_is_not_waited_for_for_ever() {
        let stop = CancellationToken::new();
        let late = time_is_up(stop.clone(), Duration::from_secs(25));
        stop.cancel();
        let late = tokio::time::timeout(Duration::from_secs(28), late).await.unwrap();
        assert!(late.to_string().contains("SHUTDOWN_TIMEOUT (25s)"), "{late}");
    }
}
