//! What the service says of itself.

use tokio_util::sync::CancellationToken;

use crate::service::{Service, cluster, eventually};

const UPDATE: &str = r#"{"orderId": "A", "status": "shipped"}"#;

#[tokio::test]
async fn a_service_that_boots_lives_and_is_not_ready() {
    let service = Service::booting(&[]);
    let health = service.get("/health").await;
    assert_eq!(health.status, 503);
    assert_eq!((&health.json["status"], &health.json["reason"]), (&"unhealthy".into(), &"starting".into()));
    let live = service.get("/health/live").await;
    assert_eq!((live.status, &live.json["status"]), (200, &"live".into()));
    let ready = service.get("/health/ready").await;
    assert_eq!(ready.problem(), (503, "not-ready"));
    assert_eq!(ready.json["detail"], "Not ready: starting.");
    let write = service.write("PUT", "/update-order", &[], UPDATE).await;
    assert_eq!((write.problem(), write.header("retry-after")), ((503, "not-published"), Some("2")));
}

#[tokio::test]
async fn a_broker_that_goes_away_is_told_and_one_that_comes_back_too() {
    let cluster = cluster();
    let service = Service::publishing(&cluster, &[]).await;
    let ready = async || service.get("/health/ready").await;
    assert_eq!(ready().await.json["status"], "ready");
    let stop = CancellationToken::new();
    let watch = tokio::spawn(cart_service::watch_broker(service.publisher.clone(), stop.clone()));

    cluster.broker_down(1).unwrap();
    eventually(async || ready().await.status == 503).await;
    let health = service.get("/health").await;
    assert_eq!((health.status, &health.json["kafka"]), (503, &"disconnected".into()));
    let reason = health.json["reason"].as_str().unwrap();
    assert!(reason.contains(&cluster.bootstrap_servers()) && reason.contains("do not answer"), "{reason}");

    cluster.broker_up(1).unwrap();
    eventually(async || ready().await.status == 200).await;
    assert_eq!(service.get("/health").await.json["kafka"], "connected");
    stop.cancel();
    watch.await.unwrap();
}

#[tokio::test]
async fn events_are_counted_by_outcome_and_requests_by_route() {
    let service = Service::booting(&[]);
    service.write("PUT", "/update-order", &[], UPDATE).await;
    service.get("/nowhere").await;
    let metrics = service.get("/metrics").await.text;
    for line in [
        r#"order_events_published_total{event_type="UPDATE",outcome="not_ready"} 1"#,
        r#"http_requests_total{method="PUT",route="/update-order",status="503"} 1"#,
        r#"http_requests_total{method="GET",route="(none)",status="404"} 1"#,
        "order_event_delivery_seconds_count 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn the_description_has_the_limit_that_is_set() {
    let api = Service::booting(&["--max-items", "7"]).get("/openapi.json").await.json;
    let properties = |schema: &str| api["components"]["schemas"][schema]["properties"].clone();
    assert_eq!(properties("CreateOrderRequest")["itemsCount"]["maximum"], 7);
    assert_eq!(properties("NewOrderRequest")["items"]["maxItems"], 7);
}
