//! One gateway and an OCI that breaks more than half of the creates: each token has one backup in the end, and
//! nobody was told anything that is not so.

use crate::history::Outcome;
use crate::report::Report;
use crate::run::Plan;
use crate::seed;
use crate::storm::Cut;

async fn one_gateway(creates: usize) -> Report {
    let plan = Plan { seed: seed::seed(), creates, callers: 24, gateways: 1, kills: 0 };
    let report = plan.prove().await;
    assert_eq!(report.history.commits.len(), creates, "{report}");
    assert!(report.damage.creates * 2 >= creates, "at least half of the creates are cut\n{report}");
    for at in [Cut::Before, Cut::After, Cut::MidAnswer] {
        assert!(report.damage.cuts(at) > 0, "{at:?}\n{report}");
    }
    assert!(report.damage.unread > 0, "{report}");
    for outcome in [Outcome::Unknown, Outcome::Started, Outcome::NotStarted] {
        assert!(report.failed(outcome) > 0, "a run without {outcome:?} proves nothing about it\n{report}");
    }
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_thousand_creates_are_made_once_and_told_truly() {
    one_gateway(3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just prove`"]
async fn a_hundred_thousand_creates_are_made_once_and_told_truly() {
    one_gateway(seed::creates(100_000)).await;
}
