//! The description of the HTTP interface is whole, and the copy in `docs/` is current.

use std::path::Path;

use cart_service::error::PROBLEMS;
use cart_service::routes::openapi;
use cart_service::settings::Settings;
use clap::Parser;
use service_runtime::{ProblemType, snapshot};

#[test]
fn the_copy_in_docs_is_current() {
    let max_items = Settings::parse_from(["cart-service"]).orders.max_items;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cart-service.openapi.json");
    snapshot::is_current(&path, &openapi(max_items)).unwrap();
}

#[test]
fn every_problem_is_described() {
    let description = openapi(1000).to_string();
    for ProblemType { slug, .. } in PROBLEMS.iter().chain(&ProblemType::SHARED) {
        assert!(description.contains(&format!("\"{slug}\":{{\"summary\"")), "{slug} has no example");
    }
}
