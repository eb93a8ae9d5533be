//! Every command of `docs/http.md`, typed as it stands there.

use end_to_end_tests::{Shell, World};
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../docs/http.md");

/// Stands for anything, in the page.
const ANYTHING: &str = "…";

/// A command, and what the page says that it prints.
struct Example {
    command: String,
    printed: String,
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_open = false;
    for line in PAGE.lines() {
        let text = line.strip_prefix("    ");
        match (text.and_then(|text| text.strip_prefix("$ ")), text) {
            (Some(command), _) => {
                examples.push(Example { command: command.to_owned(), printed: String::new() });
                is_open = true;
            }
            (None, Some(printed)) if is_open => {
                let example = examples.last_mut().unwrap();
                example.printed += printed;
                example.printed.push('\n');
            }
            // The blank line between a head and its body.
            (None, None) if is_open && line.is_empty() => examples.last_mut().unwrap().printed.push('\n'),
            _ => is_open = false,
        }
    }
    examples
}

/// What `curl` prints: a status line and headers if it was asked for them, and a body.
fn head_and_body(printed: &str) -> (Vec<&str>, &str) {
    if !printed.starts_with("HTTP/") {
        return (Vec::new(), printed.trim());
    }
    let (head, body) = printed.split_once("\n\n").unwrap_or((printed, ""));
    (head.lines().collect(), body.trim())
}

fn is_like_text(real: &str, page: &str) -> bool {
    let Some((start, end)) = page.split_once(ANYTHING) else { return real == page };
    real.len() >= start.len() + end.len() && real.starts_with(start) && real.ends_with(end)
}

fn is_like(real: &Value, page: &Value) -> bool {
    match (real, page) {
        (_, Value::String(page)) if page == ANYTHING => true,
        (Value::String(real), Value::String(page)) => is_like_text(real, page),
        (Value::Array(real), Value::Array(page)) => {
            real.len() == page.len() && real.iter().zip(page).all(|(real, page)| is_like(real, page))
        }
        (Value::Object(real), Value::Object(page)) => is_like_object(real, page),
        (real, page) => real == page,
    }
}

fn is_like_object(real: &Map<String, Value>, page: &Map<String, Value>) -> bool {
    let shown = || page.iter().filter(|(name, _)| *name != ANYTHING);
    let may_have_more = page.contains_key(ANYTHING);
    (may_have_more || real.keys().all(|name| page.contains_key(name)))
        && shown().all(|(name, page)| real.get(name).is_some_and(|real| is_like(real, page)))
}

/// Fails the test if what was printed is not what the page says.
fn compare(Example { command, printed }: &Example, real: &str) {
    let real = real.replace('\r', "");
    let ((real_head, real_body), (head, body)) = (head_and_body(&real), head_and_body(printed));
    for line in head {
        assert!(
            real_head.iter().any(|real| is_like_text(real, line)),
            "{command}\n{line} is missing in\n{real}"
        );
    }
    if body.is_empty() {
        assert_eq!(real_body, "", "{command}");
        return;
    }
    let page: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let real: Value =
        serde_json::from_str(real_body).unwrap_or_else(|error| panic!("{command}: {error}: {real}"));
    assert!(is_like(&real, &page), "{command}\nprints {real}\nthe page says {page}");
}

#[tokio::test]
async fn every_command_of_the_page_prints_what_the_page_says() {
    let world = World::own().await.with("ORDER_TOPIC", "order-events");
    let orders = world.orders().await;
    let world = world
        .with("ORDER_SERVICE_URL", &format!("http://127.0.0.1:{}", orders.port()))
        .with("PUBLIC_ORDER_SERVICE_URL", "http://localhost:8001");
    let cart = world.cart().await;
    let shell = Shell::new(&[(8000, &cart), (8001, &orders)]);
    let examples = examples();
    assert!(examples.len() > 10, "the page has examples");
    for example in &examples {
        compare(example, &shell.print(&example.command).await);
    }
}
