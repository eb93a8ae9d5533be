//! Programs of the Python world as peers: fastavro and confluent-kafka.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs `tests/python/<script>` with this standard input; gives its standard output. Fails the test if it fails.
pub fn run(script: &str, arguments: &[&str], input: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(program("python"))
        .arg(folder.join("python").join(script))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A script that stops reading fails by its exit code, not by the pipe.
    let feed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{script} failed");
    feed.join().unwrap().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// A program of the Python packages that the tests need.
pub fn program(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(".venv/bin").join(name);
    assert!(program.exists(), "{} is missing: `make test` makes it", program.display());
    program
}
