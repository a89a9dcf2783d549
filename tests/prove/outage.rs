//! Row 23: OCI answers nothing but 503 for a minute, and a thousand callers insist. They are told at once, OCI hears hardly
//! more than one request for each call, and who calls again when it is over has one backup.

use crate::began::Began;
use crate::caller::Create;
use crate::checker;
use crate::fleet::Fleet;
use crate::fleet::Kind;
use crate::history::Answer;
use crate::history::Call;
use crate::history::Gateways;
use crate::history::Share;
use crate::machine::ALONE;
use crate::machine::Watch;
use crate::run;
use crate::seed;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tonic::Code;

/// What the budget holds pays for so many retries, as nothing succeeds (`transport::budget::Config`).
const RETRIES: usize = 100 / 5;

/// For so long no attempt is made once the breaker is open (`transport::breaker::Config`).
const BREAKER: Duration = Duration::from_secs(30);

/// One outage.
#[derive(Clone, Copy)]
struct Outage {
    callers: usize,
    length: Duration,
    gateways: Kind,
    /// So long a caller waits at most before it calls again.
    pause: Duration,
}

/// What came of it.
struct Outcome {
    /// Calls that ended while it lasted.
    calls: usize,
    /// Requests that reached OCI in that time.
    requests: usize,
}

impl Outage {
    async fn prove(self) -> Outcome {
        let _alone = ALONE.lock().await;
        let (seed, began) = (seed::seed(), Began::now());
        let sandbox = run::sandbox(began).await;
        let fleet = Arc::new(Fleet::start(self.gateways, &sandbox).await);
        let watch = Watch::start(Arc::clone(&fleet), began);
        // One of ten is carried out all the same.
        let down = || Fault::status(503, "ServiceUnavailable", "down");
        sandbox.inject(FaultRule::new(down().committed()).chance(10, seed).forever()).unwrap();
        sandbox.inject(FaultRule::new(down()).forever()).unwrap();
        let end = began.elapsed() + self.length;
        let mut callers = JoinSet::new();
        for number in 0..self.callers {
            let fleet = Arc::clone(&fleet);
            let mut random = StdRng::seed_from_u64(seed ^ u64::try_from(number).unwrap());
            callers.spawn(async move {
                let mut create = Create::patient(seed, number);
                let mut pause = async || tokio::time::sleep(self.pause.mul_f64(random.random())).await;
                pause().await;
                while began.elapsed() < end {
                    create.call(&fleet, began).await;
                    pause().await;
                }
                create
            });
        }
        let mut creates = callers.join_all().await;
        let requests = sandbox.ledger().attempts.len();
        let calls = creates.iter().map(Create::calls).sum();
        sandbox.clear_faults();
        let over = began.elapsed();
        // An open breaker finds out by itself that it is over.
        while !creates.iter().all(Create::is_settled) && began.elapsed() - over < BREAKER + self.length {
            for create in creates.iter_mut().filter(|create| !create.is_settled()) {
                create.call(&fleet, began).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let machine = watch.stop().await;
        let mut history = run::history(creates, &sandbox.ledger(), Gateways::LeftAlone, began);
        for call in history.calls.iter_mut().filter(|call| !machine.was_ours(call.start, call.end)) {
            call.machine = Share::Others;
        }
        // One token, one backup, and nobody was told anything that is not so.
        assert_eq!(checker::check(&history), [], "PROVE_SEED={seed}");
        judge(&history.calls, end);
        println!(
            "PROVE_SEED={seed}: {} callers, {:?}, gateways: {}: {calls} calls, {requests} requests; others took {:.0} % of the machine",
            self.callers,
            self.length,
            self.gateways,
            machine.others * 100.0,
        );
        Outcome { calls, requests }
    }
}

/// While it lasts everybody is told so, and all but a few at once.
fn judge(calls: &[Call], end: Duration) {
    let failed = calls.iter().filter(|call| call.end < end).map(|call| match &call.answer {
        Answer::Failed(failure) if failure.code == Code::Unavailable => (call, failure),
        other => panic!("{other:?}"),
    });
    let (tried_again, at_once): (Vec<_>, Vec<_>) = failed.partition(|(_, failure)| failure.attempts > 1);
    assert!(tried_again.len() <= RETRIES, "{} calls waited for another attempt", tried_again.len());
    // How soon is the gateway's affair only where it had the processors.
    let ours = at_once.iter().filter(|(call, _)| call.machine == Share::Ours);
    let mut times: Vec<Duration> = ours.map(|(call, _)| call.took()).collect();
    times.sort();
    let [middle, slowest] =
        [50, 99].map(|percent| times.get(times.len() * percent / 100).copied().unwrap_or_default());
    println!("told after {middle:?} in the middle, 99 % within {slowest:?}, of {} calls", times.len());
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// The bound of the row, from ten calls a second on.
fn assert_amplified_at_most(outcome: &Outcome, outage: Outage) {
    let Outcome { calls, requests } = *outcome;
    let second = usize::try_from(outage.length.as_secs()).unwrap();
    assert!(calls >= 10 * second, "{calls} calls");
    assert!(requests * 10 <= calls * 11, "{requests} requests for {calls} calls");
}

async fn an_outage(callers: usize, length: Duration, pause: Duration, gateways: Kind) -> Outcome {
    let outage = Outage { callers, length, gateways, pause };
    let outcome = outage.prove().await;
    assert_amplified_at_most(&outcome, outage);
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_callers_add_hardly_anything_to_an_outage_of_three_seconds() {
    let outcome = an_outage(100, Duration::from_secs(3), Duration::from_millis(500), Kind::ByBudget).await;
    assert!(outcome.requests >= outcome.calls, "each call is tried: {}", outcome.requests);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just prove`"]
async fn a_thousand_callers_add_hardly_anything_to_an_outage_of_a_minute() {
    let (minute, pause) = (Duration::from_secs(60), Duration::from_secs(12));
    let outcome = an_outage(1_000, minute, pause, Kind::ByBudget).await;
    assert!(outcome.requests >= outcome.calls, "each call is tried: {}", outcome.requests);
    let outcome = an_outage(1_000, minute, pause, Kind::Processes(1)).await;
    // The breaker opens after some twenty attempts, and lets one through every 30 s.
    assert!(
        outcome.requests * 4 <= outcome.calls,
        "{} requests for {} calls",
        outcome.requests,
        outcome.calls
    );
}
