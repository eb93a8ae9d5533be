//! Whether an open transaction hides what is in a partition of the events.
//!
//! A consumer that reads only what is committed gets nothing behind the last stable offset: the first record of the
//! oldest transaction that is neither committed nor aborted. Where it stands still, the lag is 0 and yet events that
//! are confirmed do not come.

use std::time::{Duration, Instant};

/// A transaction that is well takes no longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// The last stable offset of one partition, as it was seen so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StableOffset {
    /// Where it was seen with records at it or behind it, and when first.
    seen: Option<(i64, Instant)>,
}

impl StableOffset {
    /// Notes where the last stable offset and the high watermark are. Returns how long the former has stood still below
    /// the latter, if that is too long.
    pub(super) fn observe(&mut self, stable: i64, high_watermark: i64, now: Instant) -> Option<Duration> {
        if high_watermark <= stable {
            self.seen = None;
            return None;
        }
        let since = match self.seen {
            Some((offset, since)) if offset == stable => since,
            _ => now,
        };
        self.seen = Some((stable, since));
        let stood = now.duration_since(since);
        (stood > PATIENCE).then_some(stood)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_hangs_only_after_it_has_stood_still_below_the_high_watermark_for_30_seconds() {
        let (mut offset, start) = (StableOffset::default(), Instant::now());
        assert_eq!(offset.observe(5, 6, start), None);
        assert_eq!(offset.observe(5, 9, start + SECOND * 30), None);
        assert_eq!(offset.observe(5, 9, start + SECOND * 31), Some(SECOND * 31));
        assert_eq!(offset.observe(5, 20, start + SECOND * 90), Some(SECOND * 90));
        // The transaction is over.
        assert_eq!(offset.observe(21, 21, start + SECOND * 92), None);
        assert_eq!(offset.observe(21, 22, start + SECOND * 93), None, "the next one has its own time");
    }

    #[test]
    fn one_that_moves_does_not_hang() {
        let (mut offset, start) = (StableOffset::default(), Instant::now());
        for second in 0..100 {
            let stable = i64::from(second / 20);
            assert_eq!(offset.observe(stable, 1000, start + SECOND * second), None, "{second}");
        }
    }

    #[test]
    fn one_at_the_high_watermark_does_not_hang() {
        let (mut offset, start) = (StableOffset::default(), Instant::now());
        assert_eq!(offset.observe(5, 5, start), None);
        assert_eq!(offset.observe(5, 5, start + SECOND * 100), None);
        assert_eq!(offset.observe(5, 6, start + SECOND * 101), None, "it has just begun");
    }
}
