//! Consumes order events from Kafka and serves the orders over HTTP.
//!
//! An event's way: [`consumer`] takes its record from Kafka, [`record`] reads it, [`fold`] says what it makes
//! of its order, [`store`] keeps that, and [`routes`] show it.

pub mod config;
pub mod consumer;
pub mod error;
pub mod event_key;
pub mod fold;
pub mod lag_watch;
pub mod metrics;
pub mod outcome;
pub mod progress;
pub mod query;
pub mod record;
pub mod routes;
pub mod state;
pub mod store;
pub mod view;

use std::sync::Arc;

use order_events::bootstrap::{Bootstrap, BootstrapError};
use order_events::topics::TopicSpec;
use order_events::{ClientLog, EventCodec};
use prometheus_client::registry::Registry;
use rdkafka::consumer::BaseConsumer;
use service_runtime::app;
use service_runtime::observe::HttpMetrics;
use service_runtime::server;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::Config;
use crate::consumer::{ConsumerError, EventConsumer};
use crate::metrics::EventMetrics;
use crate::progress::{Obstacle, Progress};
use crate::state::AppState;
use crate::store::Store;

/// Why the service cannot go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// A topic or a schema cannot be had, for good.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The consumer cannot go on.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// The consumer thread panicked.
    #[error("the consumer thread ended without a word")]
    ConsumerLost,
}

/// Serves on `listener` until `shutdown`. Takes requests at once; it is ready when the orders are restored.
///
/// # Errors
/// See [`RunError`]. A broker or a registry that is away is none: it is waited for.
pub async fn run(config: Config, listener: TcpListener, shutdown: CancellationToken) -> Result<(), RunError> {
    let mut metrics = Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let (store, progress) = (Store::default(), Progress::new(config.orders.ready_max_lag));
    let event_metrics = EventMetrics::register(&mut metrics, store.clone(), progress.clone());
    let state = AppState::new(&config, store.clone(), progress.clone(), metrics);

    let app = app::finish(routes::router(state), http_metrics);
    let stop = shutdown.child_token();
    let server = tokio::spawn(server::serve(listener, app, stop.clone(), config.shutdown_timeout));

    let consumed = consume(&config, store, progress, event_metrics, &stop).await;
    stop.cancel();
    // The task does not fail: a panic in it has been logged already.
    let _ = server.await;
    info!("stopped");
    consumed
}

/// Boots, then consumes until `stop`.
async fn consume(
    config: &Config,
    store: Store,
    progress: Progress,
    metrics: EventMetrics,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let Some(codec) = stop.run_until_cancelled(boot(config, &progress)).await else { return Ok(()) };
    let codec = codec?;

    let client =
        consumer::client_config(&config.kafka, &config.consumer_group_id).map_err(ConsumerError::from)?;
    let client: BaseConsumer<ClientLog> =
        client.create_with_context(ClientLog).map_err(ConsumerError::from)?;
    let client = Arc::new(client);
    let topic: Arc<str> = config.topics.order_topic.as_str().into();
    let watch = tokio::spawn(lag_watch::watch(client.clone(), topic, progress.clone(), stop.clone()));

    let consumer = EventConsumer {
        client,
        topic: config.topics.order_topic.clone(),
        codec,
        rules: config.orders.rules(),
        store,
        progress,
        metrics,
        runtime: Handle::current(),
        stop: stop.clone(),
    };
    let consumed = spawn_blocking(move || consumer.run()).await.map_err(|_| RunError::ConsumerLost)?;
    stop.cancel();
    let _ = watch.await;
    Ok(consumed?)
}

/// Sees to the topics and the schema, however long it takes.
async fn boot(config: &Config, progress: &Progress) -> Result<EventCodec, BootstrapError> {
    let waiting = |reason: &str| {
        progress.set(Obstacle::Boot, reason.to_owned());
        progress.beat();
    };
    let bootstrap = Bootstrap::new(&config.kafka, &config.registry, &waiting)?;
    let events = TopicSpec::events(&config.topics);
    let dead_letters = TopicSpec::dead_letters(&config.dlq_topic, &config.topics);
    let ((), (), codec) = tokio::try_join!(
        bootstrap.topic(&events),
        bootstrap.topic(&dead_letters),
        bootstrap.codec(&config.topics.order_topic)
    )?;
    Ok(codec)
}
