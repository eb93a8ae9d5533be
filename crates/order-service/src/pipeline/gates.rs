//! The limit on dead letters at work: stops partitions, lets them go on, and tells of it.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use tracing::{error, info, warn};

use super::{Worker, now};
use crate::dead_letters::{Change, PROBE, Tally};
use crate::view::status::{Obstacle, Stopped};

impl Worker {
    /// Lets the partitions of this instance go on whose stop is over.
    pub(super) fn tick_gates(&mut self) {
        let now = Instant::now();
        for index in 0..self.partitions.len() {
            let partition = &mut self.partitions[index];
            let change = if partition.is_ours() { partition.gate.tick(now) } else { None };
            if let Some(change) = change {
                self.gate_changed(index, change);
            }
        }
    }

    /// Counts the letters of a batch that was committed.
    pub(super) fn count_letters(&mut self, index: usize, tally: Tally) {
        if let Some(change) = self.partitions[index].gate.note(tally, Instant::now()) {
            self.gate_changed(index, change);
        }
    }

    fn gate_changed(&mut self, index: usize, change: Change) {
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
        self.tell_stops();
    }

    /// Tells which of the partitions that this instance processes are stopped.
    pub(super) fn tell_stops(&self) {
        let (at, at_millis) = (Instant::now(), now());
        let mut stops = Vec::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            let stop = partition.gate.stop().filter(|_| partition.is_ours());
            let stopped = stop.map(|stop| Stopped {
                since: moment(at_millis, stop.since, at),
                until: stop.until.map(|until| moment(at_millis, until, at)),
            });
            if let (Some(stop), Some(stopped)) = (stop, &stopped) {
                let how = match stopped.until {
                    Some(until) => format!("partition {index} is stopped until {until:.0}"),
                    None => format!("partition {index} processes a probe of {PROBE} events"),
                };
                stops.push((stop.bounds, how));
            }
            self.pipeline.status.change(index, |status| status.stopped = stopped);
        }
        self.pipeline.metrics.stopped(!stops.is_empty());
        let Some((bounds, _)) = stops.first() else {
            self.pipeline.status.clear(Obstacle::DeadLetters);
            return;
        };
        let which: Vec<&str> = stops.iter().map(|(_, how)| how.as_str()).collect();
        let reason = format!(
            "too many events become dead letters: DLQ_LIMIT={bounds} is reached; {}",
            which.join(", ")
        );
        self.pipeline.status.set(Obstacle::DeadLetters, reason);
    }
}

/// The time of day of `then`, when that of `now` is known.
fn moment(now_millis: i64, then: Instant, now: Instant) -> Timestamp {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let offset = match then.checked_duration_since(now) {
        Some(ahead) => millis(ahead),
        None => -millis(now.duration_since(then)),
    };
    Timestamp::from_millisecond(now_millis.saturating_add(offset)).unwrap_or_default()
}
