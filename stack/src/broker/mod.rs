//! The Kafka broker.

mod data;
mod placement;
mod probe;
mod settings;
mod storage;

use std::os::unix::process::CommandExt as _;
use std::process::Command;

pub(crate) use data::{check_brokers, check_readable};
pub(crate) use placement::{move_leader, place};
pub(crate) use probe::Probe;
pub(crate) use settings::{Gated, Ports};
pub(crate) use storage::prepare;

use crate::brokers::{Brokers, Node};
use crate::installation::Installation;
use crate::launch::Lifetime;
use crate::layout::Layout;

/// The log is for reading after something went wrong: no dump of all 300 settings at each start, and nothing on
/// each roll of a segment.
const LOGGING: [&str; 5] = [
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log=warn",
];

/// The quick compiler alone takes a third of the start's work away.
const QUICK_COMPILER: &str = "-XX:TieredStopAtLevel=1";

/// Which compiler and which collector of garbage.
fn java_options(node: Node, short_lived: bool) -> &'static [&'static str] {
    match (short_lived, node.of()) {
        (true, _) => &[QUICK_COMPILER, "-XX:+UseSerialGC"],
        // They are there to be started and killed.
        (false, Brokers::Three) => &[QUICK_COMPILER, "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
        // The serial collector stops everything for 90 ms under load, G1 for a few.
        (false, Brokers::One) => &["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"],
    }
}

/// A broker's command; its process gets this group.
pub(crate) fn command(
    layout: &Layout,
    installation: &Installation,
    (lifetime, short_lived): (Lifetime, bool),
    node: Node,
    group: Option<u32>,
) -> Command {
    let mut command = installation.broker_java(lifetime);
    command
        .args(["-Xms256m", "-Xmx512m"])
        .args(java_options(node, short_lived))
        .arg(format!("-Djava.io.tmpdir={}", layout.temporary().display()))
        .args(LOGGING);
    command
        .args(["-cp", &installation.broker_classes(), "kafka.Kafka"])
        .arg(layout.broker_properties(node))
        .current_dir(layout.root());
    if let Some(group) = group {
        // Before setpriv runs: a process that changes its group loses its death signal.
        command.gid(group);
    }
    command
}
