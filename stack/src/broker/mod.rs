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

/// A broker's command; its process gets this group.
pub(crate) fn command(
    layout: &Layout,
    installation: &Installation,
    lifetime: Lifetime,
    node: Node,
    group: Option<u32>,
) -> Command {
    let mut command = installation.broker_java(lifetime);
    // The serial collector stops everything for 90 ms under load, G1 for a few.
    command
        .args(["-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"])
        .arg(format!("-Djava.io.tmpdir={}", layout.temporary().display()))
        .args(LOGGING);
    if node.of() == Brokers::Three {
        // They are there to be started and killed: the quick compiler alone takes a third of the start's work away.
        command.arg("-XX:TieredStopAtLevel=1");
    }
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
