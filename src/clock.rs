#![expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
//! The one reader of the wall clock. It knows how far ours is from OCI's.
//!
//! Deadlines and delays are no business of this clock: they count on `Instant`, which never steps.

use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

/// Differences up to this are the network's and the rounding of dates to seconds.
const TOLERANCE_MS: i64 = 30_000;

/// A date further away than this is not believed: it would keep every request from being valid.
const MAX_OFFSET_MS: i64 = 24 * 60 * 60 * 1000;

/// What time OCI thinks it is. Clones share what was learnt.
#[derive(Clone)]
pub struct Clock {
    source: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    offset_ms: Arc<AtomicI64>,
    /// What the machine's clock said when that was learnt, and when that was.
    learnt: Arc<Mutex<Option<(SystemTime, Instant)>>>,
    /// By how much OCI's clock was ahead when it last told its time.
    seen_ms: Arc<AtomicI64>,
}

/// OCI has not told its time yet.
const UNSEEN: i64 = i64::MIN;

/// The clock was wrong when a request was signed, and is right now: sign it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Correction {
    /// This observation corrected the clock; worth a line in the log.
    Made {
        /// What is added to the machine's clock from now on, in milliseconds.
        offset_ms: i64,
    },
    /// Another call's observation had corrected it in the meantime.
    AlreadyMade,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::with_source(Arc::new(SystemTime::now))
    }

    /// A clock over any source of time, for tests.
    pub fn with_source(source: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        let (offset_ms, seen_ms) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(UNSEEN)));
        Self { source, offset_ms, learnt: Arc::default(), seen_ms }
    }

    /// The machine's time, corrected by what was observed.
    pub fn now(&self) -> SystemTime {
        let time = (self.source)();
        self.forget_after_a_step(time);
        shift(time, self.offset_ms()).unwrap_or(time)
    }

    /// What was learnt about a clock is worth nothing once somebody has set it. Waiting for OCI to refuse the next
    /// date would not do: where tokens seem to have expired, nothing is sent that OCI could refuse.
    fn forget_after_a_step(&self, time: SystemTime) {
        // Nothing is corrected: nobody waits for anybody to find that out.
        if self.offset_ms() == 0 {
            return;
        }
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let stepped = learnt.is_some_and(|(then, at)| {
            let passed = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
            difference_ms(time, then).saturating_sub(passed).abs() > TOLERANCE_MS
        });
        if stepped {
            *learnt = None;
            self.offset_ms.store(0, Ordering::Relaxed);
        }
    }

    /// What is added to the machine's clock, in milliseconds; positive when ours is slow.
    pub fn offset_ms(&self) -> i64 {
        self.offset_ms.load(Ordering::Relaxed)
    }

    /// Takes note of the `Date` of any answer of OCI's. That corrects nothing: a date which OCI accepted is good enough.
    pub fn note(&self, server_date: SystemTime) {
        // A date has no fraction of a second; on average it is half of one ago.
        let difference = difference_ms(server_date, (self.source)()).saturating_add(500);
        self.seen_ms.store(difference, Ordering::Relaxed);
    }

    /// By how much OCI's clock was ahead of the machine's when it last told its time, in milliseconds and right to a
    /// second or so; negative when the machine's is ahead.
    pub fn seen_ms(&self) -> Option<i64> {
        Some(self.seen_ms.load(Ordering::Relaxed)).filter(|seen| *seen != UNSEEN)
    }

    /// Judges the `Date` of a 401 that answers a request signed with the date `signed_at`.
    ///
    /// `None`: the date was not the reason, or the answer's date is not to be believed; signing again would
    /// change nothing. The comparison is with the date that was sent, not with the present one: of many calls
    /// that were refused together only one makes the correction, and each of them has to sign again.
    pub fn observe(&self, signed_at: SystemTime, server_date: SystemTime) -> Option<Correction> {
        if difference_ms(server_date, signed_at).abs() <= TOLERANCE_MS {
            return None;
        }
        let offset_ms = difference_ms(server_date, (self.source)());
        if offset_ms.abs() > MAX_OFFSET_MS {
            return None;
        }
        let known = self.offset_ms();
        if offset_ms.saturating_sub(known).abs() <= TOLERANCE_MS {
            return Some(Correction::AlreadyMade);
        }
        match self.offset_ms.compare_exchange(known, offset_ms, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                let learnt = ((self.source)(), Instant::now());
                *self.learnt.lock().unwrap_or_else(PoisonError::into_inner) = Some(learnt);
                Some(Correction::Made { offset_ms })
            }
            Err(_) => Some(Correction::AlreadyMade),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clock").field("offset_ms", &self.offset_ms()).finish_non_exhaustive()
    }
}

