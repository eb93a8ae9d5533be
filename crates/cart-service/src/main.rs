//! The `cart-service` program: reads the settings, sets up the log, and runs the service until it is told to
//! stop.

use std::process::ExitCode;

use cart_service::config::{Command, Config, Settings};
use service_runtime::{probe, server, settings, shutdown, telemetry};

/// Gives back what many connections took; with the system's allocator on Linux, each wave of them leaves memory
/// behind (`cargo test -p end-to-end-tests -- ten_thousand`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let given: Settings = settings::parse();
    if let Some(Command::Healthcheck) = given.command {
        return probe::ready(given.bind, given.port);
    }
    let config = Config::new(given, settings::environment())
        .unwrap_or_else(|error| settings::refuse(&error.to_string()));
    if let Err(error) = telemetry::init(&config.log) {
        settings::refuse(&error.to_string());
    }
    let shutdown = match shutdown::on_signal() {
        Ok(shutdown) => shutdown,
        Err(error) => return service_runtime::exit(Err(error)),
    };
    match server::bind(config.bind, config.port).await {
        Ok(listener) => service_runtime::exit(cart_service::run(config, listener, shutdown).await),
        Err(error) => service_runtime::exit(Err(error)),
    }
}
