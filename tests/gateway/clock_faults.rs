//! Clocks that step while a call is under way, and answers that come too slowly.

use crate::ending::LEEWAY;
use crate::ending::within;
use crate::rig::Rig;
use crate::rig::Setup;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::Part;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::sandbox::Wire;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tonic::Code;

const PATIENT: Duration = Duration::from_secs(10);
const HOUR: i64 = 3600;

/// A gateway whose clock is ahead by so many seconds, which can be set.
async fn rig_with_a_clock(deadline: Duration) -> (Rig, Arc<AtomicI64>) {
    let ahead = Arc::new(AtomicI64::new(0));
    let (system, reading) = (Clock::system(), Arc::clone(&ahead));
    let clock = Clock::with_source(Arc::new(move || {
        let ahead = reading.load(Ordering::Relaxed);
        let step = Duration::from_secs(ahead.unsigned_abs());
        if ahead < 0 { system.now() - step } else { system.now() + step }
    }));
    (Rig::with(Setup { clock, server: within(deadline), ..Setup::default() }).await, ahead)
}

/// Sets the clock as soon as a create has reached OCI.
async fn step_in_flight(rig: &Rig, ahead: &AtomicI64, seconds: i64) {
    let before = rig.creates().len();
    while rig.creates().len() == before {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    ahead.store(seconds, Ordering::Relaxed);
}

/// Row 47.
#[tokio::test]
async fn a_clock_that_steps_during_a_call_moves_no_deadline() {
    let deadline = Duration::from_millis(800);
    let (rig, ahead) = rig_with_a_clock(deadline).await;
    for seconds in [-HOUR, HOUR] {
        ahead.store(0, Ordering::Relaxed);
        rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(3)));
        let (ending, ()) = tokio::join!(rig.create(), step_in_flight(&rig, &ahead, seconds));
        assert_eq!(ending.status().code(), Code::DeadlineExceeded, "{seconds}: {ending:?}");
        let bounds = Duration::from_millis(750)..deadline + LEEWAY;
        assert!(bounds.contains(&ending.took), "{seconds}: {ending:?}");
    }
}

/// Row 47, and 46 in the midst of a call: the date of the second attempt is wrong, that of the third is OCI's.
#[tokio::test]
async fn a_clock_that_steps_between_attempts_is_put_right_within_the_call() {
    for seconds in [-HOUR, HOUR] {
        let (rig, ahead) = rig_with_a_clock(PATIENT).await;
        let fault = Fault::reset(CutPoint::AfterCommit);
        rig.break_next(fault.stalled(StallPoint::AfterCommit, Duration::from_millis(100)));
        let (ending, ()) = tokio::join!(rig.create(), step_in_flight(&rig, &ahead, seconds));
        rig.assert_once("a step", &ending, Duration::from_secs(1));
        assert_eq!(rig.attempts(&ending.token), 3, "{seconds}");
        assert!((rig.clock.offset_ms() + seconds * 1000).abs() < 2000, "{}", rig.clock.offset_ms());
    }
}

/// Row 46: one attempt too many, and no time is lost.
#[tokio::test]
async fn a_clock_that_is_wrong_costs_a_call_one_attempt() {
    let (rig, ahead) = rig_with_a_clock(PATIENT).await;
    ahead.store(600, Ordering::Relaxed);
    let ending = rig.create().await;
    rig.assert_once("ten minutes", &ending, Duration::from_secs(1));
    assert_eq!(rig.attempts(&ending.token), 2);
}

/// Rows 49 to 51. What comes too late is asked for again: OCI has made it, or still makes it, and says so.
#[tokio::test]
async fn an_answer_that_comes_after_the_attempt_is_asked_for_again() {
    let attempt_timeout = Duration::from_millis(400);
    let late = attempt_timeout + Duration::from_millis(50);
    let rig = Rig::with(Setup { attempt_timeout, ..Setup::default() }).await;
    let soon = attempt_timeout + Duration::from_millis(100);
    for (name, fault, attempts, bound) in [
        ("slow headers", Fault::wire(Wire::Slow { part: Part::Head, ms: 100 }), 2..=2, soon),
        ("a slow body", Fault::wire(Wire::Slow { part: Part::Body, ms: 200 }), 2..=2, soon),
        ("an answer just after", Fault::stall(StallPoint::AfterCommit, late), 2..=2, soon),
        // OCI is still at it when it is asked again, and says IncorrectState. The pauses after that are a matter of chance.
        ("a commit just after", Fault::stall(StallPoint::BeforeCommit, late * 2), 3..=12, PATIENT),
    ] {
        rig.break_next(fault);
        let ending = rig.create().await;
        assert!(ending.took >= attempt_timeout, "{name}: {ending:?}");
        rig.assert_once(name, &ending, bound);
        let made = rig.attempts(&ending.token);
        assert!(attempts.contains(&made), "{name}: {made} attempts");
    }
}
