//! What is refused before anything is published.

use axum::body::Body;
use futures_util::{FutureExt, stream};

use crate::service::{Service, request};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_bad_write_is_told_every_fault_at_once() {
    let service = Service::booting(&[]);
    let key = [("idempotency-key", "")];
    let cases: [(_, _, _, &[_]); 8] = [
        ("POST", "/create-order", r#"{"orderId": "", "itemsCount": 0}"#, &["#/orderId", "#/itemsCount"]),
        ("POST", "/create-order", r#"{"order_id": "A", "orderId": "B"}"#, &["#/orderId", "#/itemsCount"]),
        ("PUT", "/update-order", r#"{"status": "new"}"#, &["#/orderId", "#/status"]),
        ("POST", "/update-order", r#"{"orderId": 7, "status": 1}"#, &["#/orderId", "#/status"]),
        ("PATCH", "/orders/%20", r#"{"status": "gone"}"#, &["{orderId}", "#/status"]),
        ("PATCH", "/orders/A", r#"{"orderId": "B"}"#, &["#/status", "#/orderId"]),
        (
            "POST",
            "/orders",
            r#"{"order_id": 7, "items": [{"quantity": 1.5}, 7], "total_amount": "1", "currency": "dollars"}"#,
            &[
                "#/order_id",
                "#/customerId",
                "#/items/0/itemId",
                "#/items/0/quantity",
                "#/items/0/price",
                "#/items/1",
                "#/total_amount",
                "#/currency",
            ],
        ),
        ("POST", "/orders/", r#"{"customerId": "c", "items": []}"#, &["#/items"]),
    ];
    for (method, path, body, faults) in cases {
        let answer = service.write(method, path, &key, body).await;
        assert_eq!(answer.faults(), [&["idempotency-key"], faults].concat(), "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_json_object_is_one_fault() {
    let service = Service::booting(&[]);
    let deep = "[".repeat(200_000);
    let huge = r#"{"orderId": "A", "itemsCount": 1e999}"#;
    for body in ["", "{", "[1]", "null", "{'orderId': 1}", "\u{feff}{}", &deep, huge] {
        let answer = service.write("POST", "/create-order", &[], body).await;
        assert_eq!(answer.faults(), ["#"], "{}", answer.text);
    }
    let no_utf8 = request("POST", "/create-order", &[JSON], b"{\"orderId\": \"\xff\"}".to_vec());
    assert_eq!(service.send(no_utf8).await.faults(), ["#"]);
}

#[tokio::test]
async fn an_order_has_as_many_items_as_the_setting_allows() {
    let service = Service::booting(&["--max-items", "2"]);
    let items = async |count| {
        let body = format!(r#"{{"orderId": "A", "itemsCount": {count}}}"#);
        service.write("POST", "/create-order", &[], &body).await
    };
    assert_eq!(items(3).await.faults(), ["#/itemsCount"]);
    assert_eq!(items(2).await.problem(), (503, "not-published"));
}

#[tokio::test]
async fn a_key_is_printable_short_and_the_same_under_both_names() {
    let service = Service::booting(&[]);
    let update = r#"{"orderId": "A", "status": "shipped"}"#;
    let long = "k".repeat(129);
    let (new, old) = ("idempotency-key", "x-idempotency-key");
    let cases: [(&[(&str, &str)], _); 5] = [
        (&[(new, &long)], new),
        (&[(old, "a\tb")], old),
        (&[(new, "\"\"")], new),
        (&[(new, "a"), (old, "b")], old),
        (&[(old, "a"), (old, "b")], old),
    ];
    for (keys, fault) in cases {
        let answer = service.write("PUT", "/update-order", keys, update).await;
        assert_eq!(answer.faults(), [fault], "{}", answer.text);
    }
    for keys in [[(new, "a"), (old, "\"a\"")], [(new, &long[1..]), (old, &long[1..])]] {
        let answer = service.write("PUT", "/update-order", &keys, update).await;
        assert_eq!(answer.problem(), (503, "not-published"), "{}", answer.text);
    }
}

#[tokio::test]
async fn only_json_in_utf8_is_read() {
    let service = Service::booting(&[]);
    let status = async |headers: &[(&str, &str)]| {
        service.send(request("POST", "/orders", headers, "{}")).await.problem().0
    };
    assert_eq!(status(&[]).await, 415);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
    {
        assert_eq!(status(&[("content-type", media_type)]).await, 415, "{media_type}");
    }
    assert_eq!(status(&[JSON, ("content-encoding", "gzip")]).await, 415);
    assert_eq!(status(&[JSON, ("transfer-encoding", "gzip, chunked")]).await, 501);
    for media_type in ["application/json; charset=UTF-8", "application/merge-patch+json"] {
        assert_eq!(status(&[("content-type", media_type)]).await, 400, "{media_type}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_too_large() {
    let service = Service::booting(&[]);
    for (path, status) in [("/orders", 413), ("/nowhere", 404)] {
        let answer = service.write("POST", path, &[], &" ".repeat((1 << 20) + 1)).await;
        assert_eq!(answer.problem(), (status, "blank"), "{}", answer.text);
    }
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems() {
    let service = Service::booting(&[]);
    for (method, path) in
        [("GET", "/nowhere"), ("POST", "/"), ("PATCH", "/orders/A/items"), ("PUT", "/orderz")]
    {
        let answer = service.send(request(method, path, &[], Body::empty())).await;
        assert_eq!(answer.problem(), (404, "blank"), "{method} {path}");
    }
    let cases = [
        ("GET", "/create-order", "POST"),
        ("DELETE", "/update-order", "PUT,POST"),
        ("GET", "/orders", "POST"),
        ("PUT", "/orders/A", "PATCH"),
        ("POST", "/health", "GET,HEAD"),
    ];
    for (method, path, allowed) in cases {
        let answer = service.send(request(method, path, &[], Body::empty())).await;
        assert_eq!(answer.problem(), (405, "blank"), "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
}

#[tokio::test]
async fn a_write_beyond_the_limit_of_requests_is_refused_at_once_and_health_is_told() {
    let service = Service::booting(&["--max-concurrent-requests", "1"]);
    let unsent = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let mut running = Box::pin(service.send(request("POST", "/orders", &[JSON], unsent)));
    assert!(running.as_mut().now_or_never().is_none());
    let refused = service.write("POST", "/orders", &[], "{}").await;
    assert_eq!(refused.problem(), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(service.get("/health/live").await.status, 200);
    drop(running);
    assert_eq!(service.write("POST", "/orders", &[], "{}").await.status, 400);
}
