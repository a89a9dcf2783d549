//! When a run began. Callers and OCI count from there, by one clock that only goes forward.

use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Began {
    here: Instant,
    /// The same moment, as dates have it.
    date: SystemTime,
}

impl Began {
    pub(crate) fn now() -> Self {
        Self { here: Instant::now(), date: Clock::system().now() }
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.here.elapsed()
    }

    /// OCI's time: right at the beginning, and then as long as callers' time is.
    pub(crate) fn clock(self) -> sandbox::Now {
        Arc::new(move || self.date + self.elapsed())
    }

    /// How long after it OCI wrote down this time.
    pub(crate) fn until(self, time: &str) -> Duration {
        let time = SystemTime::from(time.parse::<jiff::Timestamp>().unwrap());
        // Written down to the millisecond.
        time.duration_since(self.date).unwrap_or_default()
    }
}

#[test]
fn what_oci_writes_down_is_a_time_of_callers() {
    let began = Began::now();
    std::thread::sleep(Duration::from_millis(5));
    let (before, written) = (began.elapsed(), jiff::Timestamp::try_from(began.clock()()).unwrap());
    let read = began.until(&format!("{written:.3}"));
    assert!(read + Duration::from_millis(1) > before && read <= began.elapsed(), "{before:?} {read:?}");
}
