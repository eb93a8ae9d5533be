//! How long each test took.

use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use crate::run_folder::run_folder;

/// Names the file that gets a line per test, in place of one in the run's folder.
const FILE: &str = "TEST_TIMES";

thread_local! {
    /// A test has a thread of its own, and with it a clock, which is dropped at the test's end, passed or not.
    static CLOCK: Clock = Clock { begun: Instant::now() };
}

/// Starts the clock of the test that runs in this thread, unless it runs already.
pub(crate) fn start() {
    CLOCK.with(|_| ());
}

struct Clock {
    begun: Instant,
}

impl Drop for Clock {
    fn drop(&mut self) {
        // With --test-threads=1 the main thread runs all tests, and no test has a time of its own.
        let thread = std::thread::current();
        if let Some(test) = thread.name().filter(|name| *name != "main") {
            let line = format!("{:8.1} s  {test}\n", self.begun.elapsed().as_secs_f64());
            // In one write: other tests append to the file too. A time that cannot be told fails no test.
            let _ = file().and_then(|mut file| file.write_all(line.as_bytes()));
        }
    }
}

fn file() -> std::io::Result<File> {
    let path = std::env::var_os(FILE).map_or_else(|| run_folder().join("times.txt"), Into::into);
    File::options().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_fails_has_a_time_too() {
        let test = || {
            start();
            panic!("as a test fails");
        };
        let name = "a test of the times";
        let ended = std::thread::Builder::new().name(name.to_owned()).spawn(test).unwrap().join();
        assert!(ended.is_err());
        let path = std::env::var_os(FILE).map_or_else(|| run_folder().join("times.txt"), Into::into);
        assert!(std::fs::read_to_string::<std::path::PathBuf>(path).unwrap().contains(name));
    }
}
