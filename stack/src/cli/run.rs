//! `run`: everything in the foreground, until Ctrl-C.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use super::arguments::RunArguments;
use super::banner;
use super::error::CliError;
use super::output::{complain, progress, say};
use super::service::{Plan, Service};
use super::signals::{self, Asked};
use crate::brokers::Brokers;
use crate::error::StackError;
use crate::layout::Layout;
use crate::lock::FileLock;
use crate::logfile::LogFile;
use crate::ports::PortUse;
use crate::process;
use crate::server::Server;
use crate::stack::Stack;

const CART: PortUse = PortUse { what: "cart-service", flag: "--cart-port", variable: "CART_PORT" };
const ORDER: PortUse = PortUse { what: "order-service", flag: "--order-port", variable: "ORDER_PORT" };

/// A service creates topics and restores its state before it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Above the 25 s that a service allows itself to stop (SHUTDOWN_TIMEOUT): it must be able to end by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(28);
/// How often the processes are looked at.
const WATCH: Duration = Duration::from_millis(100);

/// Brings everything up, watches it, and stops all that it started.
pub(super) fn run(arguments: &RunArguments) -> Result<ExitCode, CliError> {
    let begun = Instant::now();
    let cart_program = program(CART.what, arguments.cart_service.as_deref())?;
    let order_program = program(ORDER.what, arguments.order_service.as_deref())?;
    let layout = Layout::create(&arguments.stack.folder.data_dir)?;
    let _only_one = FileLock::claim(&layout.run_lock())?.map_err(|pid| CliError::AlreadyRunning { pid })?;
    // Before the stack: a taken port should not cost the time that the stack takes to start.
    CART.check_free(arguments.cart_port)?;
    ORDER.check_free(arguments.order_port)?;

    let asked = signals::listen()?;
    progress("starting Kafka and the schema registry");
    let stack = match Stack::start(arguments.stack.config(asked.stop.clone(), progress)) {
        Err(StackError::Interrupted) => return Ok(stopped_early()),
        other => other?,
    };
    if stack.found_running() {
        say("they are up already, and will stay up");
    }
    progress("starting the services");
    let mut services = Vec::new();
    let outcome = start_services(arguments, &layout, &stack, [&cart_program, &order_program], &mut services)
        .and_then(|()| wait_ready(&mut services, &asked))
        .and_then(|()| {
            let logs = layout.logs();
            say(&banner::everything_is_up(
                &stack,
                arguments.cart_port,
                arguments.order_port,
                &logs,
                begun.elapsed(),
            ));
            services.iter().for_each(Service::show_log);
            watch(&mut services, &stack, &asked)
        });
    let failed = match outcome {
        Ok(()) | Err(CliError::Stack(StackError::Interrupted)) => false,
        Err(error) => {
            complain(&format!("local-stack: {error}"));
            true
        }
    };
    stop(&mut services, &stack, &asked)?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The service's program: as given, or beside this one.
fn program(service: &'static str, given: Option<&Path>) -> Result<PathBuf, CliError> {
    let beside = || std::env::current_exe().map(|own| own.with_file_name(service));
    let path = match given {
        Some(path) => std::path::absolute(path).map_err(StackError::io("find", path))?,
        None => beside().map_err(StackError::io("find the folder of", "this program"))?,
    };
    if path.is_file() { Ok(path) } else { Err(CliError::NoProgram { service, path }) }
}

/// Ctrl-C while the stack was starting: it is stopped again already, and that is what was wanted.
fn stopped_early() -> ExitCode {
    say("stopped");
    ExitCode::SUCCESS
}

fn start_services(
    arguments: &RunArguments,
    layout: &Layout,
    stack: &Stack,
    [cart_program, order_program]: [&Path; 2],
    services: &mut Vec<Service>,
) -> Result<(), CliError> {
    let mut for_both = vec![
        ("KAFKA_BOOTSTRAP_SERVERS", stack.bootstrap_servers()),
        ("SCHEMA_REGISTRY_URL", stack.registry_url()),
    ];
    if arguments.stack.brokers == Brokers::Three && std::env::var_os("TOPIC_REPLICATION_FACTOR").is_none() {
        // The brokers' default is the same number; told, the services also ask for two replicas in sync.
        for_both.push(("TOPIC_REPLICATION_FACTOR", arguments.stack.brokers.count().to_string()));
    }
    let mut for_cart = for_both.clone();
    for_cart.push(("ORDER_SERVICE_URL", format!("http://127.0.0.1:{}", arguments.order_port)));
    for_cart.push(("PUBLIC_ORDER_SERVICE_URL", format!("http://localhost:{}", arguments.order_port)));
    let mut for_orders = for_both;
    if std::env::var_os("INSTANCE_ID").is_none() {
        // It is the only one, and after a Ctrl-C that was not waited for it goes on at once.
        for_orders.push(("INSTANCE_ID", "local".to_owned()));
    }
    let plans = [
        (ORDER.what, order_program, arguments.order_port, for_orders),
        (CART.what, cart_program, arguments.cart_port, for_cart),
    ];
    for (name, program, port, variables) in plans {
        let log = LogFile::new(layout.log(name));
        services.push(Service::start(Plan { name, program, port, variables, log })?);
    }
    Ok(())
}

fn wait_ready(services: &mut [Service], asked: &Asked) -> Result<(), CliError> {
    let deadline = Instant::now() + READY_PATIENCE;
    for service in services {
        service.wait_ready(deadline.saturating_duration_since(Instant::now()), &asked.stop)?;
    }
    Ok(())
}

/// Returns when a signal asks for the end, or with what ended by itself.
fn watch(services: &mut [Service], stack: &Stack, asked: &Asked) -> Result<(), CliError> {
    while !asked.stop.is_cancelled() {
        let ended: Vec<String> = services
            .iter_mut()
            .filter_map(Service::end)
            .chain(stack.servers().filter_map(Server::end))
            .collect();
        if !ended.is_empty() {
            return Err(CliError::Ended(ended));
        }
        thread::sleep(WATCH);
    }
    Ok(())
}

/// The services first: they finish what they have begun, for which they need the broker.
fn stop(services: &mut [Service], stack: &Stack, asked: &Asked) -> Result<(), CliError> {
    progress("stopping (Ctrl-C again: at once)");
    let processes = services.iter_mut().map(|service| &mut service.process);
    for killed in process::stop_all(processes, STOP_PATIENCE, &asked.hurry)? {
        complain(&format!("local-stack: {killed} did not stop in time and was killed"));
    }
    if stack.found_running() {
        say("stopped the services; Kafka and the registry ran before and stay up");
        return Ok(());
    }
    if asked.hurry.is_cancelled() {
        stack.servers().try_for_each(Server::kill)?;
    }
    stack.stop()?;
    say("stopped");
    Ok(())
}
