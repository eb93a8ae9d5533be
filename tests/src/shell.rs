//! Commands as people paste them into a terminal.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::service::Service;

/// A shell in which the ports of a README lead to the services of a test.
pub struct Shell {
    folder: tempfile::TempDir,
}

impl Shell {
    /// `localhost:<port>` in a command reaches the service.
    pub fn new(routes: &[(u16, &Service)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = routes.iter().map(|(port, service)| {
            format!("connect-to = \"localhost:{port}:127.0.0.1:{}\"\n", service.port())
        });
        let settings = "silent\nshow-error\n".to_owned() + &lines.collect::<String>();
        std::fs::write(folder.path().join(".curlrc"), settings).unwrap();
        Self { folder }
    }

    /// Runs a command word for word; gives what it prints, as JSON.
    pub async fn run(&self, command: &str) -> Value {
        let printed = self.print(command).await;
        serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {command}\n{printed}"))
    }

    /// Runs a command word for word; gives what it prints.
    pub async fn print(&self, command: &str) -> String {
        let output = Command::new("bash")
            .args(["-c", command])
            .env("CURL_HOME", self.folder.path())
            .stderr(Stdio::inherit())
            .output()
            .await
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{command}\n{printed}");
        printed
    }
}

/// The value at a path like jq's, if there is one: `.order.items[0].price`.
pub fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    value.pointer(&path.replace(['.', '['], "/").replace(']', ""))
}

/// As [`at`]; null if there is none, as with jq.
pub fn jq<'a>(value: &'a Value, path: &str) -> &'a Value {
    at(value, path).unwrap_or(&Value::Null)
}
