//! The broker's storage, formatted before its first use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::LOGGING;
use super::settings::{Ports, properties, settings};
use crate::brokers::Node;
use crate::error::StackError;
use crate::installation::Installation;
use crate::launch::{self, Lifetime};
use crate::layout::{Layout, existed};
use crate::logfile::LogFile;
use crate::process::Process;
use crate::wait::Cancel;

/// Names the cluster in its storage: 16 bytes in base64. Every local cluster may have the same.
const CLUSTER_ID: &str = "bG9jYWwtc3RhY2stMDAwMQ";
const FORMAT_PATIENCE: Duration = Duration::from_secs(60);

/// Writes a node's settings, and formats the storage before its first use.
pub(crate) fn prepare(
    layout: &Layout,
    installation: &Installation,
    node: Node,
    ports: &[Ports],
    overrides: &BTreeMap<String, String>,
    cancel: &Cancel,
) -> Result<(), StackError> {
    let folder = layout.root().join(node.folder());
    fs::create_dir_all(&folder).map_err(StackError::io("make the folder", folder))?;
    let path = layout.broker_properties(node);
    let write = |path: &Path, data: &str| {
        let settings = settings(node, ports, data, overrides);
        fs::write(path, properties(&settings)).map_err(StackError::io("write", path))
    };
    write(&path, &node.data())?;
    let data = layout.broker_data(node);
    if data.exists() {
        return Ok(());
    }
    // Formatted elsewhere and then renamed: the storage is formatted or absent, whenever this is killed.
    let unfinished = data.with_file_name("unfinished");
    existed(fs::remove_dir_all(&unfinished)).map_err(StackError::io("remove the folder", &unfinished))?;
    let for_format = path.with_extension("format.properties");
    write(&for_format, &format!("{}/unfinished", node.folder()))?;
    format_storage(layout, installation, node, &for_format, cancel)?;
    fs::rename(&unfinished, data).map_err(StackError::io("rename", &unfinished))?;
    fs::remove_file(&for_format).map_err(StackError::io("remove", &for_format))
}

fn format_storage(
    layout: &Layout,
    installation: &Installation,
    node: Node,
    properties: &Path,
    cancel: &Cancel,
) -> Result<(), StackError> {
    const WHAT: &str = "Kafka's storage tool";
    let log = LogFile::new(layout.log(&format!("{}-format", node.log())));
    let output = log.open(WHAT).map_err(StackError::io("open the log", log.path()))?;
    let errors = output.try_clone().map_err(StackError::io("open the log", log.path()))?;
    let mut command = installation.broker_java(Lifetime::Bound);
    // Half a second of work: no time for a second compiler and parallel collectors.
    command
        .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
        .args(LOGGING)
        .args(["-cp", &installation.broker_classes()])
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(properties)
        .current_dir(layout.root())
        .stdout(output)
        .stderr(errors);
    let child = launch::spawn(command).map_err(StackError::io("start", "java"))?;
    let mut tool = Process::started(WHAT, child);
    let failed = |exit| StackError::Died { what: WHAT, exit, tail: log.tail(), log: log.path().to_owned() };
    match tool.finish(FORMAT_PATIENCE, cancel)? {
        Some(exit) if exit.is_success() => Ok(()),
        Some(exit) => Err(failed(exit.to_string())),
        None => Err(failed(format!("was not done after {} s", FORMAT_PATIENCE.as_secs()))),
    }
}
