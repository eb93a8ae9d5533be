//! What order-service promises of reads, after the writes of the conformance tests (`writes.rs` there).

use super::row::{Row, orders};

/// Every promise of reads.
pub fn rows() -> Vec<Row> {
    let mut rows = rows_in_process();
    rows.push(letter_that_is_none());
    rows
}

/// Those that need no Kafka: all but a look into the dead letter topic.
pub fn rows_in_process() -> Vec<Row> {
    let mut rows = one_order();
    rows.extend(pages());
    rows.extend(ids());
    rows.extend(events());
    rows.extend(dead_letters());
    rows
}

/// It is looked for in the topic.
fn letter_that_is_none() -> Row {
    orders("a dead letter that is none", "/dlq/messages/999999").problem(404, "unknown-dead-letter")
}

fn dead_letters() -> Vec<Row> {
    let redrive = |promise, path: &str| orders(promise, path).method("POST");
    vec![
        orders("dead letters, counted", "/dlq/stats").is(".total_messages", "number").is(".topic", "string"),
        orders("dead letters, the newest first", "/dlq/messages?limit=1&reason=unknown_order")
            .json(".count", 1)
            .json(".limit", 1)
            .json(".messages[0].orderId", "nobody")
            .json(".messages[0].error_category", "NO_RETRY_DLQ")
            .json(".messages[0].event.payload.status", "shipped"),
        orders("every fault of a page", "/dlq/messages?limit=1001&offset=-1&category=X&reason=y&orderId=%20")
            .faults(&["?limit", "?offset", "?category", "?reason", "?orderId"]),
        orders("no offset at all", "/dlq/messages/%ff").faults(&["{dlq_offset}"]),
        redrive("what should be in the body is not passed over", "/dlq/redrive?dryRun=true&limit=1")
            .faults(&["?dryRun", "?limit"]),
        redrive("two words are none", "/dlq/redrive")
            .json_body(r#"{"dryRun": true, "dryRun": false}"#)
            .faults(&["#/dryRun"]),
        redrive("a typing mistake is no filter", "/dlq/redrive")
            .json_body(r#"{"resaon": "x", "limit": 0, "category": 1}"#)
            .faults(&["#/resaon", "#/limit", "#/category"]),
        redrive("no object", "/dlq/redrive").json_body("[]").faults(&["#"]),
        redrive("every fault of a redrive", "/dlq/messages/abc/redrive")
            .json_body(r#"{"force": 1}"#)
            .faults(&["{dlq_offset}", "#/force"]),
    ]
}

fn one_order() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in ["/order-details?orderId=W-1", "/order-details?order_id=W-1", "/orders/W-1"] {
        rows.push(
            orders("an order, flat, with its shipping", path)
                .json(".orderId", "W-1")
                .json(".customerId", "c")
                .json(".items[0].itemId", "p")
                .json(".totalAmount", 1.3)
                .json(".shippingCost", 0.03)
                .json(".currency", "EUR")
                .json(".status", "new")
                .is(".orderDate", "string")
                .header("cache-control", "no-cache")
                .header("order-position", "*:*")
                .header("etag", "W/\"*\""),
        );
    }
    rows.extend([
        orders("the order once more, for seeds that look there", "/order-details?orderId=W-1")
            .json(".order.orderId", "W-1")
            .json(".order.totalAmount", 1.3)
            .json(".order.shippingCost", 0.03),
        orders("digits get the prefix here too", "/orders/41")
            .json(".orderId", "ORD-41")
            .json(".status", "cancelled"),
        orders("what was patched is seen", "/orders/C-1").json(".status", "delivered"),
        orders("a poller that has it already", "/orders/C-1")
            .with("if-none-match", "*")
            .gives(304)
            .header("etag", "W/\"*\"")
            .header("order-position", "*:*")
            .header("vary", "accept-encoding"),
        orders("nobody's order", "/orders/nobody")
            .problem(404, "unknown-order")
            .header("order-position", "*:*"),
        orders("nobody's order", "/order-details?orderId=nobody").problem(404, "unknown-order"),
        orders("no id", "/order-details").faults(&["?orderId"]),
        orders("two ids", "/order-details?orderId=a&order_id=b&position=x")
            .faults(&["?order_id", "?position"]),
        orders("an id that is no UTF-8", "/orders/%ff").faults(&["{orderId}"]),
        orders("an id that is no UTF-8", "/order-details?orderId=%ff").problem(400, "invalid-request"),
        orders("a head without a body", "/orders/W-1")
            .method("HEAD")
            .header("etag", "W/\"*\"")
            .header("content-type", "application/json"),
        orders("a bad id and position", "/orders/%20?position=1").faults(&["{orderId}", "?position"]),
        orders("as an event of no partition has left it", "/orders/C-1?position=77:1")
            .problem(404, "unknown-partition"),
        orders("as an event that is still to come has left it", "/orders/C-1?position=0:99999999")
            .problem(503, "not-processed")
            .header("retry-after", "1"),
    ]);
    rows
}

fn pages() -> Vec<Row> {
    vec![
        orders("a page as an event that is still to come has left it", "/orders?position=0:99999999")
            .problem(503, "not-processed"),
        orders("a page as no place has left it", "/orders?position=0:1,x").faults(&["?position"]),
        orders("orders, sorted, with what a page needs", "/orders?limit=2")
            .header("order-position", "*:*")
            .json(".count", 2)
            .json(".orders[0].orderId", "A-1")
            .json(".orders[1].orderId", "A-itemsCount")
            .json(".nextCursor", "A-itemsCount")
            .is(".orders[0].shippingCost", "number"),
        orders("the next page", "/orders/?limit=2&cursor=A-itemsCount")
            .json(".orders[0].orderId", "A-itemsNum"),
        orders("the last page has no cursor", "/orders?cursor=ORD-41&limit=1000")
            .json(".nextCursor", serde_json::Value::Null),
        orders("orders of one status, in any case", "/orders?status=Canceled")
            .json(".count", 1)
            .json(".orders[0].orderId", "ORD-41"),
        orders("behind everything", "/orders?cursor=zzz").json(".count", 0).is(".orders", "array"),
        orders("every fault of a page", "/orders?limit=0&status=lost").faults(&["?limit", "?status"]),
        orders("a limit that is too high", "/orders?limit=1001").faults(&["?limit"]),
    ]
}

fn ids() -> Vec<Row> {
    let mut rows = Vec::new();
    for name in ["topic", "topicName", "topic_name"] {
        rows.push(
            orders(
                "ids of a topic, by every name of it",
                &format!("/getAllOrderIdsFromTopic?{name}=events-of-the-contract"),
            )
            .json(".topic", "events-of-the-contract")
            .json(".topicName", "events-of-the-contract")
            .json(".orderIds[0]", "A-1")
            .json(".nextCursor", serde_json::Value::Null)
            .is(".count", "number"),
        );
    }
    rows.extend([
        orders("ids, a page", "/getAllOrderIdsFromTopic?topic=events-of-the-contract&limit=2&cursor=A-1")
            .json(".count", 2)
            .json(".orderIds[1]", "A-itemsNum")
            .json(".nextCursor", "A-itemsNum"),
        orders(
            "ids, compressed while they are sent",
            "/getAllOrderIdsFromTopic?topic=events-of-the-contract",
        )
        .with("accept-encoding", "gzip")
        .header("content-encoding", "gzip"),
        orders("a topic of somebody else", "/getAllOrderIdsFromTopic?topic=others")
            .problem(404, "unknown-topic"),
        orders("a blank topic", "/getAllOrderIdsFromTopic?topic=%20").faults(&["?topic"]),
        orders("no topic", "/getAllOrderIdsFromTopic?limit=x").faults(&["?topic", "?limit"]),
    ]);
    rows
}

fn events() -> Vec<Row> {
    vec![
        orders("what becomes of an event to come", "/events/events-of-the-contract/0/99999999")
            .json(".outcome", "pending"),
        orders("what became of an event", "/events/events-of-the-contract/0/0")
            .json(".position", "0:0")
            .is(".outcome", "string"),
        orders("a topic of somebody else", "/events/others/0/0").problem(404, "unknown-topic"),
        orders("no such partition", "/events/events-of-the-contract/77/0").problem(404, "unknown-partition"),
        orders("a place that is no UTF-8", "/events/events-of-the-contract/%ff/0").faults(&["{partition}"]),
        orders("no place at all", "/events/events-of-the-contract/a/-1").faults(&["{partition}", "{offset}"]),
    ]
}
