//! Whether the topics go together. Only then may events be processed; what was processed can be read in any case.

use std::sync::Arc;
use std::time::Duration;

use order_events::config::TopicArgs;
use order_events::topic_settings::{self, INTERNAL, Role};
use order_events::topics::{TopicError, TopicSpec, Topics, check_partitions};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::settings::TopicNames;
use crate::view::status::{Obstacle, Status};

/// How often the topics are looked at while the service runs.
const INTERVAL: Duration = Duration::from_secs(2);

/// The topics of the service, on their brokers.
pub(crate) struct OrderTopics {
    topics: Arc<Topics>,
    names: TopicNames,
    args: TopicArgs,
}

/// What the boot finds or makes.
pub(crate) struct Shape {
    /// The number of partitions of the changelog, and so of the orders in memory.
    pub(crate) partitions: i32,
    /// Why nothing can be processed, if so.
    pub(crate) misfit: Option<TopicError>,
}

impl OrderTopics {
    /// As they are named in the settings.
    pub(crate) fn new(topics: Arc<Topics>, config: &Config) -> Self {
        Self { topics, names: config.settings.topic_names(), args: config.settings.topics.clone() }
    }

    /// Makes what is missing. The changelog is made only for a topic of events that is as it should be.
    ///
    /// # Errors
    /// The topics cannot be had, or there is nothing yet that could be shown.
    pub(crate) async fn prepare(&self) -> Result<Shape, TopicError> {
        let events = self.topics.ensure(&TopicSpec::events(&self.args)).await?;
        self.topics.ensure(&TopicSpec::dead_letters(&self.names.dead_letters, &self.args)).await?;
        if let Err(misfit) = check_partitions(&self.args, events) {
            return match self.topics.find(&self.names.changelog).await? {
                Some(partitions) => Ok(Shape { partitions, misfit: Some(misfit) }),
                None => Err(misfit),
            };
        }
        let partitions = self.topics.ensure(&self.changelog(events)).await?;
        Ok(Shape { partitions, misfit: self.misfit(events).await? })
    }

    fn changelog(&self, partitions: i32) -> TopicSpec<'_> {
        TopicSpec::changelog(&self.names.changelog, partitions, &self.args)
    }

    /// Why nothing can be processed, if so. The events topic had `had` partitions before.
    ///
    /// # Errors
    /// The brokers do not tell.
    async fn misfit(&self, had: i32) -> Result<Option<TopicError>, TopicError> {
        let events = self.topics.partitions(&self.names.events).await?;
        let checked = match check_partitions(&self.args, events) {
            Ok(()) => self.topics.check_changelog(&self.changelog(events), &self.names.events).await,
            misfit => misfit,
        };
        match checked {
            Ok(()) if events == had => Ok(None),
            Ok(()) => Ok(Some(TopicError::PartitionsChanged { topic: self.names.events.clone(), had })),
            Err(error) if error.is_misfit() => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Tells what is weak in the settings of the topics, and of Kafka's own, once.
    async fn tell_weak(&self) {
        let TopicNames { events, changelog, dead_letters } = &self.names;
        let own: [(&str, Role); 3] =
            [(events, Role::Events), (changelog, Role::Results), (dead_letters, Role::Results)];
        topic_settings::tell_weak(&self.topics, &[own.as_slice(), &INTERNAL].concat()).await;
    }

    /// Tells what is weak in the topics, and keeps it told in `status` whether events can be processed, until `stop`. The service works with `partitions`.
    pub(crate) async fn watch(self, partitions: i32, status: Status, stop: CancellationToken) {
        let watch = async {
            loop {
                tokio::time::sleep(INTERVAL).await;
                match self.misfit(partitions).await {
                    Ok(misfit) => tell(&status, misfit),
                    // Whoever reads or writes the topic tells that, if it matters.
                    Err(error) => debug!(%error, "the topics cannot be looked at"),
                }
            }
        };
        stop.run_until_cancelled(async { tokio::join!(watch, self.tell_weak()) }).await;
    }
}

/// Tells why nothing can be processed, or that it can.
pub(crate) fn tell(status: &Status, misfit: Option<TopicError>) {
    match misfit {
        Some(misfit) => {
            if !status.has(Obstacle::Topics) {
                warn!(reason = %misfit, "nothing is processed");
            }
            status.set(Obstacle::Topics, misfit.to_string());
        }
        None => {
            if status.clear(Obstacle::Topics) {
                info!("the topics go together again");
            }
        }
    }
}
