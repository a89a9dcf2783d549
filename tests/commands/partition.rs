//! Row 14: nothing gets through between the gateway and OCI, either way, and then everything does again. Each is in a
//! network of its own, with a wire between them.

use crate::network;
use crate::network::FAR;
use crate::network::NEAR;
use crate::network::NOBODY;
use crate::network::ip;
use crate::network::ip_of;
use crate::process::Running;
use crate::process::program_within;
use crate::serve::channel;
use crate::upstream::Upstream;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::Request;
use tonic::transport::Channel;

/// Callers go from one pair of addresses to the other, the gateway from the one to the other of these.
const GATEWAY: &str = "10.77.0.2";
const OCI: &str = "10.77.0.3";

/// Bounds over sockets are exceeded by no more than this.
const LEEWAY: Duration = Duration::from_millis(500);

/// One run.
#[derive(Clone, Copy)]
struct Partition {
    length: Duration,
    callers: usize,
    /// The caller's deadline, D.
    deadline: Duration,
    /// One attempt, A.
    attempt: Duration,
    /// So long after the end every caller has its backup: in a long one the breaker opens, for 30 s.
    settled: Duration,
}

const SHORT: Partition = Partition {
    length: Duration::from_secs(3),
    callers: 3,
    deadline: Duration::from_millis(1500),
    attempt: Duration::from_millis(700),
    settled: Duration::from_secs(3),
};

const WHOLE: Partition = Partition {
    length: Duration::from_secs(30),
    callers: 8,
    deadline: Duration::from_secs(10),
    attempt: Duration::from_secs(5),
    settled: Duration::from_secs(45),
};

#[test]
fn a_partition_that_heals_leaves_one_backup_per_token() {
    network::alone("partition::of_three_seconds");
}

