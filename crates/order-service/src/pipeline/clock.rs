//! The time by both clocks.

use std::time::Instant;

use jiff::Timestamp;

/// One moment: by the monotonic clock, which waits go by, and by the wall clock, which is written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    /// By the monotonic clock.
    pub(super) instant: Instant,
    /// By the wall clock, in milliseconds since 1970.
    pub(super) millis: i64,
}

impl Now {
    /// Looks at both clocks.
    pub(super) fn read() -> Self {
        Self { instant: Instant::now(), millis: Timestamp::now().as_millisecond() }
    }
}
