//! Takes orders over HTTP and publishes them as Kafka events.
//!
//! An order's way: [`routes`] reads the request, `order` makes the order, `publisher` encodes it, gives it to Kafka
//! and waits for the delivery report; only then is the client answered with a 2xx. The service keeps nothing of it.

mod api;
mod clients;
pub mod config;
pub mod error;
mod idempotency;
mod new_order;
mod order;
mod order_service;
mod publisher;
mod request;
pub mod routes;
pub mod settings;
mod state;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use order_events::EventCodec;
use order_events::bootstrap::{Bootstrap, BootstrapError};
use order_events::topic_settings::{Role, tell_weak};
use order_events::topics::Topics;
use prometheus_client::registry::Registry;
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app, server, shutdown};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

pub use self::order_service::ClientError;
pub use self::publisher::{Publisher, PublisherError, watch_broker};

use crate::config::Config;
use crate::order_service::OrderService;
use crate::state::AppState;

/// Why the service cannot go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// The Kafka client cannot be made.
    #[error(transparent)]
    Publisher(#[from] PublisherError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A topic or the schema cannot be had, for good.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The server, or what watches the brokers, panicked.
    #[error("a part of the service ended without a word; the log has its panic")]
    TaskLost,
}

/// Serves on `listener` until `stop`, which it also gives itself when it cannot go on. Takes requests at once; until
/// the topic and the schema are there, it is not ready and answers writes with 503.
///
/// # Errors
/// See [`RunError`]. A broker or a registry that is away is waited for.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> Result<(), RunError> {
    let (app, publisher) = assemble(&config, &stop)?;
    let mut patience = config.settings.service.patience();
    // Requests do not take all of the time: events whose clients are gone want to be delivered too.
    patience.grace = patience.grace.mul_f64(0.9);
    let server = shutdown::spawn(&stop, server::serve(listener, app, stop.clone(), patience));
    let watch = shutdown::spawn(&stop, watch_broker(publisher.clone(), stop.clone()));

    let booted = match stop.run_until_cancelled(boot(&config, &publisher)).await {
        Some(Ok(Booted { topics, codec, partitions })) => {
            publisher.begin(codec, partitions);
            let topic = config.settings.topics.order_topic.as_str();
            info!(topic, "ready to publish");
            stop.run_until_cancelled(tell_weak(&topics, &[(topic, Role::Events)])).await;
            stop.cancelled().await;
            Ok(())
        }
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    stop.cancel();
    let time_is_up = Instant::now() + config.settings.service.shutdown_timeout;
    let ended = server.await.and(watch.await);
    publisher.flush(time_is_up.saturating_duration_since(Instant::now())).await;
    info!("stopped");
    booted?;
    ended.map_err(|_| RunError::TaskLost)
}

/// The service without its server: every route, and the publisher, which waits for its topic and its schema. `stop`
/// ends the requests that wait for order-service.
///
/// # Errors
/// A client cannot be made.
pub fn assemble(config: &Config, stop: &CancellationToken) -> Result<(Router, Arc<Publisher>), RunError> {
    let mut metrics = Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let publisher = Arc::new(Publisher::new(config, &mut metrics)?);
    let settings = &config.settings;
    let state = AppState {
        orders: Arc::new(settings.orders.clone()),
        publisher: publisher.clone(),
        order_service: OrderService::new(&settings.outcomes, stop.clone())?,
        default_wait: settings.outcomes.default_wait,
        metrics: Arc::new(metrics),
    };
    Ok((
        app::finish(routes::router(state), http_metrics, &settings.service.http, WritesHaveKeys::Yes),
        publisher,
    ))
}

struct Booted {
    topics: Arc<Topics>,
    codec: EventCodec,
    /// Of the events topic.
    partitions: i32,
}

/// Sees to the topic and the schema, however long it takes.
async fn boot(config: &Config, publisher: &Publisher) -> Result<Booted, BootstrapError> {
    let waiting = |reason: &str| publisher.waits_for(reason);
    let bootstrap = Bootstrap::new(&config.kafka, &config.settings.registry, &waiting)?;
    let topics = &config.settings.topics;
    let (partitions, codec) =
        tokio::try_join!(bootstrap.events(topics), bootstrap.codec(&topics.order_topic))?;
    Ok(Booted { topics: bootstrap.topics(), codec, partitions })
}
