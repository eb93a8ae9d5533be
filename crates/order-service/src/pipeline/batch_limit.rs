//! How many events of a partition are processed at once.

/// Fewer after a failure, which may be that they are too many to be delivered in time; then slowly more, since the first
/// batch that is too large again costs seconds.
#[derive(Debug)]
pub(super) struct BatchLimit {
    now: usize,
    most: usize,
}

/// So many successes lead from one event to the most.
const STEPS: usize = 16;

impl BatchLimit {
    pub(super) fn new(most: usize) -> Self {
        Self { now: most, most }
    }

    pub(super) fn get(&self) -> usize {
        self.now
    }

    /// A transaction went through.
    pub(super) fn grow(&mut self) {
        self.now = (self.now + self.most.div_ceil(STEPS)).min(self.most);
    }

    /// A transaction failed.
    pub(super) fn shrink(&mut self) {
        self.now = (self.now / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_by_a_failure_and_grows_by_steps() {
        let mut limit = BatchLimit::new(1600);
        limit.shrink();
        assert_eq!(limit.get(), 800);
        limit.grow();
        assert_eq!(limit.get(), 900);
        for _ in 0..20 {
            limit.shrink();
        }
        assert_eq!(limit.get(), 1);
        for _ in 0..20 {
            limit.grow();
        }
        assert_eq!(limit.get(), 1600);
    }
}
