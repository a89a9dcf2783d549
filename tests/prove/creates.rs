//! An OCI that breaks more than half of the creates: each token has one backup in the end, and nobody was told
//! anything that is not so.

use crate::fleet::Kind;
use crate::history::Outcome;
use crate::report::Report;
use crate::run::Plan;
use crate::seed;
use crate::storm::Cut;

/// So many requests for each call show that the gateways make second, third and further attempts in bulk. With the
/// program's own limits the budget is soon spent: there are 1.03.
const ATTEMPTS: f64 = 1.5;

async fn storm(gateways: Kind, creates: usize) -> Report {
    let plan = Plan { seed: seed::seed(), creates, callers: 24, gateways, kills: 0 };
    let report = plan.prove().await;
    assert_eq!(report.history.commits.len(), creates, "{report}");
    assert!(report.damage.creates * 2 >= creates, "at least half of the creates are cut\n{report}");
    for at in [Cut::Before, Cut::After, Cut::MidAnswer] {
        assert!(report.damage.cuts(at) > 0, "{at:?}\n{report}");
    }
    assert!(report.damage.unread > 0, "{report}");
    println!("{report}");
    report
}

/// Callers repeat what the gateway does not.
async fn by_callers(creates: usize) {
    let report = storm(Kind::Processes(1), creates).await;
    for outcome in [Outcome::Unknown, Outcome::Started, Outcome::NotStarted] {
        assert!(report.failed(outcome) > 0, "a run without {outcome:?} proves nothing about it\n{report}");
    }
}

/// The gateways repeat, and callers what is left.
async fn by_gateways(creates: usize) {
    let report = storm(Kind::Wide, creates).await;
    assert!(report.requests_per_call() >= ATTEMPTS, "{report}");
    assert!(report.failed(Outcome::Unknown) > 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_creates_that_callers_repeat_are_made_once_and_told_truly() {
    by_callers(1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_hundred_creates_that_gateways_repeat_are_made_once_and_told_truly() {
    by_gateways(1_500).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just prove`"]
async fn twenty_thousand_creates_that_callers_repeat_are_made_once_and_told_truly() {
    by_callers(seed::creates(20_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just prove`"]
async fn a_hundred_thousand_creates_that_gateways_repeat_are_made_once_and_told_truly() {
    by_gateways(seed::creates(100_000)).await;
}
