//! The descriptions of the HTTP interface and of the topics are whole, and the copies in `docs/` are current.

use std::path::{Path, PathBuf};

use clap::Parser;
use order_service::http::asyncapi;
use order_service::http::error::PROBLEMS;
use order_service::http::openapi;
use order_service::settings::Settings;
use service_runtime::{ProblemType, snapshot};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

#[test]
fn the_copies_in_docs_are_current() {
    let settings = Settings::parse_from(["order-service"]);
    snapshot::is_current(&docs("order-service.openapi.json"), &openapi()).unwrap();
    snapshot::is_current(&docs("asyncapi.json"), &asyncapi::describe(&settings.topic_names())).unwrap();
}

#[test]
fn every_problem_is_described() {
    let description = openapi().to_string();
    for ProblemType { slug, .. } in PROBLEMS.iter().chain(&ProblemType::SHARED) {
        assert!(description.contains(&format!("\"{slug}\":{{\"summary\"")), "{slug} has no example");
    }
}
