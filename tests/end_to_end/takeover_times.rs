//! How long nobody processes when an instance goes: by name it is back at once, a planned stop is noticed at
//! once, and a death within a session.

use std::time::{Duration, Instant};

use end_to_end_tests::traffic::EVERYTHING;
use end_to_end_tests::{Service, Trial, World, eventually};

/// A session that is over long after the test: what is quicker did not wait for it. How many seconds it takes, on a
/// machine that does nothing else, the benchmark `takeover` tells.
const LONG_SESSION: Duration = Duration::from_secs(60);

/// Far below that, also on a busy machine.
const WITHOUT_SESSION: Duration = Duration::from_secs(20);

async fn trial(session: Duration) -> Trial {
    let world = World::shared().await.with("KAFKA_SESSION_TIMEOUT_MS", &session.as_millis().to_string());
    Trial::under(world, EVERYTHING, 100).await
}

/// The next event that is written now is shown by this instance after this time.
async fn fresh_data_after(trial: &Trial, service: &Service, began: Instant) -> Duration {
    let ends: Vec<i64> = {
        let events = tokio::task::block_in_place(|| trial.world.events().read());
        let end = |partition| {
            let of_it = events.iter().filter(move |record| record.partition == partition);
            of_it.map(|record| record.offset).max().unwrap_or_default()
        };
        (0..3).map(end).collect()
    };
    eventually("it shows fresh data of every partition", async || {
        let partitions = service.partitions().await;
        let is_fresh =
            |(end, partition): (&i64, &serde_json::Value)| partition["position"].as_i64() > Some(*end);
        (partitions.len() == 3 && ends.iter().zip(&partitions).all(is_fresh)).then(|| began.elapsed())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_with_a_name_processes_again_before_its_session_is_over() {
    let trial = trial(LONG_SESSION).await;
    let service = trial.named("one").await;
    service.processing(3).await;
    service.kill().await;
    let began = Instant::now();
    let service = trial.named("one").await;
    service.processing(3).await;
    let took = began.elapsed();
    assert!(took < WITHOUT_SESSION, "{took:?}");
}

/// Lets one of two instances end; gives how long it takes until the other one processes everything and shows it.
async fn replaced_after(session: Duration, end: impl AsyncFnOnce(Service)) -> Duration {
    let trial = trial(session).await;
    let (first, second) = (trial.world.orders().await, trial.world.orders().await);
    eventually("both have a share", async || {
        (first.active().await > 0 && second.active().await > 0).then_some(())
    })
    .await;
    let began = Instant::now();
    end(first).await;
    second.processing(3).await;
    fresh_data_after(&trial, &second, began).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_instance_is_replaced_before_its_session_is_over() {
    let took = replaced_after(LONG_SESSION, Service::stop).await;
    assert!(took < WITHOUT_SESSION, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_instance_is_replaced_when_its_session_is_over() {
    let session = Duration::from_secs(6);
    let took = replaced_after(session, Service::kill).await;
    assert!(took < session + WITHOUT_SESSION, "{took:?}");
}
