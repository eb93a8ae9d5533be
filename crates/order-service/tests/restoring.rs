//! What is read while the orders are restored: never an older version, and no order is told missing that may exist.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod in_process;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use order_service::view::View;
use order_service::view::status::Status;
use tower::ServiceExt;

use crate::in_process::PARTITIONS;

async fn status_of(app: &Router, path: &str) -> u16 {
    let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_order_is_shown_when_its_partition_is_restored_and_missing_when_all_are() {
    let (store, state) = (in_process::store(), in_process::state(in_process::order()));
    let own = store.partition_of("ORD-1");
    store.apply(own, vec![("ORD-1".into(), Some(state))]);
    let status = Status::new(0);
    let view = View::new(store, PARTITIONS);
    let (app, _) = in_process::app(&in_process::config(&[]), view, &status);
    let restore = |partition| status.change(partition, |status| status.restored = true);
    let paths = ["/orders/ORD-1", "/orders/ORD-2", "/orders", "/getAllOrderIdsFromTopic?topic=order-events"];
    let statuses = async || {
        let mut statuses = Vec::new();
        for path in paths {
            statuses.push(status_of(&app, path).await);
        }
        statuses
    };
    // What has been read of a partition so far may be an old version.
    assert_eq!(statuses().await, [503, 503, 503, 503]);
    restore(own);
    assert_eq!(statuses().await, [200, 503, 503, 503]);
    (0..PARTITIONS).for_each(restore);
    assert_eq!(statuses().await, [200, 404, 200, 200]);
}
