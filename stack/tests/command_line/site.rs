//! The program `local-stack` as a test uses it.

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// For a machine with two cores on which other tests start stacks too.
const PATIENCE: Duration = Duration::from_secs(120);

/// A folder, ports and programs for one stack.
pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) kafka: u16,
    pub(crate) registry: u16,
    pub(crate) cart: u16,
    pub(crate) order: u16,
}

impl Site {
    pub(crate) fn new() -> Self {
        let port = || local_stack::free_port().unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            kafka: port(),
            registry: port(),
            cart: port(),
            order: port(),
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `local-stack task --data-dir ...`.
    pub(crate) fn command(&self, task: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local-stack"));
        command.arg(task).arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        command
    }

    pub(crate) fn up(&self) -> Command {
        let mut command = self.command("up");
        self.stack_ports(&mut command);
        command
    }

    pub(crate) fn run(&self) -> Command {
        let stand_in = self.stand_in();
        let mut command = self.command("run");
        self.stack_ports(&mut command);
        command.args(["--cart-port", &self.cart.to_string(), "--order-port", &self.order.to_string()]);
        command.arg("--cart-service").arg(&stand_in).arg("--order-service").arg(&stand_in);
        command
    }

    fn stack_ports(&self, command: &mut Command) {
        command.args([
            "--kafka-port",
            &self.kafka.to_string(),
            "--registry-port",
            &self.registry.to_string(),
        ]);
    }

    /// A program that is a stand-in for a service: this very test program, told to run nothing else. A shell writes it: had this
    /// process the file open for writing, a child started by another test at that moment would have it open too,
    /// and it could not be executed.
    fn stand_in(&self) -> PathBuf {
        let path = self.folder.path().join("stand-in");
        let script = format!(
            "#!/bin/sh\nSTAND_IN=1 exec '{}' --exact stand_in::stand_in --nocapture\n",
            env::current_exe().unwrap().display()
        );
        let written = Command::new("sh")
            .args(["-c", "printf %s \"$1\" >\"$0\" && chmod +x \"$0\""])
            .args([path.as_os_str(), script.as_ref()])
            .status();
        assert!(written.unwrap().success());
        path
    }
}

/// A `run` in the foreground; killed if the test fails.
pub(crate) struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads its output up to a line that holds `text`; the program has deadlines of its own.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            if self.output.read_line(&mut seen).unwrap() == 0 {
                panic!("ended without {text:?}: {seen}{}", self.finish().2);
            }
        }
        seen
    }

    /// SIGTERM, as a service manager sends it.
    pub(crate) fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    /// Ctrl-C: a terminal sends SIGINT to the whole process group.
    pub(crate) fn interrupt(&self) {
        kill_process_group(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end: the exit code, and what it printed since the last look.
    pub(crate) fn finish(&mut self) -> (Option<i32>, String, String) {
        let (mut output, mut errors) = (String::new(), String::new());
        self.output.read_to_string(&mut output).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        (self.child.wait().unwrap().code(), output, errors)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

pub(crate) fn ask(port: u16, path: &str) -> String {
    ureq::get(format!("http://127.0.0.1:{port}{path}")).call().unwrap().body_mut().read_to_string().unwrap()
}

pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn is_running(pid: u32) -> bool {
    // A zombie that its new parent has not yet looked after runs no more.
    std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
}
