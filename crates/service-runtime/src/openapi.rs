//! The description of a service's HTTP interface (OpenAPI 3.1), completed from what holds for every operation.
//!
//! A handler describes what is its own. What [`crate::app::finish`] does for every request is added here: the
//! limits' answers, the request id, the token. So is the form of every error: an error's description names its
//! problem types in backticks, and gets an example of each.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::overload::is_probe;
use crate::problem::{Problem, ProblemType};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "patch", "head", "options"];

/// What every operation may answer; `(status, description)`.
const ALWAYS: [(&str, &str); 3] = [
    ("429", "`too-many-requests`: only with `RATE_LIMIT`."),
    ("500", "A defect of the service; its log has the cause."),
    (
        "503",
        "`overloaded`: nothing was done. `timed-out`: the answer took longer than `REQUEST_TIMEOUT`; `Retry-After` \
         only where repeating does no harm, else look first whether it was carried out.",
    ),
];

/// What an operation may answer that takes parameters or a body.
const WITH_INPUT: [(&str, &str); 1] = [("400", "`invalid-request`: `errors` lists every fault.")];

/// What an operation may answer that takes a body.
const WITH_BODY: [(&str, &str); 5] = [
    ("401", "`unauthorized`: only if the service has a token."),
    ("408", "`slow-request`: the body was not there within `READ_TIMEOUT`; nothing was done."),
    ("413", "The body is larger than 1 MiB."),
    (
        "415",
        "The body is not declared as JSON (`-H 'Content-Type: application/json'`), not in UTF-8, or encoded.",
    ),
    ("501", "The body has a transfer coding that is not understood."),
];

/// The whole description of a service whose own problems are `problems`.
pub fn complete(api: &OpenApi, problems: &[ProblemType]) -> Value {
    let mut api = serde_json::to_value(api).unwrap_or_default();
    let known: Vec<ProblemType> = ProblemType::SHARED.iter().chain(problems).copied().collect();
    for (path, item) in members(&mut api["paths"]) {
        let is_probe = is_probe(path);
        let operations = members(item).filter(|(method, _)| METHODS.contains(&method.as_str()));
        operations.for_each(|(method, operation)| complete_operation(operation, method, is_probe, &known));
    }
    let components = &mut api["components"];
    components["schemas"]["Problem"] = problem_schema(&known);
    components["headers"]["RequestId"] = json!({
        "description": "Names the request in the log; the client's own `x-request-id`, if it sent one.",
        "required": true, "schema": { "type": "string" },
    });
    components["headers"]["RetryAfter"] = json!({
        "description": "When it is worth trying again, in seconds.", "schema": { "type": "integer", "minimum": 1 },
    });
    components["securitySchemes"]["token"] = json!({
        "type": "http", "scheme": "bearer", "description": "Only if the service has a token: `API_TOKEN`, `ADMIN_TOKEN`.",
    });
    api
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flat_map(Map::iter_mut)
}

fn complete_operation(operation: &mut Value, method: &str, is_probe: bool, known: &[ProblemType]) {
    let has_body = operation.get("requestBody").is_some();
    let has_input = has_body || operation.get("parameters").is_some();
    if method != "get" {
        // An empty requirement: without a token nobody is asked.
        operation["security"] = json!([{}, { "token": [] }]);
    }
    let added = [(&ALWAYS[..], !is_probe), (&WITH_INPUT[..], has_input), (&WITH_BODY[..], has_body)];
    for (responses, applies) in added {
        for (status, text) in responses.iter().filter(|_| applies) {
            add(&mut operation["responses"][*status], text);
        }
    }
    for (status, response) in members(&mut operation["responses"]) {
        response["headers"]["x-request-id"] = json!({ "$ref": "#/components/headers/RequestId" });
        if status.as_str() >= "400" && response.get("content").is_none() {
            complete_error(response, status, known);
        }
    }
}

/// Adds to what a response's description says.
fn add(response: &mut Value, text: &str) {
    let told = response["description"].as_str().unwrap_or_default();
    response["description"] = format!("{told} {text}").trim().into();
}

fn complete_error(response: &mut Value, status: &str, known: &[ProblemType]) {
    let description = response["description"].as_str().unwrap_or_default();
    let named = |kind: &&ProblemType| {
        kind.status.as_str() == status && description.contains(&format!("`{}`", kind.slug))
    };
    let mut kinds: Vec<ProblemType> = known.iter().filter(named).copied().collect();
    if kinds.is_empty() {
        kinds.extend(StatusCode::from_bytes(status.as_bytes()).map(ProblemType::of_status));
    }
    let examples: Map<String, Value> = kinds.iter().map(|kind| (name(kind), example(kind))).collect();
    if matches!(status, "429" | "503") {
        response["headers"]["retry-after"] = json!({ "$ref": "#/components/headers/RetryAfter" });
    }
    response["content"] = json!({ "application/problem+json": {
        "schema": { "$ref": "#/components/schemas/Problem" },
        "examples": examples,
    }});
}

fn name(kind: &ProblemType) -> String {
    if kind.slug.is_empty() { kind.status.as_str().to_owned() } else { kind.slug.to_owned() }
}

fn example(kind: &ProblemType) -> Value {
    json!({ "summary": kind.title, "value": Problem::new(*kind, kind.title).to_json() })
}

fn problem_schema(known: &[ProblemType]) -> Value {
    let mut types: Vec<String> = known.iter().map(|kind| kind.uri().into_owned()).collect();
    types.push("about:blank".to_owned());
    types.sort();
    types.dedup();
    json!({
        "type": "object",
        "description": "What went wrong (RFC 9457). `detail` is for people, `type` and `status` are for programs; \
                        about:blank says no more than its status.",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": { "type": "string", "enum": types },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "errors": {
                "type": "array",
                "description": "Every fault of a bad request.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": {
                            "type": "string",
                            "description": "`#/items/0/price` in the body, `?limit` in the query, `{orderId}` in \
                                            the path, or a header's name.",
                        },
                        "detail": { "type": "string" },
                    },
                },
            },
        },
    })
}
