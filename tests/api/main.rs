//! The services against their own descriptions: a fuzzer makes requests from `/openapi.json`, good and bad ones,
//! and holds every answer against it. Run by `make test-api`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Stdio;

use end_to_end_tests::{Service, World, python, seed};
use tokio::process::Command;

/// How long each service is tried, in seconds; `API_TEST_SECONDS` says otherwise.
const SECONDS: &str = "60";

/// Runs schemathesis against a service, with every check; whether it finds nothing.
async fn keeps_its_word(service: &Service, folder: &Path) -> bool {
    let seconds = std::env::var("API_TEST_SECONDS").unwrap_or_else(|_| SECONDS.to_owned());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("api");
    let status = Command::new(python::program("schemathesis"))
        .arg("--config-file")
        .arg(here.join("schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{}/openapi.json", service.port())])
        .args(["--seed", &seed().to_string(), "--max-time", &seconds, "--report", "ndjson", "--report-dir"])
        .arg(folder)
        // It keeps a cache where it stands.
        .current_dir(folder)
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &here)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .status()
        .await
        .unwrap();
    assert_eq!(service.get("/health/ready").await.status, 200, "{}", service.log_path().display());
    status.success()
}

#[tokio::test]
async fn both_services_do_what_their_descriptions_say() {
    // Most of what the fuzzer sends becomes a dead letter.
    let world = World::own().await.with("ORDER_TOPIC", "order-events").with("DLQ_LIMIT", "off");
    let orders = world.orders().await;
    let world = world.with("ORDER_SERVICE_URL", &format!("http://127.0.0.1:{}", orders.port()));
    let cart = world.cart().await;
    for number in 0..5 {
        cart.create(&format!("ORDER-{number}"), 2).await;
    }
    orders.order("ORDER-4", |_| true).await;
    let kept = [keeps_its_word(&cart, world.folder()).await, keeps_its_word(&orders, world.folder()).await];
    assert_eq!(
        kept,
        [true, true],
        "cart-service, order-service; the logs are in {}",
        world.folder().display()
    );
}
