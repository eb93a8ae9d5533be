//! What the servers run on: Java, their programs, and archives of their classes.
//!
//! Most of a server's start is the loading of classes. Java can keep them ready to be mapped into memory (class data
//! sharing, JEP 350), which halves the time and the work of each start: much for tests that start a stack each. The
//! archives are made once for each Java and each set of programs, by a stack that is started for nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::StackConfig;
use crate::error::StackError;
use crate::java::Java;
use crate::launch::Lifetime;
use crate::layout::existed;
use crate::lock::FileLock;
use crate::programs::{self, FETCH_PATIENCE, Programs};

const BROKER: &str = "broker";
const REGISTRY: &str = "registry";

/// All that is needed to start servers.
#[derive(Clone, Debug)]
pub(crate) struct Installation {
    java: Java,
    programs: Programs,
    makes_archives: bool,
}

impl Installation {
    /// Java as it is found, and the programs, fetched if need be.
    pub(crate) fn find(config: &StackConfig) -> Result<Self, StackError> {
        let java = Java::find()?;
        let programs = Programs::fetch(
            &config.cache_dir,
            config.kafka_version.as_deref(),
            &config.cancel,
            &config.progress,
        )?;
        Ok(Self { java, programs, makes_archives: false })
    }

    /// Java for the broker and its tools.
    pub(crate) fn broker_java(&self, lifetime: Lifetime) -> Command {
        self.command(BROKER, lifetime)
    }

    /// Java for the registry.
    pub(crate) fn registry_java(&self, lifetime: Lifetime) -> Command {
        self.command(REGISTRY, lifetime)
    }

    /// The broker's class path.
    pub(crate) fn broker_classes(&self) -> String {
        self.programs.broker_classes()
    }

    /// The broker's version.
    pub(crate) fn kafka_version(&self) -> &str {
        self.programs.kafka_version()
    }

    /// The registry's program.
    pub(crate) fn registry_jar(&self) -> &Path {
        self.programs.registry_jar()
    }

    /// Whether [`Installation::make_archives`] is done.
    pub(crate) fn has_archives(&self) -> bool {
        self.file("archives", "done").exists()
    }

    /// Lets `start_and_stop` run a stack that writes the archives. Several processes may want this at once: one
    /// does it, the others wait.
    pub(crate) fn make_archives(
        &self,
        config: &StackConfig,
        start_and_stop: impl FnOnce(StackConfig, Self) -> Result<(), StackError>,
    ) -> Result<(), StackError> {
        let lock = programs::lock_file(&config.cache_dir);
        let _lock = FileLock::wait(&lock, FETCH_PATIENCE, &config.cancel, || {
            (config.progress)("waiting for another process that is preparing Kafka and the registry");
        })?;
        if self.has_archives() {
            return Ok(());
        }
        (config.progress)("preparing quick starts of Kafka and the registry (only this once)");
        let folder = config.cache_dir.join("training");
        existed(fs::remove_dir_all(&folder)).map_err(StackError::io("remove the folder", &folder))?;
        let training = StackConfig {
            cache_dir: config.cache_dir.clone(),
            cancel: config.cancel.clone(),
            start_deadline: config.start_deadline,
            ..StackConfig::new(&folder)
        };
        start_and_stop(training, Self { makes_archives: true, ..self.clone() })?;
        for server in [BROKER, REGISTRY] {
            // A Java that cannot make archives made none, and starts without.
            let (made, archive) = (self.file(server, "jsa.new"), self.file(server, "jsa"));
            existed(fs::rename(&made, &archive)).map_err(StackError::io("rename", &made))?;
        }
        let done = self.file("archives", "done");
        fs::write(&done, "").map_err(StackError::io("write", &done))?;
        fs::remove_dir_all(&folder).map_err(StackError::io("remove the folder", &folder))
    }

    fn command(&self, server: &str, lifetime: Lifetime) -> Command {
        let mut command = self.java.command(lifetime);
        let archive = self.file(server, "jsa");
        if self.makes_archives {
            command.arg(format!("-XX:ArchiveClassesAtExit={}", archive.with_extension("jsa.new").display()));
        } else if archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", archive.display()));
        }
        command
    }

    /// A file beside the programs that holds for this Java only.
    fn file(&self, name: &str, extension: &str) -> PathBuf {
        self.programs.folder().join(format!("{name}-java-{}.{extension}", self.java.version()))
    }
}
