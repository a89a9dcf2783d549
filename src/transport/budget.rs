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
    /// What a call earns whose success took no retry that had to be paid for.
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

    /// What is left.
    #[must_use]
    pub fn left(&self) -> u32 {
        self.left.load(Ordering::Relaxed)
    }

    /// Sets `price` aside for a retry, if that much is left.
    pub(super) fn pledge(&self, price: u32) -> Option<Pledge<'_>> {
        let pay = |left: u32| left.checked_sub(price);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).ok()?;
        Some(Pledge { budget: self, price })
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

/// The price of a retry that has not begun. Dropped, it goes back.
#[derive(Debug)]
pub(super) struct Pledge<'a> {
    budget: &'a Budget,
    price: u32,
}

impl Pledge<'_> {
    /// The retry begins. Returns what it cost.
    pub(super) fn spend(mut self) -> u32 {
        std::mem::take(&mut self.price)
    }
}

impl Drop for Pledge<'_> {
    fn drop(&mut self) {
        self.budget.give(self.price);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_spent_is_filled_and_never_holds_more_than_its_capacity() {
        let budget = Budget::new(Config { capacity: 10, ..Config::default() });
        budget.give(5);
        let spend = |price| budget.pledge(price).map(Pledge::spend);
        assert_eq!((spend(5), spend(5)), (Some(5), Some(5)));
        assert_eq!(spend(1), None, "nothing is left");
        budget.give(3);
        assert_eq!((spend(4), spend(3)), (None, Some(3)));
    }

    #[test]
    fn what_was_set_aside_for_a_retry_that_never_begins_goes_back() {
        let budget = Budget::new(Config { capacity: 5, ..Config::default() });
        let pledge = budget.pledge(5).unwrap();
        assert!(budget.pledge(1).is_none());
        drop(pledge);
        assert_eq!(budget.pledge(5).map(Pledge::spend), Some(5));
    }
}
