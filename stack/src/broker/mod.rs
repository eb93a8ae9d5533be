//! The Kafka broker.

mod data_version;
mod probe;
mod settings;
mod storage;

use std::process::Command;

pub(crate) use data_version::check_readable;
pub(crate) use probe::Probe;
pub(crate) use settings::Ports;
pub(crate) use storage::prepare;

use crate::installation::Installation;
use crate::launch::Lifetime;
use crate::layout::Layout;
use crate::ports::PortUse;

const NAME: &str = "the Kafka broker";
pub(crate) const PORT: PortUse = PortUse { what: NAME, flag: "--kafka-port", variable: "KAFKA_PORT" };

/// The log is for reading after something went wrong: no dump of all 300 settings at each start, and nothing on
/// each roll of a segment.
const LOGGING: [&str; 5] = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log=warn",
];

/// The broker's command.
pub(crate) fn command(layout: &Layout, installation: &Installation, lifetime: Lifetime) -> Command {
    let mut command = installation.broker_java(lifetime);
    // The serial collector stops everything for 90 ms under load, G1 for a few.
    command
        .args(["-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"])
        .arg(format!("-Djava.io.tmpdir={}", layout.temporary().display()))
        .args(LOGGING)
        .args(["-cp", &installation.broker_classes(), "kafka.Kafka"])
        .arg(layout.broker_properties())
        .current_dir(layout.root());
    command
}
