//! The documents say what the programs do.

use std::collections::BTreeSet;

use end_to_end_tests::World;
use serde_json::Value;

const README: &str = include_str!("../../README.md");
const HTTP: &str = include_str!("../../docs/http.md");
const DESCRIPTIONS: [&str; 2] = [
    include_str!("../../docs/cart-service.openapi.json"),
    include_str!("../../docs/order-service.openapi.json"),
];

/// What `--help` calls `[env: NAME=]`.
async fn variables(world: &World, program: &str) -> BTreeSet<String> {
    let (code, help) = world.run_with(program, &["--help"]).await;
    assert_eq!(code, Some(0), "{help}");
    let of_line = |line: &str| {
        let (_, rest) = line.split_once("[env: ")?;
        Some(rest.trim_end_matches([']', '=']).split('=').next()?.to_owned())
    };
    help.lines().filter_map(of_line).collect()
}

/// The first column of the settings table, for the service in the third.
fn documented(service: &str) -> BTreeSet<String> {
    let rows = README.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [variable, _, of, ..] = cells.as_slice() else { return None };
        let is_setting = ["both", "cart", "order"].contains(of);
        (is_setting && (*of == "both" || *of == service)).then(|| variable.trim_end_matches('`').to_owned())
    });
    // Any property of librdkafka: a rule, not one variable.
    rows.filter(|variable| variable != "KAFKA_<PROPERTY>").collect()
}

#[tokio::test]
async fn the_readme_has_every_setting_and_no_other() {
    let world = World::shared().await;
    for (program, service) in [("cart-service", "cart"), ("order-service", "order")] {
        assert_eq!(documented(service), variables(&world, program).await, "{program}");
    }
}

/// The types of problems that a description knows.
fn problem_types(description: &str) -> BTreeSet<String> {
    let api: Value = serde_json::from_str(description).unwrap();
    let types = api["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array().unwrap();
    types
        .iter()
        .map(|uri| uri.as_str().unwrap().trim_start_matches("urn:order-pipeline:problem:").to_owned())
        .collect()
}

#[test]
fn the_http_page_has_every_problem_and_no_other() {
    let known: BTreeSet<String> = DESCRIPTIONS.into_iter().flat_map(problem_types).collect();
    let cells = HTTP.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let told = cells.flat_map(|line| line.split('|').nth(2).unwrap().split(", "));
    let told: BTreeSet<String> = told.map(|slug| slug.trim().trim_matches('`').to_owned()).collect();
    assert_eq!(told, known);
}
