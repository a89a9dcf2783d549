//! Several gateways before one OCI. Callers take any of them; the gateways are killed, or replaced one by one.

use crate::began::Began;
use crate::caller::Create;
use crate::checker;
use crate::fleet::Fleet;
use crate::fleet::Kind;
use crate::history::Answer;
use crate::history::Call;
use crate::history::Gateways;
use crate::machine::ALONE;
use crate::report::Report;
use crate::run;
use crate::run::Plan;
use crate::seed;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Code;

async fn three_gateways(creates: usize, kills: usize) -> Report {
    let plan = Plan { seed: seed::seed(), creates, callers: 24, gateways: Kind::Processes(3), kills };
    let report = plan.prove().await;
    assert_eq!(report.history.commits.len(), creates, "{report}");
    assert!(report.damage.creates * 2 >= creates, "at least half of the creates are cut\n{report}");
    assert!(report.lost() > 0, "no call was hit by a kill\n{report}");
    println!("{report}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_creates_through_gateways_that_are_killed_are_made_once() {
    three_gateways(500, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just prove`"]
async fn ten_thousand_creates_through_gateways_that_are_killed_are_made_once() {
    three_gateways(seed::creates(10_000), 100).await;
}

/// Nothing goes wrong at OCI; one gateway after the other makes way for a new one while callers call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_create_of_a_caller_who_tries_again() {
    let _alone = ALONE.lock().await;
    let (seed, began) = (seed::seed(), Began::now());
    let sandbox = run::sandbox(began).await;
    let fleet = Arc::new(Fleet::start(Kind::Processes(3), &sandbox).await);
    let rolled = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (fleet, rolled) = (Arc::clone(&fleet), Arc::clone(&rolled));
        callers.spawn(async move {
            let mut creates = Vec::new();
            while !rolled.load(Ordering::Relaxed) {
                let mut create = Create::patient(seed, creates.len() * 8 + caller);
                create.insist(&fleet, began).await;
                creates.push(create);
            }
            creates
        });
    }
    for gateway in 0..fleet.size() {
        let before = sandbox.ledger().commits.len();
        let rolling = Arc::clone(&fleet);
        let in_order = tokio::task::spawn_blocking(move || rolling.roll(gateway)).await.unwrap();
        assert!(in_order, "gateway {gateway} did not drain; PROVE_SEED={seed}");
        // The new one has its share of the load before the next one goes.
        while sandbox.ledger().commits.len() < before + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    rolled.store(true, Ordering::Relaxed);
    let creates: Vec<Create> = callers.join_all().await.into_iter().flatten().collect();
    assert!(creates.iter().all(Create::is_settled), "PROVE_SEED={seed}");
    let history = run::history(creates, &sandbox.ledger(), Gateways::Killed, began);
    assert_eq!(checker::check(&history), [], "PROVE_SEED={seed}");
    let failed: Vec<&Call> = history.calls.iter().filter(|call| !repeatable(&call.answer)).collect();
    assert!(failed.is_empty(), "{failed:?}; PROVE_SEED={seed}");
    let made: HashSet<&str> =
        history.commits.iter().filter_map(|commit| commit.request_id.as_deref()).collect();
    let cut: Vec<&Call> =
        history.calls.iter().filter(|call| lost(call) && made.contains(&*call.request_id)).collect();
    assert!(cut.is_empty(), "a drain waits for what is in flight: {cut:?}; PROVE_SEED={seed}");
}

fn lost(call: &Call) -> bool {
    matches!(call.answer, Answer::Lost(_))
}

/// OK, or what any client of gRPC repeats: UNAVAILABLE, as libraries call a connection that ended, too.
fn repeatable(answer: &Answer) -> bool {
    match answer {
        Answer::Made(_) | Answer::Lost(_) => true,
        Answer::Failed(failure) => failure.code == Code::Unavailable,
        Answer::CutOff => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_in_mid_create_leaves_a_backup_that_the_next_one_finds() {
    let _alone = ALONE.lock().await;
    let (seed, began) = (seed::seed(), Began::now());
    let sandbox = run::sandbox(began).await;
    let fleet = Arc::new(Fleet::start(Kind::Processes(1), &sandbox).await);
    let mut create = Create::patient(seed, 0);
    let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(200));
    sandbox.inject(FaultRule::new(stall).retry_token(create.token())).unwrap();
    let calling = Arc::clone(&fleet);
    let caller = tokio::spawn(async move {
        create.call(&calling, began).await;
        create
    });
    // What readiness asks may be on its way, too.
    let arrived = || sandbox.ledger().attempts.iter().any(|attempt| attempt.method == "POST");
    while !arrived() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let killing = Arc::clone(&fleet);
    tokio::task::spawn_blocking(move || killing.kill(0)).await.unwrap();
    let mut create = caller.await.unwrap();
    assert!(!create.is_settled(), "it was answered before the kill");
    create.insist(&fleet, began).await;
    assert!(create.is_settled());
    let history = run::history(vec![create], &sandbox.ledger(), Gateways::Killed, began);
    assert_eq!(checker::check(&history), []);
    let [commit] = history.commits.as_slice() else { panic!("{:?}", history.commits) };
    let made_by = commit.request_id.as_deref();
    assert_eq!(made_by, Some(history.calls[0].request_id.as_str()), "the first call's request made it");
}
