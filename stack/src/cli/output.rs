//! All that is printed. A terminal that was closed is no reason to die before everything is stopped.

use std::env;
use std::io::{self, Write as _};
use std::path::Path;

/// A line for the person who typed the command.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// A line about something that takes a moment.
pub(super) fn progress(line: &str) {
    say(&format!("{line} ..."));
}

/// A line about what went wrong.
pub(super) fn complain(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A path as short as it can be typed from here.
pub(super) fn shown(path: &Path) -> String {
    let here = env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
