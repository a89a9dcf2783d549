//! Whether calls are served, and why not: for gRPC health checks, and for probes and people over HTTP.

use crate::rig;
use crate::rig::Gated;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use oci_backup_gateway::credentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Provided;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::server;
use oci_backup_gateway::transport::retry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic::Status;
use tonic::Streaming;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::HealthCheckResponse;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus::NotServing;
use tonic_health::pb::health_check_response::ServingStatus::Serving;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

const SERVER: &str = "";
const SERVICE: &str = "ocibackup.v1.BackupService";
const LIVENESS: &str = "liveness";

/// Everything that is waited for here comes sooner.
const SOON: Duration = Duration::from_secs(5);

struct Probes {
    health: HealthClient<Channel>,
    admin: SocketAddr,
}

impl Probes {
    async fn of(rig: &Rig) -> Self {
        let channel = rig::channel(rig.server.address()).await;
        Self { health: HealthClient::new(channel), admin: rig.server.admin_address() }
    }

    async fn check(&self, service: &str) -> Result<ServingStatus, Status> {
        let request = HealthCheckRequest { service: service.to_owned() };
        Ok(self.health.clone().check(request).await?.into_inner().status())
    }

    async fn watch(&self, service: &str) -> Streaming<HealthCheckResponse> {
        let request = HealthCheckRequest { service: service.to_owned() };
        self.health.clone().watch(request).await.unwrap().into_inner()
    }

    /// The three names: the server, the service, the process.
    async fn all(&self) -> [ServingStatus; 3] {
        let check = async |name| self.check(name).await.unwrap();
        [check(SERVER).await, check(SERVICE).await, check(LIVENESS).await]
    }

    async fn get(&self, path: &str) -> (String, String, String) {
        rig::page(self.admin, path).await
    }

    async fn ready(&self) -> (String, String) {
        let (status, _headers, body) = self.get("/readyz").await;
        (status, body)
    }
}

fn unavailable(why: &str) -> (String, String) {
    ("HTTP/1.1 503 Service Unavailable".to_owned(), format!("not ready: {why}\n"))
}

fn ok(body: &str) -> (String, String) {
    ("HTTP/1.1 200 OK".to_owned(), body.to_owned())
}

/// What a watcher hears next.
async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let heard = tokio::time::timeout(SOON, watch.message()).await;
    heard.expect("a watcher hears something").unwrap().unwrap().status()
}

async fn until(watch: &mut Streaming<HealthCheckResponse>, wanted: ServingStatus) {
    while next(watch).await != wanted {}
}

#[tokio::test]
async fn a_server_that_serves_says_so_under_its_three_names_and_knows_no_other() {
    let rig = Rig::start().await;
    let probes = Probes::of(&rig).await;
    until(&mut probes.watch(SERVER).await, Serving).await;
    assert_eq!(probes.all().await, [Serving; 3]);
    assert_eq!(probes.ready().await, ok("ready\n"));
    for name in ["ocibackup.v2.BackupService", "readiness", "*"] {
        assert_eq!(probes.check(name).await.unwrap_err().code(), Code::NotFound, "{name}");
    }
}

#[tokio::test]
async fn nothing_is_served_until_the_credential_has_loaded() {
    let gated = Arc::new(Gated::new());
    let credentials: Arc<dyn ProvideCredentials> = Arc::clone(&gated) as _;
    let rig = Rig::with(Setup { credentials: Some(credentials), ..Setup::default() }).await;
    let probes = Probes::of(&rig).await;
    let mut watches = [probes.watch(SERVER).await, probes.watch(SERVICE).await];
    for watch in &mut watches {
        assert_eq!(next(watch).await, NotServing);
    }
    assert_eq!(probes.all().await, [NotServing, NotServing, Serving]);
    assert_eq!(probes.ready().await, unavailable("the credential has not loaded yet"));
    gated.gate.add_permits(1);
    for watch in &mut watches {
        assert_eq!(next(watch).await, Serving);
    }
    assert_eq!(probes.all().await, [Serving; 3]);
    assert_eq!(probes.ready().await, ok("ready\n"));
}

/// A source that never answers.
#[derive(Debug)]
struct Absent;

impl ProvideCredentials for Absent {
    fn provide(&self) -> Provided<'_> {
        let cause = Arc::new(std::io::Error::other("no route"));
        Provided::now(Err(credentials::Error::Unavailable(cause)))
    }
}

