//! The documents say what the programs do.

use std::collections::BTreeSet;

use end_to_end_tests::World;
use serde_json::Value;

const README: &str = include_str!("../../README.md");
const CONTRIBUTING: &str = include_str!("../../CONTRIBUTING.md");
const CHANGES: [&str; 3] = [
    include_str!("../changes/dead-letter-reason.patch"),
    include_str!("../changes/metric.patch"),
    include_str!("../changes/status.patch"),
];
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

/// The kinds of problems in a description's examples: status and type.
fn problems(description: &str) -> BTreeSet<(u64, String)> {
    let api: Value = serde_json::from_str(description).unwrap();
    let mut found = BTreeSet::new();
    collect(&api, &mut found);
    found
}

fn collect(value: &Value, found: &mut BTreeSet<(u64, String)>) {
    if let (Some(uri), Some(status)) = (value["type"].as_str(), value["status"].as_u64())
        && let Some(slug) = uri.strip_prefix("urn:order-pipeline:problem:")
    {
        found.insert((status, slug.to_owned()));
    }
    match value {
        Value::Object(members) => members.values().for_each(|value| collect(value, found)),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[test]
fn the_http_page_has_every_problem_and_no_other() {
    let known: BTreeSet<_> = DESCRIPTIONS.into_iter().flat_map(problems).collect();
    let rows = HTTP.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let mut told = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for slug in
            cells[2].split(", ").map(|slug| slug.trim_matches('`')).filter(|slug| *slug != "about:blank")
        {
            told.insert((cells[1].parse().unwrap(), slug.to_owned()));
        }
    }
    assert_eq!(told, known);
}

/// The files that a row of the table of changes names.
fn files_of_row(change: &str) -> BTreeSet<String> {
    let row = CONTRIBUTING.lines().find_map(|line| line.strip_prefix(&format!("| {change} |")));
    let row = row.unwrap_or_else(|| panic!("CONTRIBUTING.md has no row for {change}"));
    let in_full = |file: &str| match file.split_once('/') {
        Some(("CS", rest)) => format!("crates/cart-service/src/{rest}"),
        Some(("OS", rest)) => format!("crates/order-service/src/{rest}"),
        Some(("OE", rest)) => format!("crates/order-events/src/{rest}"),
        _ => file.to_owned(),
    };
    row.split('`').skip(1).step_by(2).map(in_full).collect()
}

#[test]
fn the_table_of_changes_names_the_files_that_its_examples_touch() {
    for patch in CHANGES {
        let change = patch.lines().find_map(|line| line.strip_prefix("Row: ")).unwrap();
        let touched = patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned);
        assert_eq!(touched.collect::<BTreeSet<_>>(), files_of_row(change), "{change}");
    }
}
