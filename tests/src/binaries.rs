//! The programs under test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The path of a service's program. The first call builds all, so that a test never runs against an old one:
/// as `make test` does, so that it has nothing to do there.
pub(crate) fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(build).join(name)
}

fn build() -> PathBuf {
    // <target>/<profile>/deps/<this test>
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().to_owned();
    let profile = match folder.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let arguments = ["build", "--locked", "--quiet", "--bins", "--workspace"];
    let status = Command::new(env!("CARGO")).args(arguments).args(["--profile", profile]).status().unwrap();
    assert!(status.success(), "the services do not build");
    folder
}
