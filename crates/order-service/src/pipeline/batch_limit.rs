//! How much of a partition is processed at once.

/// A number of events, and of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) events: usize,
    /// Of what is read: keys and values of events, and the states that they change.
    pub(super) bytes: usize,
}

/// Less after a failure, which may be that it is too much to be delivered in time; then slowly more, since the first
/// batch that is too large again costs seconds.
#[derive(Debug)]
pub(super) struct BatchLimit {
    now: Size,
    most: Size,
}

/// So many successes lead from the least to the most.
const STEPS: usize = 16;

impl BatchLimit {
    pub(super) fn new(most: Size) -> Self {
        Self { now: most, most }
    }

    pub(super) fn get(&self) -> Size {
        self.now
    }

    /// A transaction went through.
    pub(super) fn grow(&mut self) {
        self.change(|now, most| (now + most.div_ceil(STEPS)).min(most));
    }

    /// A transaction failed.
    pub(super) fn shrink(&mut self) {
        self.change(|now, _| (now / 2).max(1));
    }

    fn change(&mut self, change: impl Fn(usize, usize) -> usize) {
        let Size { events, bytes } = self.most;
        self.now = Size { events: change(self.now.events, events), bytes: change(self.now.bytes, bytes) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_by_a_failure_and_grows_by_steps() {
        let mut limit = BatchLimit::new(Size { events: 1600, bytes: 160 });
        limit.shrink();
        assert_eq!(limit.get(), Size { events: 800, bytes: 80 });
        limit.grow();
        assert_eq!(limit.get(), Size { events: 900, bytes: 90 });
        for _ in 0..20 {
            limit.shrink();
        }
        assert_eq!(limit.get(), Size { events: 1, bytes: 1 });
        for _ in 0..20 {
            limit.grow();
        }
        assert_eq!(limit.get(), Size { events: 1600, bytes: 160 });
    }
}
