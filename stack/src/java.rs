//! The Java that runs the servers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::error::StackError;
use crate::launch::{self, Lifetime};

const OLDEST: u32 = 17;

/// A Java that is new enough.
#[derive(Clone, Debug)]
pub(crate) struct Java {
    program: PathBuf,
    version: String,
}

impl Java {
    /// The one of JAVA_HOME, or else the first on the PATH.
    pub(crate) fn find() -> Result<Self, StackError> {
        static FOUND: OnceLock<Java> = OnceLock::new();
        if let Some(java) = FOUND.get() {
            return Ok(java.clone());
        }
        let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
        let program = home
            .filter(|java| java.is_file())
            .or_else(|| launch::find("java"))
            .ok_or(StackError::JavaMissing)?;
        let output = Command::new(&program)
            .arg("-version")
            .output()
            .map_err(StackError::io("ask for its version", &program))?;
        // It answers on the error stream, by tradition.
        let version = quoted_version(&String::from_utf8_lossy(&output.stderr));
        match version.as_deref().and_then(major) {
            Some(major) if major >= OLDEST => {
                let java = Self { program, version: version.unwrap_or_default() };
                Ok(FOUND.get_or_init(|| java).clone())
            }
            Some(_) | None => Err(StackError::JavaTooOld {
                path: program,
                found: version.unwrap_or_else(|| "of an unknown version".to_owned()),
            }),
        }
    }

    /// Its full version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A command that runs it with what every server of ours needs, and with none of the environment that could
    /// change what they do (JAVA_TOOL_OPTIONS, QUARKUS_*, KAFKA_*).
    pub(crate) fn command(&self, lifetime: Lifetime) -> Command {
        let mut command = launch::command(&self.program, lifetime);
        command.env_clear();
        for kept in ["PATH", "HOME", "LANG", "LC_ALL", "TZ"] {
            if let Some(value) = env::var_os(kept) {
                command.env(kept, value);
            }
        }
        // No file in the shared temporary folder, and no half-dead server after an OutOfMemoryError.
        command.args(["-XX:-UsePerfData", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true"]);
        // Other makes of Java lack some of our options, and need them less than they need to start.
        command.arg("-XX:+IgnoreUnrecognizedVMOptions");
        command
    }
}

/// `openjdk version "17.0.15" 2025-04-15` has it between the quotes. Lines about options may stand before it.
fn quoted_version(text: &str) -> Option<String> {
    text.lines()
        .find(|line| line.contains(" version \""))
        .and_then(|line| line.split('"').nth(1))
        .map(str::to_owned)
}

/// 17.0.15, 21, 22-ea, and 1.8.0_392 for Java 8.
fn major(version: &str) -> Option<u32> {
    let mut numbers = version.split(|character: char| !character.is_ascii_digit());
    match numbers.next()?.parse().ok()? {
        1 => numbers.next()?.parse().ok(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_version_is_understood() {
        let openjdk =
            "Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version \"17.0.15\" 2025-04-15\nOpenJDK ...";
        assert_eq!(quoted_version(openjdk).as_deref(), Some("17.0.15"));
        assert_eq!(quoted_version("The operation could not be completed"), None);
        for (version, expected) in [("17.0.15", 17), ("21", 21), ("26-ea", 26), ("1.8.0_392", 8)] {
            assert_eq!(major(version), Some(expected), "{version}");
        }
        assert_eq!(major("unknown"), None);
    }
}
