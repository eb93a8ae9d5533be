//! How the speed of order-service is measured, for the figures and for the floor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use end_to_end_tests::{Answer, Load, Service, World};
use reqwest::Method;

/// The events of a backlog.
pub(crate) const CREATES: u32 = 200_000;
/// The updates come behind all creates.
pub(crate) const UPDATES: u32 = 100_000;

/// Waits until the service has processed `events`; gives the time from the first to the last of them.
pub(crate) async fn processed(service: &Service, events: f64) -> Duration {
    let applied = r#"order_events_consumed_total{outcome="applied",reason=""}"#;
    let count = || async { service.metric(applied).await.unwrap_or(0.0) };
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut began: Option<(Instant, f64)> = None;
    loop {
        let now = count().await;
        assert!(Instant::now() < deadline, "{now} of {events} events processed\n{}", service.log());
        if now > 0.0 && began.is_none() {
            began = Some((Instant::now(), now));
        }
        if now >= events {
            return began.unwrap().0.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Puts the backlog into a new topic of this world's broker.
pub(crate) async fn backlog_in(world: World) -> World {
    let world = world.anew();
    world.cart().await.stop().await;
    let load = Load::new(&world).await;
    load.creates(0..CREATES).await;
    load.updates(0..UPDATES).await;
    world
}

/// Creates this many orders a second for ten seconds; gives how long after its answer each could be read.
pub(crate) async fn visible_after(
    cart: &Arc<Service>,
    orders: &Arc<Service>,
    name: &str,
    rate: u64,
) -> Vec<Duration> {
    let mut tasks = tokio::task::JoinSet::new();
    let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / rate));
    for number in 0..rate * 10 {
        ticks.tick().await;
        let (cart, orders, id) = (cart.clone(), orders.clone(), format!("{name}-{rate}-{number}"));
        tasks.spawn(async move {
            let created = cart.create(&id, 3).await;
            let began = Instant::now();
            let position = created.json["kafka"]["position"].as_str().expect("it was created").to_owned();
            let path = format!("/order-details?orderId={id}&position={position}");
            let read = Answer::to(orders.request(Method::GET, &path).header("prefer", "wait=30")).await;
            assert_eq!(read.status, 200, "{}", read.text);
            began.elapsed()
        });
    }
    tasks.join_all().await
}
