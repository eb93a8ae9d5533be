//! The log of one server: one file across its starts, with a line at each start.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// A log that has grown beyond this is set aside at the next start, in place of the one set aside before.
const MAX_BYTES: u64 = 16 << 20;
/// How much of its end is looked at for the last lines.
const TAIL_BYTES: u64 = 64 << 10;
const TAIL_LINES: usize = 15;
const START: &str = "--- local-stack starts ";

/// A server's log file.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
}

impl LogFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log for one more start of `what`.
    pub(crate) fn open(&self, what: &str) -> io::Result<File> {
        if fs::metadata(&self.path).is_ok_and(|log| log.len() > MAX_BYTES) {
            fs::rename(&self.path, self.path.with_extension("old.log"))?;
        }
        let mut file = File::options().create(true).append(true).open(&self.path)?;
        writeln!(file, "{START}{what}")?;
        Ok(file)
    }

    /// The last lines since the last start; empty when there are none or the file cannot be read.
    pub(crate) fn tail(&self) -> String {
        self.end().map_or_else(|_| String::new(), |text| last_lines(&text))
    }

    fn end(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().rposition(|line| line.starts_with(START)).map_or(0, |header| header + 1);
    let since_start = &lines[start..];
    since_start[since_start.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_of_the_last_start_only() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("broker.log"));
        assert_eq!(log.tail(), "");
        writeln!(log.open("the broker").unwrap(), "old").unwrap();
        let mut file = log.open("the broker").unwrap();
        assert_eq!(log.tail(), "");
        for number in 0..20 {
            writeln!(file, "line {number}").unwrap();
        }
        let tail = log.tail();
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 19") && !tail.contains("old"), "{tail}");
    }

    #[test]
    fn a_log_that_grew_too_large_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let log = LogFile::new(folder.path().join("broker.log"));
        log.open("the broker").unwrap().set_len(MAX_BYTES + 1).unwrap();
        log.open("the broker").unwrap();
        assert!(folder.path().join("broker.old.log").exists());
        assert!(fs::metadata(log.path()).unwrap().len() < 100);
    }
}
