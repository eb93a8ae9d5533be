//! Every command of `docs/http.md` and of the tour in the README, typed as it stands there, one after the other.

use end_to_end_tests::{Shell, World, eventually};
use serde_json::{Map, Value};

const PAGE: &str = include_str!("../../docs/http.md");
const README: &str = include_str!("../../README.md");

/// Stands for anything, in the page.
const ANYTHING: &str = "…";

/// A command, and what the page says that it prints.
struct Example {
    command: String,
    printed: String,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut is_open = false;
    for line in page.lines() {
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

/// How exact a page is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    /// It says what differs from time to time.
    Exact,
    /// It shows what was printed once: what chance or the clock gives may be other, see [`BY_CHANCE`].
    Recorded,
}

/// The fields that are drawn by chance or tell the time, or come from one that does.
const BY_CHANCE: [&str; 11] = [
    "at",
    "customerId",
    "eventId",
    "itemId",
    "orderDate",
    "original_value",
    "price",
    "quantity",
    "shippingCost",
    "timestamp",
    "totalAmount",
];

impl Page {
    /// Whether a field may have another value of the same type.
    fn may_differ(self, name: &str, real: &Value, page: &Value) -> bool {
        let same_type = matches!(
            (real, page),
            (Value::Number(_), Value::Number(_)) | (Value::String(_), Value::String(_))
        );
        self == Self::Recorded && same_type && BY_CHANCE.contains(&name)
    }

    fn is_like(self, real: &Value, page: &Value) -> bool {
        match (real, page) {
            (_, Value::String(page)) if page == ANYTHING => true,
            (Value::String(real), Value::String(page)) => is_like_text(real, page),
            (Value::Array(real), Value::Array(page)) => {
                real.len() == page.len() && real.iter().zip(page).all(|(real, page)| self.is_like(real, page))
            }
            (Value::Object(real), Value::Object(page)) => self.is_like_object(real, page),
            (real, page) => real == page,
        }
    }

    fn is_like_object(self, real: &Map<String, Value>, page: &Map<String, Value>) -> bool {
        let shown = || page.iter().filter(|(name, _)| *name != ANYTHING);
        let may_have_more = page.contains_key(ANYTHING);
        let is_like = |name: &str, real: &Value, page: &Value| {
            self.may_differ(name, real, page) || self.is_like(real, page)
        };
        (may_have_more || real.keys().all(|name| page.contains_key(name)))
            && shown().all(|(name, page)| real.get(name).is_some_and(|real| is_like(name, real, page)))
    }

    /// What is printed that the page does not say, if anything.
    fn differs(self, Example { command, printed }: &Example, real: &str) -> Option<String> {
        let real = real.replace('\r', "");
        let ((real_head, real_body), (head, body)) = (head_and_body(&real), head_and_body(printed));
        for line in head {
            if !real_head.iter().any(|real| is_like_text(real, line)) {
                return Some(format!("{command}\n{line} is missing in\n{real}"));
            }
        }
        let json = |text: &str| match text {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|error| panic!("{command}: {error}: {text}")),
        };
        let (real, page) = (json(real_body), json(body));
        let is_shown = self == Self::Exact || !body.is_empty();
        (is_shown && !self.is_like(&real, &page))
            .then(|| format!("{command}\nprints {real}\nthe page says {page}"))
    }
}

/// Types every command of a page, in a world where nothing has happened yet, whose topic has another name. What is only
/// read is read again until it is as the page says: an event takes its time.
async fn type_all(page: Page, text: &str) {
    let world = World::shared().await;
    let text = &text.replace("order-events", world.topic());
    let orders = world.orders().await;
    let world = world
        .with("ORDER_SERVICE_URL", &format!("http://127.0.0.1:{}", orders.port()))
        .with("PUBLIC_ORDER_SERVICE_URL", "http://localhost:8001");
    let cart = world.cart().await;
    let shell = Shell::new(&[(8000, &cart), (8001, &orders)]);
    let examples: Vec<Example> =
        examples(text).into_iter().filter(|example| example.command.contains("curl")).collect();
    assert!(examples.len() > 10, "the page has examples");
    for example in &examples {
        let mut command = example.command.clone();
        if example.printed.is_empty() {
            // Nothing tells whether it was refused but this.
            command += " --fail";
        }
        if [" -d ", " -X "].iter().any(|write| example.command.contains(write)) {
            let difference = page.differs(example, &shell.print(&command).await);
            assert_eq!(difference, None);
        } else {
            eventually(&format!("{} prints {}", example.command, example.printed), async || {
                page.differs(example, &shell.print(&command).await).is_none().then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn every_command_of_the_page_prints_what_the_page_says() {
    type_all(Page::Exact, PAGE).await;
}

#[tokio::test]
async fn the_tour_of_the_readme_prints_what_it_shows() {
    type_all(Page::Recorded, README).await;
}
