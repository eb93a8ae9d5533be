//! A service as a process of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, header};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::wait::{PATIENCE, eventually};

/// How long a connection to a service is kept for the next request.
const IDLE: Duration = Duration::from_secs(2);

/// A running service. Killed when it is dropped.
pub struct Service {
    name: String,
    child: Child,
    log: PathBuf,
    port: u16,
    http: reqwest::Client,
}

/// What a service answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: header::HeaderMap,
    /// The body, null if it is not JSON.
    pub json: Value,
    /// The body as text.
    pub text: String,
}

impl Answer {
    /// The answer to a request, whatever its status.
    pub async fn to(request: RequestBuilder) -> Self {
        Self::if_any(request).await.expect("the service answers")
    }

    /// As [`to`](Self::to), of a service that may be gone.
    pub async fn if_any(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status, headers, json, text })
    }

    /// A header, as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Service {
    /// Starts a program with its log in `folder`, and waits until it listens.
    pub async fn start(program: &Path, environment: &[(String, String)], folder: &Path) -> Self {
        let mut service = Self::spawn(program, &[], environment, folder);
        let name = service.name.clone();
        service.port = eventually(&format!("{name} listens\n{}", service.log.display()), async || {
            assert!(service.child.try_wait().unwrap().is_none(), "{name} ended:\n{}", service.log());
            listening_port(&service.log())
        })
        .await;
        service
    }

    /// Runs a program that is expected to end by itself; gives its exit code and all it said.
    pub async fn run_to_end(
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
        folder: &Path,
    ) -> (Option<i32>, String) {
        let mut service = Self::spawn(program, arguments, environment, folder);
        let status = service.ended(PATIENCE).await;
        (status.code(), service.log())
    }

    fn spawn(program: &Path, arguments: &[&str], environment: &[(String, String)], folder: &Path) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = program.file_name().unwrap().to_str().unwrap();
        let log = folder.join(format!("{name}-{}.log", STARTED.fetch_add(1, Ordering::Relaxed)));
        let output = File::create(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            // Shorter than the service keeps an idle connection: what is sent while it closes one is lost.
            .pool_idle_timeout(IDLE)
            .build()
            .unwrap();
        Self { name: name.to_owned(), child, log, port: 0, http }
    }

    /// Waits until it is ready.
    pub async fn ready(self) -> Self {
        eventually(&format!("{} is ready: {}", self.name, self.log.display()), async || {
            (self.get("/health/ready").await.status == 200).then_some(())
        })
        .await;
        self
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().expect("it runs").cast_signed()).unwrap()
    }

    /// Its resident memory, in bytes.
    pub fn resident_memory(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most physical memory that it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid().as_raw_nonzero())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// The processor time that it has used, all threads together.
    pub fn cpu_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid().as_raw_nonzero())).unwrap();
        // proc_pid_stat(5): the name in parentheses may hold anything; utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Stops it as an orchestrator does, with SIGTERM; it must end with code 0.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended(PATIENCE).await;
        assert_eq!(status.code(), Some(0), "{}", self.log());
    }

    /// Ends it at once, with SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    async fn ended(&mut self, patience: Duration) -> ExitStatus {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("{} does not end:\n{}", self.name, self.log()),
        }
    }

    /// Waits until it ends by itself; gives its exit code and all it said.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let status = self.ended(PATIENCE).await;
        (status.code(), self.log())
    }

    /// Waits until it ends by itself with code 1; its last line must have these words.
    pub async fn fails_with(self, words: &str) {
        let (code, said) = self.end().await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.lines().last().unwrap().contains(words), "{said}");
    }

    /// Where its log is.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A request to it.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://127.0.0.1:{}{path}", self.port))
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// A JSON body to `path`.
    pub async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(method.parse().unwrap(), path).json(body)).await
    }

    /// `POST /create-order`.
    pub async fn create(&self, order_id: &str, items: u32) -> Answer {
        let body = serde_json::json!({ "orderId": order_id, "itemsCount": items });
        self.send("POST", "/create-order", &body).await
    }

    /// `PUT /update-order`.
    pub async fn update(&self, order_id: &str, status: &str) -> Answer {
        let body = serde_json::json!({ "orderId": order_id, "status": status });
        self.send("PUT", "/update-order", &body).await
    }

    /// `GET /order-details`, once the order is there and `accept`ed.
    pub async fn order(&self, order_id: &str, accept: impl Fn(&Value) -> bool) -> Value {
        let path = format!("/order-details?orderId={order_id}");
        eventually(
            &format!("{} shows {order_id} as expected: {}", self.name, self.log.display()),
            async || {
                let answer = self.get(&path).await;
                (answer.status == 200 && accept(&answer.json)).then_some(answer.json)
            },
        )
        .await
    }

    /// One metric's value, the label set included in its name.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }
}

fn listening_port(log: &str) -> Option<u16> {
    let line = log.lines().find(|line| line.contains("listening"))?;
    let (_, port) = line.split_once("127.0.0.1:")?;
    port.split(|character: char| !character.is_ascii_digit()).next()?.parse().ok()
}
