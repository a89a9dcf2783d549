//! Several gateways before one OCI. Callers take any of them; the gateways are killed, or replaced one by one.

use crate::report::Report;
use crate::run::Plan;
use crate::seed;

async fn three_gateways(creates: usize, kills: usize) -> Report {
    let plan = Plan { seed: seed::seed(), creates, callers: 24, gateways: 3, kills };
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

/// Callers who only ask OCI for what it does, while one gateway after the other makes way for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_fails_no_call_of_a_caller_who_tries_again() {
    let sandbox = sandbox().await;
    let fleet = Arc::new(Fleet::start(3, &sandbox));
    let (began, rolled) = (Instant::now(), Arc::new(AtomicBool::new(false)));
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (fleet, rolled) = (Arc::clone(&fleet), Arc::clone(&rolled));
        callers.spawn(async move {
            let mut creates = Vec::new();
            while !rolled.load(Ordering::Relaxed) {
                let mut create = Create::new(seed::seed(), creates.len() * 8 + caller);
                create.insist(&fleet, began).await;
                creates.push(create);
            }
            creates
        });
    }
    for gateway in 0..fleet.size() {
        let before = sandbox.ledger().commits.len();
        let rolling = Arc::clone(&fleet);
        assert!(tokio::task::spawn_blocking(move || rolling.roll(gateway)).await.unwrap(), "{gateway}");
        // The new one has its share of the load before the next one goes.
        while sandbox.ledger().commits.len() < before + 30 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    rolled.store(true, Ordering::Relaxed);
    let creates = callers.join_all().await.concat();
    assert!(creates.iter().all(Create::is_settled));
    let tokens = creates.iter().map(|create| create.token().to_owned()).collect();
    let history = History::of(tokens, creates, &sandbox.ledger(), Gateways::Killed);
    assert_eq!(checker::check(&history), []);
    let failed = history.calls.iter().filter(|call| !matches!(call.answer, Answer::Made(_)));
    let failed: Vec<&Call> = failed.collect();
    println!("{} calls, of which {} had to be repeated: {failed:?}", history.calls.len(), failed.len());
}