#[test]
#[ignore = "takes a minute: `just prove`"]
fn a_partition_of_thirty_seconds_that_heals_leaves_one_backup_per_token() {
    network::alone("partition::of_thirty_seconds");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network of its own"]
async fn of_three_seconds() {
    SHORT.prove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network of its own"]
async fn of_thirty_seconds() {
    WHOLE.prove().await;
}

/// The gateway, alone in a network of its own at the far end of the wire.
fn gateway(upstream: &Upstream, attempt: Duration) -> (Running, u32) {
    let wait = r#"touch "$HOME/there"; until [ -e "$HOME/wired" ]; do sleep 0.02; done; exec "$0" "$@""#;
    let arguments = format!(
        "serve --plaintext --listen 10.77.0.4:0 --admin-listen 127.0.0.1:0 --attempt-timeout {}ms",
        attempt.as_millis()
    );
    let program = program_within(&format!(r#"exec unshare --net sh -c '{wait}' "$0" "$@""#), &arguments);
    let mut serve = upstream.sign_in(program).start();
    let home = serve.home();
    serve.until(|_| home.join("there").exists().then_some(()));
    let process = serve.process();
    ip(&format!("link set far netns {process}"));
    ip_of(process, "link set lo up");
    for address in [GATEWAY, "10.77.0.4"] {
        ip_of(process, &format!("addr add {address}/24 dev far"));
    }
    ip_of(process, "link set far up");
    std::fs::write(home.join("wired"), "").unwrap();
    (serve, process)
}

/// Who takes what the gateway sends to OCI, and what OCI sends to it.
fn wired(process: u32, oci: &str, gateway: &str) {
    ip_of(process, &format!("neigh replace {OCI} lladdr {oci} dev far nud permanent"));
    ip(&format!("neigh replace {GATEWAY} lladdr {gateway} dev near nud permanent"));
}

/// How one call of a caller's ended.
struct Ended {
    began: Instant,
    took: Duration,
    answer: Result<String, Code>,
}

async fn call(gateway: &mut BackupServiceClient<Channel>, token: &str, deadline: Duration) -> Ended {
    let mut request = Request::new(CreateVolumeBackupRequest {
        volume_id: format!("ocid1.volume.oc1.iad.{token}"),
        retry_token: Some(token.to_owned()),
        ..CreateVolumeBackupRequest::default()
    });
    request.set_timeout(deadline);
    let began = Instant::now();
    let answer = gateway.create_volume_backup(request).await;
    let answer = answer.map(|answer| answer.into_inner().volume_backup.unwrap().id);
    Ended { began, took: began.elapsed(), answer: answer.map_err(|status| status.code()) }
}

impl Partition {
    async fn prove(self) {
        if !network::is_alone() {
            return;
        }
        ip(&format!("link add name near address {NEAR} type veth peer name far address {FAR}"));
        for address in ["10.77.0.1", OCI] {
            ip(&format!("addr add {address}/24 dev near"));
        }
        ip("link set near up");
        let upstream = Upstream::at(SocketAddr::new(OCI.parse().unwrap(), 0)).await;
        let (mut serve, process) = gateway(&upstream, self.attempt);
        wired(process, NEAR, FAR);
        let address = serve.address();
        let mut first = BackupServiceClient::new(channel(address).await);
        let before = call(&mut first, "before", self.deadline).await;
        assert!(before.answer.is_ok(), "{:?}", before.answer);

        // One create is at OCI when the wire is cut, and is carried out there.
        let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300));
        upstream.sandbox.inject(FaultRule::new(stall).retry_token("t0")).unwrap();
        let (healed, mut callers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
        callers.spawn(self.insist(address, 0, Arc::clone(&healed)));
        while upstream.sandbox.in_flight() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        wired(process, NOBODY, NOBODY);
        let cut = Instant::now();
        (1..self.callers).for_each(|at| drop(callers.spawn(self.insist(address, at, Arc::clone(&healed)))));
        tokio::time::sleep(self.length).await;
        let made_by_then = upstream.sandbox.ledger().commits.len();
        wired(process, NEAR, FAR);
        let heal = Instant::now();
        healed.store(true, Ordering::Relaxed);
        let callers = callers.join_all().await;

        assert_eq!(made_by_then, 2, "nothing gets through but what had");
        self.judge(&callers, cut, heal);
        let ledger = upstream.sandbox.ledger();
        let made: BTreeSet<&String> = ledger.commits.iter().map(|commit| &commit.id).collect();
        assert!(ledger.commits_per_token.values().all(|made| *made == 1), "{:?}", ledger.commits_per_token);
        let told: BTreeSet<&String> =
            callers.iter().flatten().chain([&before]).filter_map(|call| call.answer.as_ref().ok()).collect();
        assert_eq!(made, told, "each has its own");
    }

    /// Calls with one token until there is a backup.
    async fn insist(self, address: SocketAddr, at: usize, healed: Arc<AtomicBool>) -> Vec<Ended> {
        let mut gateway = BackupServiceClient::new(channel(address).await);
        let (token, mut calls) = (format!("t{at}"), Vec::new());
        loop {
            let was_healed = healed.load(Ordering::Relaxed);
            calls.push(call(&mut gateway, &token, self.deadline).await);
            let last = calls.last().unwrap();
            assert!(was_healed || last.answer.is_err() || healed.load(Ordering::Relaxed), "{token} was made");
            if last.answer.is_ok() {
                return calls;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn judge(self, callers: &[Vec<Ended>], cut: Instant, heal: Instant) {
        for calls in callers {
            for Ended { took, answer, .. } in calls {
                assert!(*took < self.deadline + LEEWAY, "{answer:?} after {took:?}");
                let allowed = matches!(answer, Ok(_) | Err(Code::Unavailable | Code::DeadlineExceeded));
                assert!(allowed, "{answer:?}");
            }
            let last = calls.last().unwrap();
            let settled = (last.began + last.took).duration_since(heal);
            assert!(settled < self.settled + LEEWAY, "{settled:?} after the end");
        }
        let failed = callers.iter().flatten().filter(|call| call.began > cut && call.answer.is_err()).count();
        assert!(failed >= callers.len(), "{failed}");
    }
}
