//! The limit on dead letters at work: stops partitions, lets them go on, and tells of it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{error, info, warn};

use super::Pipeline;
use super::clock::Now;
use super::partition::Partition;
use crate::dead_letters::{Change, PROBE, Tally};
use crate::view::status::{Obstacle, Stopped};

/// Lets the partitions of this instance go on whose stop is over.
pub(super) fn tick(pipeline: &Pipeline, partitions: &mut [Partition]) {
    let now = Instant::now();
    for index in 0..partitions.len() {
        if let Some(change) = partitions[index].tick(now) {
            changed(pipeline, partitions, index, change);
        }
    }
}

/// Counts the letters of a batch that was committed.
pub(super) fn count(pipeline: &Pipeline, partitions: &mut [Partition], index: usize, tally: Tally) {
    if let Some(change) = partitions[index].count_letters(tally, Instant::now()) {
        changed(pipeline, partitions, index, change);
    }
}

fn changed(pipeline: &Pipeline, partitions: &[Partition], index: usize, change: Change) {
    match change {
        Change::Stopped(pause) => {
            let pause = humantime::format_duration(pause);
            error!(partition = index, %pause, "too many events become dead letters (DLQ_LIMIT); the partition stops");
        }
        Change::Probing => {
            warn!(
                partition = index,
                events = PROBE,
                "a probe of the stopped partition's events is processed"
            );
        }
        Change::Resumed => {
            info!(partition = index, "the partition goes on; DLQ_LIMIT was not reached again");
        }
    }
    tell(pipeline, partitions);
}

/// Tells which of the partitions that this instance processes are stopped.
pub(super) fn tell(pipeline: &Pipeline, partitions: &[Partition]) {
    let now = Now::read();
    let mut stops = Vec::new();
    for (index, partition) in partitions.iter().enumerate() {
        let stop = partition.stop();
        let stopped = stop.map(|stop| Stopped {
            since: moment(now, stop.since),
            until: stop.until.map(|until| moment(now, until)),
        });
        if let (Some(stop), Some(stopped)) = (stop, &stopped) {
            let how = match stopped.until {
                Some(until) => format!("partition {index} is stopped until {until:.0}"),
                None => format!("partition {index} processes a probe of {PROBE} events"),
            };
            stops.push((stop.bounds, how));
        }
        pipeline.status.change(index, |status| status.stopped = stopped);
    }
    pipeline.metrics.stopped(!stops.is_empty());
    let Some((bounds, _)) = stops.first() else {
        pipeline.status.clear(Obstacle::DeadLetters);
        return;
    };
    let which: Vec<&str> = stops.iter().map(|(_, how)| how.as_str()).collect();
    let reason =
        format!("too many events become dead letters: DLQ_LIMIT={bounds} is reached; {}", which.join(", "));
    pipeline.status.set(Obstacle::DeadLetters, reason);
}

/// The time of day of `then`.
fn moment(now: Now, then: Instant) -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let offset = match then.checked_duration_since(now.instant) {
        Some(ahead) => millis(ahead),
        None => -millis(now.instant.duration_since(then)),
    };
    Timestamp::from_millisecond(now.millis.saturating_add(offset)).unwrap_or_default()
}
