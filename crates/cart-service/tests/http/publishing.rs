//! What is published, and what a client is told when it is not.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde_json::Value;

use crate::service::{Answer, Cluster, Service, TOPIC, cluster, eventually};

const CREATE: &str = r#"{"orderId": "41", "itemsCount": 2}"#;

/// A consumer of what is at the place that an answer tells.
fn consumer(cluster: &Cluster, answer: &Answer) -> BaseConsumer {
    let number = |name: &str| answer.json["kafka"][name].as_i64().unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "test");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut place = TopicPartitionList::new();
    let partition = number("partition").try_into().unwrap();
    place.add_partition_offset(TOPIC, partition, Offset::Offset(number("offset"))).unwrap();
    consumer.assign(&place).unwrap();
    consumer
}

fn header<'a>(record: &'a BorrowedMessage<'_>, name: &str) -> &'a str {
    let mut headers = record.headers().unwrap().iter();
    std::str::from_utf8(headers.find(|header| header.key == name).unwrap().value.unwrap()).unwrap()
}

#[tokio::test]
async fn a_new_order_is_in_the_log_where_its_answer_says() {
    let cluster = cluster();
    let service = Service::publishing(&cluster, &[]).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = service.write("POST", "/create-order", &[("traceparent", trace)], CREATE).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    assert_eq!(answer.json["orderId"], "ORD-41");
    assert_eq!(answer.json["order"]["items"].as_array().unwrap().len(), 2);
    assert!(answer.header("location").unwrap().ends_with("/orders/ORD-41"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.json.get("outcome"), None);

    let consumer = consumer(&cluster, &answer);
    let record = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
    assert_eq!(record.key(), Some(&b"ORD-41"[..]));
    assert_eq!(header(&record, "ce_id"), answer.json["eventId"].as_str().unwrap());
    assert_eq!(header(&record, "ce_source"), "/cart-service");
    let parent = header(&record, "traceparent");
    assert!(parent.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && parent != trace, "{parent}");
    assert_eq!(record.payload().unwrap()[..5], [0, 0, 0, 0, 7], "the schema's id is before the value");
}

#[tokio::test]
async fn every_way_to_update_gives_the_same_answer() {
    let cluster = cluster();
    let service = Service::publishing(&cluster, &[]).await;
    let body = r#"{"order_id": "41", "status": "Canceled"}"#;
    let cases = [("PUT", "/update-order"), ("POST", "/update-order"), ("PATCH", "/orders/41")];
    let mut partitions = Vec::new();
    for (method, path) in cases {
        let answer = service.write(method, path, &[], body).await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text);
        assert_eq!(answer.json["update"], answer.json["order"]);
        assert_eq!(answer.json["order"]["orderId"], "ORD-41");
        assert_eq!(answer.json["order"]["status"], "cancelled");
        assert_eq!(answer.header("location"), None);
        partitions.push(answer.json["kafka"]["partition"].clone());
    }
    assert!(partitions.iter().all(|partition| *partition == partitions[0]), "{partitions:?}");
}

#[tokio::test]
async fn the_same_key_makes_the_same_event_of_one_order() {
    let cluster = cluster();
    let service = Service::publishing(&cluster, &[]).await;
    let create = async |body: &str, key: &[(&str, &str)]| {
        let mut answer = service.write("POST", "/create-order", key, body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        // The time is of each request.
        answer.json["order"]["orderDate"] = Value::Null;
        (answer.json["eventId"].clone(), answer.json["order"].clone())
    };
    let first = create(CREATE, &[("idempotency-key", "k")]).await;
    assert_eq!(create(CREATE, &[("x-idempotency-key", "\"k\"")]).await, first);
    assert_ne!(create(r#"{"orderId": "42", "itemsCount": 2}"#, &[("idempotency-key", "k")]).await.0, first.0);
    assert_ne!(create(CREATE, &[]).await.0, create(CREATE, &[]).await.0);

    let whole = r#"{"customer_id": "c", "items": [{"product_id": "p", "quantity": 2, "price": 29.99}]}"#;
    let place = async || {
        let answer = service.write("POST", "/orders", &[("idempotency-key", "k")], whole).await;
        assert_eq!(answer.json["order"]["totalAmount"], 59.98, "{}", answer.text);
        answer.json["orderId"].clone()
    };
    assert_eq!(place().await, place().await, "an order without an id gets one of its key");
}

#[tokio::test]
async fn what_kafka_refuses_is_certainly_not_published() {
    let cases = [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, (503, "not-published"), Some("2")),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, (413, "blank"), None),
    ];
    for (error, problem, retry_after) in cases {
        let cluster = cluster();
        let service = Service::publishing(&cluster, &[]).await;
        cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
        let answer = service.write("POST", "/create-order", &[], CREATE).await;
        assert_eq!((answer.problem(), answer.header("retry-after")), (problem, retry_after));
        eventually(async || service.write("POST", "/create-order", &[], CREATE).await.status == 201).await;
    }
}

#[tokio::test]
async fn an_event_that_nobody_confirms_may_be_there_and_only_a_key_makes_it_safe_to_repeat() {
    let cluster = cluster();
    let service = Service::publishing(&cluster, &["--delivery-timeout", "2s"]).await;
    cluster.broker_down(1).unwrap();
    let write = async |key: &[(&str, &str)]| service.write("POST", "/create-order", key, CREATE).await;
    let (with_key, without) = tokio::join!(write(&[("idempotency-key", "k")]), write(&[]));
    for (answer, retry_after) in [(with_key, Some("2")), (without, None)] {
        assert_eq!(answer.problem(), (503, "delivery-unknown"), "{}", answer.text);
        assert_eq!(answer.header("retry-after"), retry_after);
        assert!(answer.json["eventId"].is_string());
    }
}
