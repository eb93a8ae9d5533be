//! Consumes order events from Kafka and serves the orders over HTTP, exactly once.
//!
//! An event's way: the `pipeline` takes its record from Kafka, `event` reads it and says what it does to its order, the
//! pipeline commits that to the [`changelog`] in one transaction with the consumed offset, and only then the [`view`] shows
//! it to [`http`].

pub mod changelog;
mod clients;
pub mod config;
mod dead_letters;
mod event;
#[cfg(test)]
mod golden;
pub mod http;
mod metrics;
mod pipeline;
#[cfg(test)]
mod samples;
pub mod settings;
mod topics;
pub mod view;
mod writer;

#[cfg(test)]
extern crate self as order_service;

use std::sync::Arc;

use order_events::bootstrap::{Bootstrap, BootstrapError};
use order_events::{EventCodec, SchemaRegistry};
use prometheus_client::registry::Registry;
use service_runtime::observe::HttpMetrics;
use service_runtime::{WritesHaveKeys, app, server, shutdown};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::changelog::ChangelogCodec;
use crate::config::Config;
use crate::dead_letters::{DeadLetterTopic, DeadLetterTopicError, Index};
use crate::http::state::{AppState, Letters, LettersCell};
use crate::metrics::EventMetrics;
use crate::pipeline::{Fetcher, LogEnds, Pipeline, PipelineError};
use crate::settings::TopicNames;
use crate::topics::{OrderTopics, Shape};
use crate::view::status::{Obstacle, Status};
use crate::view::store::Store;
use crate::view::{View, ViewCell};

