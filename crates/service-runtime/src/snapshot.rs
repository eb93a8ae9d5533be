//! Documents in the repository that are made from the code.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// Whether a JSON document in the repository is as the code makes it. With `UPDATE_DOCS` in the environment, it
/// is written anew.
///
/// # Errors
/// What to type to make it current.
pub fn is_current(path: &Path, made: &Value) -> Result<(), String> {
    let made = format!("{made:#}\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return fs::write(path, made).map_err(|error| format!("{}: {error}", path.display()));
    }
    match fs::read_to_string(path) {
        Ok(kept) if kept == made => Ok(()),
        _ => Err(format!("{} is stale: make docs", path.display())),
    }
}
