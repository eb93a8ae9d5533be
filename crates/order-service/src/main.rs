//! The `order-service` program: reads the settings, and runs the service until it is told to stop.

use std::process::ExitCode;

use order_service::config::Config;
use order_service::settings::Settings;
use service_runtime::settings;

/// For librdkafka's C code as well, which takes and gives back memory on different threads: with the system's
/// allocator on Linux, half of a backlog's time goes into that (`cargo bench --bench order_service -- backlog`).
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
    service.run(async |listener, stop| order_service::run(config, listener, stop).await)
}
