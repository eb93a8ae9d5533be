//! What both services promise of every request.

use end_to_end_tests::contract::{Row, cart, orders};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = refusals();
    rows.extend(health());
    rows.extend(descriptions());
    rows
}

fn refusals() -> Vec<Row> {
    vec![
        cart("nothing there", "GET", "/nowhere").problem(404, "blank"),
        orders("nothing there", "/nowhere").problem(404, "blank"),
        cart("another method is allowed", "GET", "/create-order")
            .problem(405, "blank")
            .header("allow", "POST"),
        cart("other methods are allowed", "DELETE", "/update-order")
            .problem(405, "blank")
            .header("allow", "*P*,*P*"),
        orders("another method is allowed", "/orders")
            .method("POST")
            .problem(405, "blank")
            .header("allow", "GET,HEAD"),
        cart("curl's own content type", "POST", "/create-order")
            .with("content-type", "application/x-www-form-urlencoded")
            .body("{}")
            .problem(415, "blank")
            .text("-H 'Content-Type: application/json'"),
        cart("no content type", "POST", "/orders")
            .body("{}")
            .problem(415, "blank")
            .text("-H 'Content-Type: application/json'"),
        cart("too much", "POST", "/orders").json_body(&" ".repeat(2 << 20)).problem(413, "blank"),
        cart("JSON with a parameter", "POST", "/create-order")
            .with("content-type", "application/json; charset=utf-8")
            .body("{}")
            .faults(&["#/orderId", "#/itemsCount"]),
        cart("no JSON", "POST", "/create-order")
            .json_body("{'orderId': 1}")
            .faults(&["#"])
            .text("line 1 column 2"),
        cart("no object", "PUT", "/update-order").json_body("[1]").faults(&["#"]),
        cart("no UTF-8", "POST", "/create-order")
            .with("content-type", "application/json")
            .body(b"{\"orderId\": \"\xff\"}".to_vec())
            .faults(&["#"]),
        cart("deeply nested", "POST", "/create-order").json_body(&"[".repeat(200_000)).faults(&["#"]),
        cart("a huge number", "POST", "/create-order")
            .json_body(r#"{"orderId": "A", "itemsCount": 1e999}"#)
            .faults(&["#"]),
    ]
}

fn health() -> Vec<Row> {
    vec![
        cart("healthy", "GET", "/health").json(".status", "healthy").json(".kafka", "connected"),
        orders("healthy", "/health")
            .json(".status", "healthy")
            .json(".consumer", "running")
            .is(".orders_in_memory", "number"),
        cart("live", "GET", "/health/live").json(".status", "live"),
        orders("ready", "/health/ready").json(".status", "ready"),
        cart("a request id is kept", "GET", "/health")
            .with("x-request-id", "mine")
            .header("x-request-id", "mine"),
        orders("a request id is made", "/nowhere").problem(404, "blank").header("x-request-id", "*-*-*-*-*"),
    ]
}

fn descriptions() -> Vec<Row> {
    let mut rows = vec![
        orders("the topics describe themselves", "/asyncapi.json")
            .json(".asyncapi", "3.0.0")
            .json(".channels.events.address", "events-of-the-contract"),
        cart("/docs leads to the pages", "GET", "/docs").text("Swagger UI"),
        orders("/docs leads to the pages", "/docs").text("Swagger UI"),
    ];
    for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        rows.push(cart("the pages are in the program", "GET", &format!("/docs/{asset}")));
    }
    for service in [
        cart("the service describes itself", "GET", "/openapi.json"),
        orders("the service describes itself", "/openapi.json"),
    ] {
        rows.push(
            service
                .json(".openapi", "3.1.0")
                .is(".paths", "object")
                .header("content-type", "application/json"),
        );
    }
    rows
}
