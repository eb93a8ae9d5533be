//! The `cart-service` program: reads the settings, and runs the service until it is told to stop.

use std::process::ExitCode;

use cart_service::config::Config;
use cart_service::settings::Settings;
use service_runtime::settings;

/// Gives back what many connections took; with the system's allocator on Linux, each wave of them leaves memory
/// behind (`cargo test -p end-to-end-tests -- ten_thousand`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let given: Settings = settings::parse();
    if let Some(command) = given.command {
        return given.service.obey(command);
    }
    let config = Config::new(given, settings::environment());
    let config = config.unwrap_or_else(|error| settings::refuse(&error.to_string()));
    let service = config.settings.service.clone();
    service.run(async |listener, stop| cart_service::run(config, listener, stop).await)
}
