//! What may be typed.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};

use crate::brokers::Brokers;
use crate::config::{StackConfig, default_data_dir};
use crate::wait::Cancel;

/// A real Kafka broker and schema registry on this machine, without Docker.
#[derive(Debug, Parser)]
#[command(name = "local-stack", version)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) task: Task,
}

#[derive(Debug, Subcommand)]
pub(super) enum Task {
    /// Start the broker and the registry in the background; they stay until `down`.
    Up(StackArguments),
    /// Stop them; their data stays.
    Down(Folder),
    /// Tell how they are; exit code 1 unless both are ready.
    Status(Folder),
    /// Delete their data and logs; refused while they run.
    CleanData(Folder),
    /// Run everything in the foreground until Ctrl-C: broker, registry and both services.
    Run(RunArguments),
}

#[derive(Debug, Args)]
pub(super) struct Folder {
    /// Folder of the data and the logs [default: .data/local in the checkout]
    #[arg(long, value_name = "FOLDER", default_value_os_t = default_data_dir(), hide_default_value = true)]
    pub(super) data_dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct StackArguments {
    #[command(flatten)]
    pub(super) folder: Folder,
    /// Number of brokers. Three need about 2.5 GB of memory, and one of them may be away
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = brokers())]
    pub(super) brokers: Brokers,
    /// Port of the broker on 127.0.0.1; of three brokers that of the first, the others have the next ones
    #[arg(long, value_name = "PORT", default_value_t = 9092, value_parser = port())]
    pub(super) kafka_port: u16,
    /// Port of the registry on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 8081, value_parser = port())]
    pub(super) registry_port: u16,
    /// Version of Kafka, to read data that this one cannot [default: that of stack/pom.xml]
    #[arg(long, value_name = "VERSION")]
    pub(super) kafka_version: Option<String>,
}

impl StackArguments {
    /// The stack asked for.
    pub(super) fn config(&self, cancel: Cancel, progress: fn(&str)) -> StackConfig {
        StackConfig {
            brokers: self.brokers,
            kafka_port: Some(self.kafka_port),
            registry_port: Some(self.registry_port),
            kafka_version: self.kafka_version.clone(),
            cancel,
            progress,
            ..StackConfig::new(&self.folder.data_dir)
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    #[command(flatten)]
    pub(super) stack: StackArguments,
    /// Port of cart-service
    #[arg(long, value_name = "PORT", default_value_t = 8000, value_parser = port())]
    pub(super) cart_port: u16,
    /// Port of order-service
    #[arg(long, value_name = "PORT", default_value_t = 8001, value_parser = port())]
    pub(super) order_port: u16,
    /// Program of cart-service [default: beside this program]
    #[arg(long, value_name = "FILE")]
    pub(super) cart_service: Option<PathBuf>,
    /// Program of order-service [default: beside this program]
    #[arg(long, value_name = "FILE")]
    pub(super) order_service: Option<PathBuf>,
}

/// Port 0 would be another one at each start, and nobody would know which.
fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

fn brokers() -> impl TypedValueParser<Value = Brokers> {
    let three = Brokers::Three.count().to_string();
    PossibleValuesParser::new(["1", "3"])
        .map(move |number| if number == three { Brokers::Three } else { Brokers::One })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_usual_ports_are_the_default() {
        let Task::Run(run) = Arguments::parse_from(["local-stack", "run"]).task else { panic!("not run") };
        assert_eq!((run.cart_port, run.order_port), (8000, 8001));
        assert_eq!((run.stack.kafka_port, run.stack.registry_port), (9092, 8081));
        assert!(Arguments::try_parse_from(["local-stack", "up", "--kafka-port", "0"]).is_err());
    }

    #[test]
    fn there_is_one_broker_or_three() {
        let brokers = |number: &str| {
            let parsed = Arguments::try_parse_from(["local-stack", "up", "--brokers", number]);
            parsed.map(|parsed| if let Task::Up(stack) = parsed.task { Some(stack.brokers) } else { None })
        };
        assert_eq!(brokers("1").unwrap(), Some(Brokers::One));
        assert_eq!(brokers("3").unwrap(), Some(Brokers::Three));
        let message = brokers("2").unwrap_err().to_string();
        assert!(message.contains("'2'") && message.contains("1, 3"), "{message}");
    }
}
