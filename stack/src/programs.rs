//! The servers' programs, fetched once through Maven.

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::StackError;
use crate::launch::{self, Lifetime};
use crate::layout::existed;
use crate::lock::FileLock;
use crate::logfile::LogFile;
use crate::process::Process;
use crate::wait::Cancel;

const POM: &str = include_str!("../pom.xml");
const KAFKA_VERSION: (&str, &str) = ("<kafka.version>", "</kafka.version>");
/// 190 MB over a slow line.
pub(crate) const FETCH_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A complete set of programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    registry_jar: PathBuf,
    kafka_version: String,
}

impl Programs {
    /// The programs of this version's `pom.xml` in the cache folder, fetched first if they are not there. Another
    /// version of Kafka than the pom's may be asked for.
    ///
    /// They stand in a folder named by the hash of the pom, which appears there by one rename: it is complete or
    /// absent. Several processes may ask at once: one fetches, the others wait.
    pub(crate) fn fetch(
        cache: &Path,
        kafka_version: Option<&str>,
        cancel: &Cancel,
        progress: &dyn Fn(&str),
    ) -> Result<Self, StackError> {
        let pom = pom(kafka_version);
        let folder = std::path::absolute(cache.join(format!("programs-{:016x}", fnv1a(pom.as_bytes()))))
            .map_err(StackError::io("find the folder", cache))?;
        if folder.exists() {
            return Self::in_folder(folder, &pom);
        }
        fs::create_dir_all(cache).map_err(StackError::io("make the folder", cache))?;
        let _lock = FileLock::wait(&lock_file(cache), FETCH_PATIENCE, cancel, || {
            progress("waiting for another process that is fetching Kafka and the registry");
        })?;
        if !folder.exists() {
            progress("fetching Kafka and the registry through Maven (190 MB, only this once)");
            run_maven(cache, &folder, &pom, cancel)?;
        }
        Self::in_folder(folder, &pom)
    }

    /// Where the programs stand.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The broker's version.
    pub(crate) fn kafka_version(&self) -> &str {
        &self.kafka_version
    }

    /// The broker's class path.
    pub(crate) fn broker_classes(&self) -> String {
        format!("{}/*", self.folder.join("broker").display())
    }

    /// The registry's jar, which names its libraries itself.
    pub(crate) fn registry_jar(&self) -> &Path {
        &self.registry_jar
    }

    fn in_folder(folder: PathBuf, pom: &str) -> Result<Self, StackError> {
        let registry = folder.join("registry");
        let jars = fs::read_dir(&registry).map_err(StackError::io("list the folder", &registry))?;
        let registry_jar = jars
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
            .ok_or_else(|| std::io::Error::other("the registry's *-runner.jar is missing; delete the folder"))
            .map_err(StackError::io("find the registry in", &folder))?;
        let kafka_version = pinned_kafka(pom).unwrap_or_default().to_owned();
        Ok(Self { folder, registry_jar, kafka_version })
    }
}

/// Held while something is made in the cache folder.
pub(crate) fn lock_file(cache: &Path) -> PathBuf {
    cache.join("fetch.lock")
}

/// Fetches into a temporary folder beside `folder`, which it then becomes.
fn run_maven(cache: &Path, folder: &Path, pom_text: &str, cancel: &Cancel) -> Result<(), StackError> {
    let maven = launch::find("mvn").ok_or(StackError::MavenMissing)?;
    let unfinished = cache.join("unfinished");
    // What a killed fetch left behind. Nobody else can be in there: the lock is ours.
    existed(fs::remove_dir_all(&unfinished)).map_err(StackError::io("remove the folder", &unfinished))?;
    let programs = unfinished.join("programs");
    fs::create_dir_all(&programs).map_err(StackError::io("make the folder", &programs))?;
    let pom = unfinished.join("pom.xml");
    fs::write(&pom, pom_text).map_err(StackError::io("write", &pom))?;

    let log = LogFile::new(cache.join("fetch.log"));
    let output = log.open("Maven").map_err(StackError::io("open the log", log.path()))?;
    let errors = output.try_clone().map_err(StackError::io("open the log", log.path()))?;
    let mut command = launch::command(maven, Lifetime::Bound);
    command
        .args(["--batch-mode", "--quiet", "--strict-checksums", "-Dstyle.color=never", "--file"])
        .arg(&pom)
        .arg(format!("-Dprograms={}", programs.display()))
        .arg("initialize")
        .stdout(output)
        .stderr(errors);
    let child = launch::spawn(command).map_err(StackError::io("start", "mvn"))?;
    let mut maven = Process::started("Maven", child);
    let failed = |reason| StackError::Fetch { reason, tail: log.tail(), log: log.path().to_owned() };
    match maven.finish(FETCH_PATIENCE, cancel)? {
        Some(exit) if exit.is_success() => {}
        Some(exit) => return Err(failed(format!("it {exit}"))),
        None => {
            return Err(failed(format!("it was not done after {} minutes", FETCH_PATIENCE.as_secs() / 60)));
        }
    }
    fs::rename(&programs, folder).map_err(StackError::io("rename to", folder))?;
    fs::remove_dir_all(&unfinished).map_err(StackError::io("remove the folder", &unfinished))
}

/// The pom, with another version of Kafka if one is asked for.
fn pom(kafka_version: Option<&str>) -> Cow<'static, str> {
    let (open, close) = KAFKA_VERSION;
    let pinned = pinned_kafka(POM).map(|version| format!("{open}{version}{close}"));
    match (kafka_version, pinned) {
        (Some(asked), Some(pinned)) => POM.replace(&pinned, &format!("{open}{asked}{close}")).into(),
        _ => POM.into(),
    }
}

/// The version of Kafka that a pom names.
fn pinned_kafka(pom: &str) -> Option<&str> {
    let (_, after) = pom.split_once(KAFKA_VERSION.0)?;
    Some(after.split_once(KAFKA_VERSION.1)?.0)
}

/// FNV-1a, 64 bits: a name that changes with the text, the same on every machine.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_of_kafka_changes_the_pom_in_that_place_only() {
        let pinned = pinned_kafka(POM).unwrap();
        let other = pom(Some("4.3.1"));
        assert_eq!(pinned_kafka(&other), Some("4.3.1"));
        let changed = POM.lines().zip(other.lines()).filter(|(ours, theirs)| ours != theirs).count();
        assert_eq!(changed, 1);
        assert_eq!(pom(None), POM);
        assert_eq!(pom(Some(pinned)), POM, "the pinned version is not fetched twice");
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // Test vectors of the FNV reference (draft-eastlake-fnv).
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