#[tokio::test]
async fn what_the_source_of_credentials_said_is_told() {
    let rig = Rig::with(Setup { credentials: Some(Arc::new(Absent)), ..Setup::default() }).await;
    let probes = Probes::of(&rig).await;
    let expected = unavailable("no credential: the source of the credential did not answer: no route");
    let began = Instant::now();
    while probes.ready().await != expected {
        assert!(began.elapsed() < SOON, "{:?}", probes.ready().await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(probes.all().await, [NotServing, NotServing, Serving]);
}

#[tokio::test]
async fn nothing_is_served_while_oci_refuses_the_credential() {
    let rig = Rig::start().await;
    let probes = Probes::of(&rig).await;
    let mut watch = probes.watch(SERVICE).await;
    until(&mut watch, Serving).await;
    // A call and the first probe.
    let refusal = Fault::status(401, "NotAuthenticated", "no");
    rig.sandbox.inject(FaultRule::new(refusal).times(2)).unwrap();
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(next(&mut watch).await, NotServing);
    assert_eq!(probes.all().await, [NotServing, NotServing, Serving]);
    let told = "OCI refuses the gateway's credential (401); `check` says more";
    assert_eq!(probes.ready().await, unavailable(told));
    while rig.sandbox.ledger().attempts.len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    rig.caller.clone().create_volume_backup(create()).await.expect("calls are tried all the same");
    assert_eq!(next(&mut watch).await, Serving);
    assert_eq!(probes.ready().await, ok("ready\n"));
}

#[tokio::test]
async fn a_gateway_whose_credential_oci_does_not_know_never_says_that_it_serves() {
    let asking = || server::Config { first_look: Some(server::FIRST_LOOK), ..Setup::default().server };
    let rig = Rig::with(Setup { server: asking(), ..Setup::default() }).await;
    let probes = Probes::of(&rig).await;
    until(&mut probes.watch(SERVER).await, Serving).await;
    let asked = rig.sandbox.ledger().attempts;
    assert_eq!(asked.iter().map(|attempt| attempt.method.as_str()).collect::<Vec<_>>(), ["GET"]);

    let identity = Identity::generate().unwrap();
    let rig = Rig::with(Setup { server: asking(), identity, ..Setup::default() }).await;
    let probes = Probes::of(&rig).await;
    let told = "OCI refuses the gateway's credential (401); `check` says more";
    let began = Instant::now();
    while probes.ready().await != unavailable(told) {
        assert_eq!(probes.check(SERVER).await.unwrap(), NotServing);
        assert!(began.elapsed() < SOON, "{:?}", probes.ready().await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_probe_finds_out_that_oci_takes_the_credential_again() {
    let rig = Rig::start().await;
    let probes = Probes::of(&rig).await;
    let mut watch = probes.watch(SERVER).await;
    until(&mut watch, Serving).await;
    rig.break_next(Fault::status(401, "NotAuthenticated", "no"));
    rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert_eq!(next(&mut watch).await, NotServing);
    assert_eq!(next(&mut watch).await, Serving);
    let probe = rig.sandbox.ledger().attempts.pop().unwrap();
    assert_eq!(probe.method, "GET", "{probe:?}");
}

#[tokio::test]
async fn a_server_on_its_way_out_is_alive_but_serves_nothing() {
    let rig = Rig::start().await;
    let probes = Probes::of(&rig).await;
    let mut watches = [probes.watch(SERVER).await, probes.watch(SERVICE).await];
    let mut liveness = probes.watch(LIVENESS).await;
    for watch in &mut watches {
        until(watch, Serving).await;
    }
    assert_eq!(next(&mut liveness).await, Serving);
    let call = rig.stalled(Duration::from_millis(600)).await;
    let drain = tokio::spawn(rig.server.drain());
    for watch in &mut watches {
        assert_eq!(next(watch).await, NotServing);
    }
    assert_eq!(probes.ready().await, unavailable("shutting down"));
    assert_eq!(probes.get("/livez").await.0, "HTTP/1.1 200 OK");
    call.await.unwrap().unwrap();
    let said = tokio::time::timeout(Duration::from_millis(50), liveness.message()).await;
    assert!(said.is_err(), "nothing new about the process: {said:?}");
    drop((watches, liveness, probes, rig.caller));
    drain.await.unwrap();
}

#[tokio::test]
async fn the_admin_pages_are_three() {
    let rig = Rig::start().await;
    let probes = Probes::of(&rig).await;
    let (status, _headers, body) = probes.get("/livez").await;
    assert_eq!((status, body), ok("alive\n"));
    let (status, headers, body) = probes.get("/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let content_type = "content-type: text/plain; version=0.0.4; charset=utf-8";
    assert!(headers.lines().any(|header| header == content_type), "{headers}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(body.contains("\ngateway_build_info{revision=\""), "{body}");
    assert!(body.contains(&format!("version=\"{version}\"}} 1\n")), "{body}");
    // The log of this process goes elsewhere.
    for sample in [
        "gateway_log_lines_dropped_total 0",
        "gateway_credential_refused 0",
        "gateway_clock_offset_seconds 0",
    ] {
        assert!(body.lines().any(|line| line == sample), "{sample}: {body}");
    }
    for path in ["/", "/health", "/metrics/", "/livez/x"] {
        assert_eq!(probes.get(path).await.0, "HTTP/1.1 404 Not Found", "{path}");
    }
}

/// An outage of OCI's is no fault of this replica: not ready, all replicas would leave the Service together, and callers get
/// connection errors in place of an answer that says what is wrong and when to come back.
#[tokio::test]
async fn an_open_breaker_is_told_to_callers_and_takes_no_readiness_away() {
    let retry = retry::Config { attempts: 1, ..retry::Config::default() };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    let probes = Probes::of(&rig).await;
    let mut watch = probes.watch(SERVER).await;
    until(&mut watch, Serving).await;
    rig.sandbox.inject(FaultRule::new(Fault::status(500, "InternalError", "down")).forever()).unwrap();
    let mut reason = String::new();
    for _ in 0..21 {
        let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
        reason.clone_from(&status.get_error_details().error_info().unwrap().reason);
    }
    assert_eq!(reason, "BREAKER_OPEN");
    assert_eq!(probes.all().await, [Serving; 3]);
    assert_eq!(probes.ready().await, ok("ready\n"));
    let changed = tokio::time::timeout(Duration::from_millis(300), next(&mut watch)).await;
    assert!(changed.is_err(), "{changed:?}");
}
