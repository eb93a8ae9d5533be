//! Exactly once: events in, committed states out.
//!
//! One thread does it all, since librdkafka's calls block. Each [turn](Worker::turn) of its loop collects what the group's
//! consumer has fetched (`group`), follows the changelog (`follower`), takes over partitions that the group has given
//! (`takeover`), and processes a batch (`process`): fold (`folder`, `batch`), one transaction (`transaction`), show. What
//! happens to a partition meanwhile is in `partition`.
//!
//! It is Kafka Streams' `exactly_once_v2` (KIP-447) on librdkafka; `docs/adr/0007-exactly-once.md` has the
//! protocol and what each part of it is for.

mod backlog;
mod batch;
mod batch_limit;
mod before;
mod clock;
mod damaged;
mod doubt;
mod doubts;
mod encoded;
mod error;
mod fencing;
mod folder;
mod follower;
mod gates;
mod grace;
mod group;
mod log_ends;
mod look;
mod pace;
mod partition;
mod partitions;
mod process;
mod rebalance;
mod retry;
mod schemas;
mod silence;
mod stable_offset;
mod survey;
mod tail;
mod takeover;
mod transaction;
#[cfg(test)]
mod two_owners;
mod watch;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use order_events::EventCodec;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

pub(crate) use self::error::PipelineError;
pub(crate) use self::log_ends::LogEnds;
pub(crate) use self::schemas::Fetcher;
pub(crate) use self::watch::watch;
use self::worker::Worker;
use crate::changelog::ChangelogCodec;
use crate::clients::Clients;
use crate::dead_letters::{DeadLetterTopic, Index};
use crate::event::fold::Rules;
use crate::metrics::EventMetrics;
use crate::settings::{PipelineSettings, TopicNames};
use crate::view::View;
use crate::view::status::Status;

/// What the pipeline is made of.
pub(crate) struct Pipeline {
    /// The topics that it works on.
    pub topics: TopicNames,
    /// Its clients.
    pub clients: Clients,
    /// How much it does at once.
    pub settings: PipelineSettings,
    /// The rules of the fold.
    pub rules: Rules,
    /// The consumer group, as dead letters name it.
    pub group: String,
    /// Reads the events.
    pub events: Arc<EventCodec>,
    /// Reads and writes the changelog.
    pub changelog: Arc<ChangelogCodec>,
    /// Fetches the schemas of both.
    pub fetcher: Fetcher,
    /// The dead letters in memory.
    pub letters: Index,
    /// The topic that they are in.
    pub letters_topic: DeadLetterTopic,
    /// What it shows.
    pub view: View,
    /// Where it tells how it is.
    pub status: Status,
    /// What it counts.
    pub metrics: EventMetrics,
    /// Where the watcher has seen the events end.
    pub ends: LogEnds,
    /// The number of partitions of the events topic.
    pub partitions: usize,
    /// For what must be awaited.
    pub runtime: Handle,
    /// When to end.
    pub stop: CancellationToken,
}

impl Pipeline {
    /// Restores the store, then processes events until it is told to stop.
    ///
    /// # Errors
    /// What it cannot get over, see [`PipelineError`]. Brokers and a registry that are away are waited for.
    pub(crate) fn run(self) -> Result<(), PipelineError> {
        match Worker::restore(self)? {
            Some(mut worker) => worker.run(),
            None => Ok(()),
        }
    }

    /// Waits. False if it was told to stop meanwhile.
    fn pause(&self, pause: Duration) -> bool {
        pause_on(&self.runtime, &self.stop, pause)
    }
}

/// The timer has to be made inside of the runtime, which the pipeline's thread is not.
fn pause_on(runtime: &Handle, stop: &CancellationToken, pause: Duration) -> bool {
    let timer = async { tokio::time::sleep(pause).await };
    runtime.block_on(stop.run_until_cancelled(timer)).is_some()
}

/// The number of a partition, as Kafka counts.
fn number(partition: usize) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

/// The index of a partition that has a number.
fn index_of(number: i32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_outside_of_the_runtime_can_wait_until_it_is_told_to_stop() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        let stop = CancellationToken::new();
        assert!(pause_on(runtime.handle(), &stop, Duration::from_millis(1)));
        stop.cancel();
        assert!(!pause_on(runtime.handle(), &stop, Duration::from_secs(3600)));
    }
}
