//! What cart-service promises of writes.

use end_to_end_tests::contract::{Row, cart};

const WAIT: (&str, &str) = ("prefer", "wait=30");

/// A write whose outcome is waited for, so that the rows behind it see it.
fn write(promise: &'static str, method: &'static str, path: &str, body: &str) -> Row {
    cart(promise, method, path).json_body(body).with(WAIT.0, WAIT.1)
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = creates();
    rows.extend(whole_orders());
    rows.extend(updates());
    rows.extend(aliases());
    rows
}

fn creates() -> Vec<Row> {
    let create = "/create-order";
    vec![
        write(
            "a new order is a 201 with the event's place",
            "POST",
            create,
            r#"{"orderId": "C-1", "itemsCount": 2}"#,
        )
        .gives(201)
        .json(".orderId", "C-1")
        .json(".order.status", "new")
        .is(".order.items[1].itemId", "string")
        .json(".outcome", "applied")
        .json(".kafka.topic", "events-of-the-contract")
        .is(".kafka.partition", "number")
        .is(".kafka.offset", "number")
        .is(".kafka.position", "string")
        .is(".eventId", "string")
        .is(".message", "string")
        .header("location", "http://*/orders/C-1")
        .header("preference-applied", "wait=30")
        .header("cache-control", "no-store"),
        write("the same order again is a 409", "POST", create, r#"{"orderId": "C-1", "itemsCount": 2}"#)
            .problem(409, "duplicate-order")
            .is(".position", "string"),
        write(
            "digits get the prefix, white space goes",
            "POST",
            create,
            r#"{"orderId": " 41 ", "itemsCount": 1}"#,
        )
        .gives(201)
        .json(".orderId", "ORD-41"),
        write(
            "fields that nobody knows are passed over",
            "POST",
            create,
            r#"{"orderId": "C-2", "itemsCount": 1, "x": 1}"#,
        )
        .gives(201),
        write("an id that no URL can name", "POST", create, r#"{"orderId": " .. ", "itemsCount": 1}"#)
            .faults(&["#/orderId"]),
        write("every fault at once", "POST", create, r#"{"orderId": "", "itemsCount": 0}"#)
            .with("idempotency-key", "")
            .faults(&["#/orderId", "#/itemsCount", "idempotency-key"]),
        cart("without a wait nothing is said of the outcome", "POST", create)
            .json_body(r#"{"orderId": "C-3", "itemsCount": 1}"#)
            .gives(201)
            .no_json(".outcome")
            .no_header("preference-applied"),
    ]
}

fn whole_orders() -> Vec<Row> {
    let order = r#"{"customer_id": "customer123", "items": [{"product_id": "product456", "quantity": 2, "price": 29.99}], "total_amount": 59.98}"#;
    vec![
        write("a whole order, as seed 004 sends it", "POST", "/orders/", order)
            .with("x-idempotency-key", "of-seed-004")
            .gives(201)
            .json(".order.customerId", "customer123")
            .json(".order.items[0].itemId", "product456")
            .json(".order.items[0].quantity", 2)
            .json(".order.items[0].price", 29.99)
            .json(".order.totalAmount", 59.98)
            .json(".order.currency", "USD")
            .json(".order.status", "new")
            .header("location", "http://*/orders/ORD-*"),
        write("the same once more is applied once", "POST", "/orders", order)
            .with("idempotency-key", "of-seed-004")
            .gives(201)
            .json(".outcome", "duplicate"),
        write(
            "the key with another body is a 422",
            "POST",
            "/orders",
            r#"{"customer_id": "somebody else", "items": [{"product_id": "p", "quantity": 1, "price": 1}]}"#,
        )
        .with("idempotency-key", "of-seed-004")
        .problem(422, "idempotency-key-reused"),
        write(
            "camel case, an id and a currency of one's own; the total is added up",
            "POST",
            "/orders",
            r#"{"orderId": "W-1", "customerId": "c", "currency": "eur",
                "items": [{"productId": "p", "quantity": 3, "price": 0.1}, {"productId": "q", "quantity": 1, "price": 1}]}"#,
        )
        .gives(201)
        .json(".orderId", "W-1")
        .json(".order.currency", "EUR")
        .json(".order.totalAmount", 1.3),
        write("every fault of a whole order", "POST", "/orders", r#"{"items": [{"quantity": 1.5}, 7], "total_amount": "1", "currency": "dollars"}"#)
            .faults(&["#/customerId", "#/items/0/itemId", "#/items/0/quantity", "#/items/0/price", "#/items/1",
                "#/total_amount", "#/currency"]),
        write("texts of more than 128 characters", "POST", "/orders", &format!(
            r#"{{"customer_id": "{0}", "currency": "{0}", "items": [{{"product_id": "{0}", "quantity": 1, "price": 1}}]}}"#,
            "x".repeat(129))).faults(&["#/customer_id", "#/currency", "#/items/0/product_id"]),
        write("texts of 128 characters", "POST", "/orders", &format!(
            r#"{{"customer_id": "{0}", "items": [{{"product_id": "{0}", "quantity": 1, "price": 1}}]}}"#,
            "é".repeat(128))).gives(201),
        write("a total that is not the sum", "POST", "/orders", &order.replace("59.98", "59.97")).faults(&["#/total_amount"]),
        write("a total far below any sum", "POST", "/orders", &order.replace("59.98", "-7.922816251426433e28")
            .replace("29.99", "1000000000").replace(": 2,", ": 1000000,")).faults(&["#/total_amount"]),
        write(
            "null is as good as nothing",
            "POST",
            "/orders",
            r#"{"orderId": null, "customerId": "c", "totalAmount": null, "currency": null,
                "items": [{"itemId": "p", "quantity": 1, "price": 1}]}"#,
        )
        .gives(201)
            .json(".order.currency", "USD"),
        write("more faults than a person reads are all listed", "POST", "/orders", &format!(r#"{{"customer_id": "c", "items": [{}7]}}"#, "7, ".repeat(20)))
            .problem(400, "invalid-request")
            .is(".errors[20].detail", "string")
            .text("and 11 more"),
        write("an order of nothing", "POST", "/orders", r#"{"customer_id": "c", "items": []}"#).faults(&["#/items"]),
    ]
}

fn updates() -> Vec<Row> {
    let mut rows = Vec::new();
    for method in ["PUT", "POST"] {
        rows.push(
            write("a new status", method, "/update-order", r#"{"orderId": "C-1", "status": "Pending"}"#)
                .json(".orderId", "C-1")
                .json(".update.orderId", "C-1")
                .json(".update.status", "pending")
                .json(".order.status", "pending")
                .json(".outcome", "applied")
                .is(".kafka.offset", "number")
                .is(".message", "string"),
        );
    }
    for status in ["confirmed", "PROCESSING", "shipped", "delivered"] {
        let body = format!(r#"{{"status": "{status}"}}"#);
        rows.push(write("an order goes forward", "PATCH", "/orders/C-1", &body).json(".orderId", "C-1"));
    }
    rows.extend([
        write(
            "canceled is cancelled, digits get the prefix",
            "PATCH",
            "/orders/41",
            r#"{"status": "canceled"}"#,
        )
        .json(".orderId", "ORD-41")
        .json(".update.status", "cancelled"),
        write("nobody's order", "PATCH", "/orders/nobody", r#"{"status": "shipped"}"#)
            .problem(404, "unknown-order"),
        write("new is reserved", "PATCH", "/orders/C-1", r#"{"status": "new"}"#)
            .faults(&["#/status"])
            .text("reserved"),
        write(
            "a status that nobody knows",
            "PUT",
            "/update-order",
            r#"{"orderId": "C-1", "status": "lost"}"#,
        )
        .faults(&["#/status"]),
        write("a bad id in the path", "PATCH", "/orders/%20", r#"{"status": 1}"#)
            .faults(&["{orderId}", "#/status"]),
        write("a path that is no UTF-8", "PATCH", "/orders/%ff", r#"{"status": "shipped"}"#)
            .faults(&["{orderId}"]),
        write(
            "an id in the body that is the path's",
            "PATCH",
            "/orders/41",
            r#"{"orderId": "ORD-41", "status": 1}"#,
        )
        .faults(&["#/status"]),
        write(
            "an id in the body that is not the path's",
            "PATCH",
            "/orders/41",
            r#"{"orderId": "42", "status": "shipped"}"#,
        )
        .faults(&["#/orderId"]),
        write(
            "what may be sent instead of an unknown status",
            "PATCH",
            "/orders/41",
            r#"{"status": "lost"}"#,
        )
        .gives(400)
        .text("must be pending, confirmed, processing, shipped, delivered or cancelled"),
    ]);
    rows
}

/// Every spelling of a name that any seed uses; two that disagree are refused.
fn aliases() -> Vec<Row> {
    let names = ["itemsCount", "itemsNum", "numberOfItems", "number_of_items", "numItems", "numOfItems"];
    let mut rows: Vec<Row> = names
        .iter()
        .map(|name| {
            let body = format!(r#"{{"order_id": "A-{name}", "{name}": 1}}"#);
            write("every spelling of the number of items", "POST", "/create-order", &body).gives(201)
        })
        .collect();
    rows.extend([
        write("spellings may repeat", "POST", "/create-order", r#"{"orderId": "A-1", "order_id": " A-1", "itemsNum": 1, "numItems": 1.0}"#)
            .gives(201),
        write("spellings must agree", "POST", "/create-order", r#"{"orderId": "A", "order_id": "B", "itemsNum": 1, "itemsNum": 2}"#)
            .faults(&["#/order_id", "#/itemsNum"]),
        write("also within a list", "POST", "/orders", r#"{"customer_id": "c", "items": [{"itemId": "a", "product_id": "b", "quantity": 1, "price": 1}]}"#)
            .faults(&["#/items/0/product_id"]),
        cart("key spellings must agree", "POST", "/create-order")
            .json_body(r#"{"orderId": "A-2", "itemsCount": 1}"#)
            .with("idempotency-key", "a")
            .with("x-idempotency-key", "b")
            .faults(&["x-idempotency-key"]),
    ]);
    rows
}