/// Why the service cannot go on.
#[derive(Debug, Error)]
pub enum RunError {
    /// A topic or a schema cannot be had, for good.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The pipeline cannot go on.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The dead letters cannot be read, for good.
    #[error(transparent)]
    DeadLetters(#[from] DeadLetterTopicError),
    /// The system gives no thread.
    #[error("no thread for the pipeline: {0}")]
    Thread(std::io::Error),
    /// The pipeline's thread panicked.
    #[error("the pipeline ended without a word; the log has its panic")]
    PipelineLost,
    /// The HTTP server panicked.
    #[error("the HTTP server ended without a word; the log has its panic")]
    ServerLost,
    /// The thread that reads the dead letters panicked.
    #[error("the follower of the dead letters ended without a word; the log has its panic")]
    FollowerLost,
}

/// Serves on `listener` until `stop`, which it also gives itself when it cannot go on. Takes requests at once; it is
/// ready when the orders are restored.
///
/// # Errors
/// See [`RunError`]. A broker or a registry that is away is no error: it is waited for.
pub async fn run(config: Config, listener: TcpListener, stop: CancellationToken) -> Result<(), RunError> {
    let mut metrics = Registry::default();
    let http_metrics = HttpMetrics::register(&mut metrics);
    let (view, status) = (ViewCell::default(), Status::new(config.settings.orders.ready_max_lag));
    let instance = config.clients.instance().or(config.settings.pipeline.instance_id.as_deref());
    status.set_instance(instance.map(str::to_owned));
    let event_metrics = EventMetrics::register(&mut metrics, view.clone(), status.clone());
    let letters = LettersCell::default();
    let state = AppState::new(&config, view.clone(), letters.clone(), status.clone(), metrics, stop.clone());

    let description = http::asyncapi::describe(&config.settings.topic_names());
    let router = http::router(state, description);
    // Of redrives, only what is in Kafka tells whether they were done.
    let app = app::finish(router, http_metrics, &config.settings.service.http, WritesHaveKeys::No);
    let patience = config.settings.service.patience();
    let server = shutdown::spawn(&stop, server::serve(listener, app, stop.clone(), patience));

    let processed = process(&config, view, letters, status, event_metrics, &stop).await;
    stop.cancel();
    let served = server.await.map_err(|_| RunError::ServerLost);
    info!("stopped");
    processed.and(served)
}

/// Boots, then processes events until `stop`.
async fn process(
    config: &Config,
    view_cell: ViewCell,
    letters_cell: LettersCell,
    status: Status,
    metrics: EventMetrics,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let names = config.settings.topic_names();
    let Some(booted) = stop.run_until_cancelled(boot(config, &names, &status)).await else { return Ok(()) };
    let Booted { order_topics, shape, events, changelog, registry } = booted?;
    let Shape { partitions: count, misfit } = shape;
    let partitions = usize::try_from(count).unwrap_or_default();
    topics::tell(&status, misfit);
    let events = Arc::new(events);
    let store = Store::new(changelog.clone(), partitions);
    let view = view_cell.get_or_init(|| View::new(store, partitions)).clone();
    let letters = Letters::new(config, &view, events.clone(), registry.clone());
    let index = letters_cell.get_or_init(|| letters).index.clone();
    status.restoring(partitions);

    let watch_config = config.clients.watch();
    let ends = LogEnds::default();
    let (events_topic, ends_seen) = (names.events.as_str().into(), ends.clone());
    let watch = pipeline::watch(&watch_config, events_topic, status.clone(), ends_seen, stop.clone());
    let watch_topics = order_topics.watch(count, status.clone(), stop.clone());
    let pipeline = Pipeline {
        topics: names,
        clients: config.clients.clone(),
        settings: config.settings.pipeline.clone(),
        rules: config.settings.orders.rules(),
        group: config.settings.consumer_group_id.clone(),
        events,
        changelog,
        fetcher: Fetcher::new(registry, status.clone(), stop.clone()),
        letters: index.clone(),
        letters_topic: config.dead_letter_topic.clone(),
        view,
        status,
        metrics,
        ends,
        partitions,
        runtime: Handle::current(),
        stop: stop.clone(),
    };
    let follower = follow_letters(config.dead_letter_topic.clone(), index, stop);
    let (watched, processed, followed, ()) =
        tokio::join!(watch, run_pipeline(pipeline), follower, watch_topics);
    processed?;
    followed?;
    Ok(watched.map_err(PipelineError::from)?)
}

/// Runs the pipeline on a thread of its own, since librdkafka's calls block. Cancels `stop` when it ends.
async fn run_pipeline(pipeline: Pipeline) -> Result<(), RunError> {
    let _stop = pipeline.stop.clone().drop_guard();
    let (ended, end) = oneshot::channel();
    let run = move || drop(ended.send(pipeline.run()));
    std::thread::Builder::new().name("pipeline".to_owned()).spawn(run).map_err(RunError::Thread)?;
    Ok(end.await.map_err(|_| RunError::PipelineLost)??)
}

/// Reads the dead letters into memory. Cancels `stop` when it ends.
async fn follow_letters(
    topic: DeadLetterTopic,
    index: Index,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let _stop = stop.clone().drop_guard();
    let stop = stop.clone();
    let followed = spawn_blocking(move || dead_letters::follow(&topic, &index, &stop)).await;
    Ok(followed.map_err(|_| RunError::FollowerLost)??)
}

struct Booted {
    order_topics: OrderTopics,
    shape: Shape,
    events: EventCodec,
    changelog: Arc<ChangelogCodec>,
    registry: Arc<SchemaRegistry>,
}

/// Sees to the topics and the schemas, however long it takes.
async fn boot(config: &Config, names: &TopicNames, status: &Status) -> Result<Booted, BootstrapError> {
    let waiting = |reason: &str| {
        status.set(Obstacle::Boot, reason.to_owned());
        status.beat();
    };
    let bootstrap = Bootstrap::new(&config.kafka, &config.settings.registry, &waiting)?;
    let order_topics = OrderTopics::new(bootstrap.topics(), config);
    let shape = bootstrap.prepared(|| order_topics.prepare());
    let (shape, events, changelog) =
        tokio::try_join!(shape, bootstrap.codec(&names.events), bootstrap.codec(&names.changelog))?;
    let (changelog, registry) = (Arc::new(changelog), bootstrap.registry());
    Ok(Booted { order_topics, shape, events, changelog, registry })
}
