//! The documents say what the programs do.

use std::collections::BTreeSet;

use end_to_end_tests::World;

const README: &str = include_str!("../../README.md");

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
