//! One run: callers, gateways, OCI and everything that goes wrong between them; then quiet; then the judgement.

use crate::caller::Create;
use crate::checker;
use crate::checker::Violation;
use crate::fleet::Fleet;
use crate::history::Commit;
use crate::history::Gateways;
use crate::history::History;
use crate::history::Share;
use crate::machine::ALONE;
use crate::machine::Watch;
use crate::report::Report;
use crate::storm;
use crate::storm::Damage;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox;
use oci_backup_gateway::sandbox::Ledger;
use oci_backup_gateway::sandbox::Sandbox;
use rand::RngExt;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Everything that is left to chance follows from it, but for the order in which things happen at a time.
    pub(crate) seed: u64,
    pub(crate) creates: usize,
    /// At a time.
    pub(crate) callers: usize,
    pub(crate) gateways: usize,
    /// So often one of the gateways is killed, and another started in its place.
    pub(crate) kills: usize,
}

/// OCI, as the gateways see it.
pub(crate) async fn sandbox() -> Sandbox {
    let clock = Clock::system();
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = sandbox::Config {
        oci_listen: local,
        control_listen: local,
        transport: sandbox::Transport::Plaintext,
        now: Arc::new(move || clock.now()),
        stage: Duration::from_millis(50),
        identity: None,
        issuers: None,
    };
    Sandbox::start(config).await.unwrap()
}

impl Plan {
    /// Runs it, and fails unless the history has no violation at all.
    pub(crate) async fn prove(self) -> Report {
        let _alone = ALONE.lock().await;
        let seed = self.seed;
        let sandbox = sandbox().await;
        let fleet = Arc::new(Fleet::start(self.gateways, &sandbox));
        let began = Instant::now();
        let watch = Watch::start(Arc::clone(&fleet), began);
        storm::rules(seed).into_iter().for_each(|rule| sandbox.inject(rule).unwrap());
        let mut creates = self.storm(&fleet, began).await;
        sandbox.clear_faults();
        quiet(&sandbox).await;
        let settled_late = settle(&mut creates, &fleet, began).await;
        let took = began.elapsed();
        quiet(&sandbox).await;
        let ledger = sandbox.ledger();
        let gateways = if self.kills > 0 { Gateways::Killed } else { Gateways::LeftAlone };
        let mut history = history(creates, &ledger, gateways);
        let machine = watch.stop().await;
        for call in history.calls.iter_mut().filter(|call| !machine.was_ours(call.start, call.end)) {
            call.machine = Share::Others;
        }
        let violations = checker::check(&history);
        let report = Report {
            plan: self,
            took,
            attempts: ledger.attempts.len(),
            damage: Damage::of(&ledger),
            settled_late,
            others: machine.others,
            history,
        };
        assert_eq!(first(&violations), [], "{} in all; PROVE_SEED={seed}\n{report}", violations.len());
        report
    }

    /// All creates, as far as they get while things go wrong.
    async fn storm(self, fleet: &Arc<Fleet>, began: Instant) -> Vec<Create> {
        let (done, progress) = watch::channel(0);
        let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(done));
        let killer = tokio::spawn(self.kill(Arc::clone(fleet), progress));
        let mut callers = JoinSet::new();
        for _ in 0..self.callers {
            let (fleet, next, done) = (Arc::clone(fleet), Arc::clone(&next), Arc::clone(&done));
            callers.spawn(async move {
                let mut creates = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= self.creates {
                        return creates;
                    }
                    let mut create = Create::new(self.seed, number);
                    create.insist(&fleet, began).await;
                    creates.push(create);
                    done.send_modify(|done| *done += 1);
                }
            });
        }
        let creates = callers.join_all().await.into_iter().flatten().collect();
        killer.await.unwrap();
        creates
    }

    /// Kills one gateway or another whenever so many creates have come to an end.
    async fn kill(self, fleet: Arc<Fleet>, mut progress: watch::Receiver<usize>) {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut moments: Vec<usize> = (0..self.kills).map(|_| random.random_range(0..self.creates)).collect();
        moments.sort_unstable();
        for moment in moments {
            progress.wait_for(|done| *done >= moment).await.unwrap();
            let (fleet, victim) = (Arc::clone(&fleet), random.random_range(0..self.gateways));
            tokio::task::spawn_blocking(move || fleet.kill(victim)).await.unwrap();
        }
    }
}

/// What callers and OCI have to say about the same creates.
pub(crate) fn history(creates: Vec<Create>, ledger: &Ledger, gateways: Gateways) -> History {
    let commit = |commit: &sandbox::CommitEntry| Commit {
        token: commit.token.clone(),
        request_id: ledger.attempts[usize::try_from(commit.attempt).unwrap()].opc_request_id.clone(),
        id: commit.id.clone(),
    };
    History {
        wanted: creates.iter().map(|create| create.token().to_owned()).collect(),
        calls: creates.into_iter().flat_map(Create::into_calls).collect(),
        commits: ledger.commits.iter().map(commit).collect(),
        gateways,
    }
}

/// Until OCI has done all that it was asked for.
async fn quiet(sandbox: &Sandbox) {
    while sandbox.in_flight() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One more call for each create that is still open; how many these were.
async fn settle(creates: &mut [Create], fleet: &Fleet, began: Instant) -> usize {
    let open: Vec<&mut Create> = creates.iter_mut().filter(|create| !create.is_settled()).collect();
    let count = open.len();
    for create in open {
        create.call(fleet, began).await;
    }
    count
}

/// Enough of them to see what is wrong.
fn first(violations: &[Violation]) -> &[Violation] {
    &violations[..violations.len().min(10)]
}
