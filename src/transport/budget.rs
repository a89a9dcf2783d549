//! The budget that retries are paid from, shared by all calls of a region: in an outage it is soon spent, and what
//! reaches the server is hardly more than what callers asked for.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// What retries cost and successes earn
/// (docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html, the standard mode, has the mechanism).
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// What the budget holds at the start, and at most.
    pub capacity: u32,
    /// The price of a retry.
    pub retry: u32,
    /// The price of a retry after a failure that may have left the server at work.
    pub after_ambiguous: u32,
    /// What a call that needed no retry earns.
    pub success: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { capacity: 100, retry: 5, after_ambiguous: 14, success: 1 }
    }
}

/// What is left.
#[derive(Debug)]
pub struct Budget {
    pub(super) config: Config,
    left: AtomicU32,
}

impl Budget {
    /// A full one.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, left: AtomicU32::new(config.capacity) }
    }

    /// Takes `price`, if that much is left.
    pub(super) fn take(&self, price: u32) -> bool {
        let pay = |left: u32| left.checked_sub(price);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok()
    }

    /// Gives back, up to the capacity.
    pub(super) fn give(&self, earned: u32) {
        let earn = |left: u32| {
            let more = left.saturating_add(earned).min(self.config.capacity);
            (more != left).then_some(more)
        };
        // A full budget is left alone.
        let _full = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, earn);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_spent_is_filled_and_never_holds_more_than_its_capacity() {
        let budget = Budget::new(Config { capacity: 10, ..Config::default() });
        budget.give(5);
        assert!(budget.take(5) && budget.take(5));
        assert!(!budget.take(1), "nothing is left");
        budget.give(3);
        assert!(!budget.take(4) && budget.take(3));
    }
}