fn shift(time: SystemTime, by_ms: i64) -> Option<SystemTime> {
    let by = Duration::from_millis(by_ms.unsigned_abs());
    if by_ms < 0 { time.checked_sub(by) } else { time.checked_add(by) }
}

/// `to - from`, at most what an `i64` holds with either sign.
fn difference_ms(to: SystemTime, from: SystemTime) -> i64 {
    let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(ahead) => millis(ahead),
        Err(behind) => -millis(behind.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::UNIX_EPOCH;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;

    fn at(ms: i64) -> SystemTime {
        shift(UNIX_EPOCH, 2_000_000_000_000 + ms).unwrap()
    }

    /// A machine whose clock can be set, and reads `ms` after `at(0)`.
    fn machine() -> (Arc<AtomicI64>, Clock) {
        let ms = Arc::new(AtomicI64::new(0));
        let reading = Arc::clone(&ms);
        (ms, Clock::with_source(Arc::new(move || at(reading.load(Ordering::Relaxed)))))
    }

    /// Nothing is observed in between: where tokens seem to have expired, nothing is sent.
    #[test]
    fn a_machine_whose_clock_is_set_forgets_what_was_learnt_about_it() {
        for (behind, set) in [(-300 * MINUTE, 300 * MINUTE), (300 * MINUTE, -300 * MINUTE)] {
            let (ms, clock) = machine();
            clock.observe(clock.now(), at(-behind)).unwrap();
            assert_eq!(clock.now(), at(-behind));
            ms.store(set, Ordering::Relaxed);
            assert_eq!((clock.now(), clock.offset_ms()), (at(set), 0));
        }
    }

    #[test]
    fn a_difference_over_thirty_seconds_is_kept_and_applied() {
        let cases = [
            (0, None),
            (30_000, None),
            (-30_000, None),
            (30_001, Some(30_001)),
            (-30_001, Some(-30_001)),
            (-10 * MINUTE, Some(-10 * MINUTE)),
            (DAY, Some(DAY)),
            (-DAY, Some(-DAY)),
            (DAY + 1, None),
            (-DAY - 1, None),
            (75 * 365 * DAY, None),
        ];
        for (skew, kept) in cases {
            let (_, clock) = machine();
            let correction = clock.observe(clock.now(), at(skew));
            assert_eq!(correction, kept.map(|offset_ms| Correction::Made { offset_ms }), "{skew}");
            assert_eq!(clock.offset_ms(), kept.unwrap_or(0), "{skew}");
            assert_eq!(clock.now(), at(kept.unwrap_or(0)), "{skew}");
        }
    }

    #[test]
    fn every_call_refused_together_signs_again_and_one_of_them_logs() {
        let (_, clock) = machine();
        let signed_at = clock.now();
        let answers: Vec<_> = (0..3).map(|late| clock.observe(signed_at, at(10 * MINUTE + late))).collect();
        let made = Some(Correction::Made { offset_ms: 10 * MINUTE });
        assert_eq!(answers, [made, Some(Correction::AlreadyMade), Some(Correction::AlreadyMade)]);
        assert_eq!(
            clock.observe(clock.now(), at(10 * MINUTE)),
            None,
            "a right date refused is no clock's fault"
        );
    }

    #[test]
    fn an_unbelievable_date_leaves_an_earlier_correction_alone() {
        let (_, clock) = machine();
        clock.observe(clock.now(), at(MINUTE)).unwrap();
        assert_eq!(clock.observe(clock.now(), at(400 * DAY)), None);
        assert_eq!(clock.offset_ms(), MINUTE);
    }

    #[test]
    fn what_time_oci_tells_is_known_without_a_refusal_and_corrects_nothing() {
        let (_, clock) = machine();
        assert_eq!(clock.seen_ms(), None);
        for skew in [0, 12_000, -12_000, -10 * MINUTE, 400 * DAY] {
            clock.clone().note(at(skew));
            assert_eq!(clock.seen_ms(), Some(skew + 500));
            assert_eq!((clock.now(), clock.offset_ms()), (at(0), 0));
        }
    }

    #[test]
    fn clones_share_the_correction() {
        let (_, clock) = machine();
        clock.clone().observe(clock.now(), at(MINUTE)).unwrap();
        assert_eq!(clock.offset_ms(), MINUTE);
    }

    #[test]
    fn the_system_clock_reads_the_machine() {
        let before = SystemTime::now();
        let now = Clock::system().now();
        assert!(before <= now && now <= SystemTime::now());
    }

    proptest! {
        #[test]
        fn no_date_moves_the_clock_by_more_than_a_day(skews in prop::collection::vec(any::<i32>(), 1..8)) {
            let (_, clock) = machine();
            for skew in skews {
                clock.observe(clock.now(), at(i64::from(skew) * 1000));
                prop_assert!(clock.offset_ms().abs() <= DAY);
            }
        }
    }
}
