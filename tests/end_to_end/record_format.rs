//! What is on the wire, as a client of another language sees it.

use std::collections::HashSet;

use end_to_end_tests::{World, murmur2, python};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_python_client_sees_keys_framing_headers_and_partitions_as_promised() {
    let world = World::shared().await;
    let cart = world.cart().await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut answers = Vec::new();
    for number in 0..40 {
        let path = if number % 4 == 3 { "/update-order" } else { "/create-order" };
        let body = json!({ "orderId": format!("order-{number}-é"), "itemsCount": 2, "status": "shipped" });
        let request = cart.request(Method::POST, path).header("traceparent", trace).json(&body);
        answers.push(request.send().await.unwrap().json::<Value>().await.unwrap());
    }

    let arguments = [&world.stack().bootstrap_servers(), &world.stack().registry_url(), world.topic()];
    let printed = python::run("read_topic.py", &arguments.map(|argument| argument as &str), "");
    let records: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), answers.len());

    let mut partitions = HashSet::new();
    for answer in &answers {
        let order_id = answer["orderId"].as_str().unwrap();
        let record = records.iter().find(|record| record["key"] == order_id).expect("keyed by the order id");
        let headers = &record["headers"];
        let is_create = answer["order"]["items"].is_array();
        assert_eq!(record["magic"], 0);
        assert_eq!(record["subject_schema_id"], record["schema_id"]);
        assert_eq!(answer["kafka"]["topic"], world.topic());
        for field in ["partition", "offset"] {
            assert_eq!(answer["kafka"][field], record[field], "{order_id}");
        }
        let position = format!("{}:{}", record["partition"], record["offset"]);
        assert_eq!(answer["kafka"]["position"], position);
        assert_eq!(record["partition"], murmur2::partition(order_id.as_bytes(), 3), "{order_id}");
        partitions.insert(record["partition"].as_i64());

        assert_eq!(headers["ce_specversion"], "1.0");
        assert_eq!(headers["ce_id"], answer["eventId"]);
        let kind =
            if is_create { "com.ecommerce.order.created" } else { "com.ecommerce.order.status-updated" };
        assert_eq!(headers["ce_type"], kind);
        assert_eq!(headers["ce_source"], "/cart-service");
        assert_eq!(headers["content-type"], "application/avro");
        let event = &record["event"];
        assert_eq!(headers["ce_time"], event["timestamp"]);
        let traceparent = headers["traceparent"].as_str().unwrap();
        assert_eq!(traceparent[..36], trace[..36]);
        assert_ne!(traceparent, trace);

        assert_eq!(event["orderId"], order_id);
        assert_eq!(event["eventType"], if is_create { "CREATE" } else { "UPDATE" });
        if is_create {
            for field in ["customerId", "orderDate", "items", "totalAmount", "currency", "status"] {
                assert_eq!(event["payload"][field], answer["order"][field], "{field}");
            }
        } else {
            assert_eq!(event["payload"], json!({ "status": "shipped" }));
        }
    }
    assert_eq!(partitions.len(), 3, "the keys reach every partition");
}
