//! The schema registry: its process, and the question whether it is ready.

use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::installation::Installation;
use crate::launch::Lifetime;
use crate::layout::{Layout, REGISTRY_DATABASE};
use crate::ports::PortUse;

const NAME: &str = "the schema registry";
pub(crate) const PORT: PortUse = PortUse { what: NAME, flag: "--registry-port", variable: "REGISTRY_PORT" };

/// The registry's command.
pub(crate) fn command(
    layout: &Layout,
    installation: &Installation,
    lifetime: Lifetime,
    port: u16,
) -> Command {
    let mut command = installation.registry_java(lifetime);
    // A few requests a start: the quick compiler alone has it up in two thirds of the time.
    command
        .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Djava.io.tmpdir={}", layout.temporary().display()))
        .arg("-jar")
        .arg(installation.registry_jar())
        .env("QUARKUS_HTTP_HOST", "127.0.0.1")
        .env("QUARKUS_HTTP_PORT", port.to_string())
        // H2 writes half a second late unless told otherwise: a schema that was acknowledged must survive kill -9.
        .env("REGISTRY_DATASOURCE_URL", format!("jdbc:h2:file:./{REGISTRY_DATABASE};WRITE_DELAY=0"))
        // Spares the log a page about the older date format.
        .env("REGISTRY_APIS_V2_DATE_FORMAT", "yyyy-MM-dd'T'HH:mm:ss'Z'")
        .env("QUARKUS_BANNER_ENABLED", "false")
        .current_dir(layout.root());
    command
}

/// The root of the API that Confluent's clients speak.
pub(crate) fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/apis/ccompat/v7")
}

/// Lets the registry list its subjects, which needs its database.
pub(crate) fn ask(port: u16, patience: Duration) -> Result<(), String> {
    let answer = http::get(&format!("{}/subjects", url(port)), patience)?;
    if answer.status != 200 {
        return Err(format!("the list of subjects: status {}", answer.status));
    }
    serde_json::from_str::<Vec<String>>(&answer.body)
        .map(drop)
        .map_err(|error| format!("the list of subjects is none: {error}"))
}
