//! The program at the limits of the system: descriptors, processor, memory.

use crate::certificates::Authority;
use crate::certificates::Secret;
use crate::certificates::client;
use crate::cgroup::Cgroup;
use crate::frames;
use crate::frames::Peer;
use crate::process::Running;
use crate::process::program;
use crate::process::program_within;
use crate::serve::channel;
use crate::serve::create;
use crate::upstream::Upstream;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// One flood at a time: side by side they would take the processors, and with them the measure, from each other.
static ALONE: Mutex<()> = Mutex::const_new(());

const CREATE: &str = "/ocibackup.v1.BackupService/CreateVolumeBackup";
const SERVE: &str = "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";

/// The program with so many descriptors.
fn with_descriptors(upstream: &Upstream, count: u32, more: &str) -> Running {
    let program = program_within(&format!("ulimit -n {count}"), &format!("{SERVE} {more}"));
    upstream.sign_in(program).start()
}

/// The log lines with this message.
fn lines(running: &Running, message: &str) -> Vec<Value> {
    let lines = running.stderr();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_it_waits_idly_and_goes_on_within_a_second_of_their_return() {
    const MESSAGE: &str = "no connection can be accepted for a moment";
    let upstream = Upstream::start().await;
    let mut serve = with_descriptors(&upstream, 64, "--max-connections 1000");
    let address = serve.address();
    serve.logged("readiness");
    let mut early = Peer::connect(address).await;
    early.settle().await.unwrap();
    let mut crowd = Vec::new();
    for _ in 0..150 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    serve.logged(MESSAGE);
    let (began, used) = (Instant::now(), serve.processor_time());
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let (took, used) = (began.elapsed(), serve.processor_time() - used);
    assert!(used < took / 10, "{used:?} of a processor in {took:?}");
    assert!(lines(&serve, MESSAGE).len() <= 3, "at most one a second: {}", serve.stderr());
    early.settle().await.expect("who is in is served");

    drop(crowd);
    let returned = Instant::now();
    create(address, "ocid1.volume.oc1.iad.one").await.expect("it goes on");
    assert!(returned.elapsed() < Duration::from_secs(1), "{:?}", returned.elapsed());
}

/// Whether a connection is open after all that is on its way has come.
async fn is_open(peer: &mut Peer) -> bool {
    peer.send(&frames::frame(frames::PING, 0, 0, b"are-you?")).await;
    peer.next_of(frames::PING).await.is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_take_at_most_half_of_the_descriptors() {
    let upstream = Upstream::start().await;
    let mut serve = with_descriptors(&upstream, 200, "");
    let address = serve.address();
    serve.logged("readiness");
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(Peer::connect(address).await);
    }
    let mut open = 0;
    for peer in &mut crowd {
        open += usize::from(is_open(peer).await);
    }
    assert_eq!(open, 100);
    let refused = serve.logged("connections are refused: there are as many as there may be");
    assert_eq!(refused["most"], 100);
    drop(crowd);
    until_served(address).await;
}

/// So many descriptors may this process and its children have at most; it takes them.
fn all_descriptors() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

/// Row 82.
#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_idle_connections_stay_within_their_memory() {
    let _alone = ALONE.lock().await;
    const TOO_MANY: usize = 100;
    let most = usize::try_from(all_descriptors().min(10_500) - 500).unwrap() / 2;
    if most < 5_000 {
        println!("NOT PROVEN HERE: this machine has descriptors for {most} connections only");
    }
    let upstream = Upstream::start().await;
    // Half of them are for connections.
    let mut serve = with_descriptors(&upstream, u32::try_from(2 * most).unwrap(), "");
    let address = serve.address();
    serve.logged("readiness");
    let at_rest = serve.memory("VmRSS");
    let mut crowd = Vec::new();
    for _ in 0..most + TOO_MANY {
        crowd.push(Peer::connect(address).await);
    }
    let mut open = 0;
    for peer in &mut crowd {
        open += usize::from(is_open(peer).await);
    }
    let grown = serve.memory("VmHWM") - at_rest;
    println!("{open} connections: {grown} KiB more than {at_rest}");
    assert_eq!(open, most, "and {TOO_MANY} were refused");
    // 100 MiB less what a release build takes at rest.
    assert!(grown <= 90 * 1024, "{grown} KiB");
    drop(crowd);
    until_served(address).await;
}

/// As many as chart and base admit, with what their limit of memory holds besides.
#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_idle_connections_with_tls_take_eighty_mebibytes() {
    let _alone = ALONE.lock().await;
    const MOST: usize = 2_000;
    all_descriptors();
    let authority = Authority::new("authority");
    let secret = Secret::new(&authority.good("gateway"), &authority.pem);
    let upstream = Upstream::start().await;
    let program = program_within("ulimit -n 4500", &format!("{SERVE} --max-connections {MOST}"));
    let program = program.env("GATEWAY_TLS_CERT", secret.path("tls.crt"));
    let mut serve = upstream.sign_in(program.env("GATEWAY_TLS_KEY", secret.path("tls.key"))).start();
    let address = serve.address();
    serve.logged("readiness");
    let at_rest = serve.memory("VmRSS");
    let config = client(&authority, None, &[&rustls::version::TLS13], &["h2"]);
    let mut crowd = Vec::new();
    for _ in 0..MOST {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let stream = TlsConnector::from(Arc::clone(&config)).connect(name, stream).await.unwrap();
        let mut peer = Peer::over(stream).await;
        peer.settle().await.unwrap();
        crowd.push(peer);
    }
    let grown = serve.memory("VmHWM") - at_rest;
    println!("{MOST} connections with TLS: {grown} KiB more than {at_rest}");
    assert!(grown <= 80 * 1024, "{grown} KiB");
}

async fn until_served(address: SocketAddr) {
    let began = Instant::now();
    while !is_open(&mut Peer::connect(address).await).await {
        assert!(began.elapsed() < Duration::from_secs(3), "there is room again");
    }
    create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
}

/// Opens streams on a connection of its own, each with a message that has yet to end, and counts what is refused.
async fn streams(gateway: SocketAddr, count: usize, refused: Arc<AtomicUsize>) {
    let mut peer = Peer::connect(gateway).await;
    // The window is told by then, and all of them fit into it.
    peer.settle().await.unwrap();
    for stream in frames::streams().take(count) {
        let part = [&[0, 0, 0, 0x40, 0][..], &[0; 8 * 1024]].concat();
        let part = frames::frame(frames::DATA, 0, stream, &part);
        peer.send(&[frames::call(stream, CREATE, &[], 0), part].concat()).await;
    }
    while let Some(frame) = peer.next().await {
        let ended = frame.kind == frames::HEADERS && frame.flags & frames::END_STREAM != 0;
        refused.fetch_add(usize::from(ended), Ordering::Relaxed);
    }
    panic!("a connection outlives its calls");
}

/// Ten thousand streams over a hundred connections, until all are refused for which there is no room.
async fn ten_thousand_streams(gateway: SocketAddr) -> JoinSet<()> {
    let refused = Arc::new(AtomicUsize::new(0));
    let all: JoinSet<()> = (0..100).map(|_| streams(gateway, 100, Arc::clone(&refused))).collect();
    let began = Instant::now();
    while refused.load(Ordering::Relaxed) < 10_000 - 1024 {
        assert!(began.elapsed() < Duration::from_secs(30), "{refused:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Messages that have not come after five seconds are not waited for either.
    assert!((10_000 - 1024..=10_000).contains(&refused.load(Ordering::Relaxed)), "{refused:?}");
    assert_eq!(all.len(), 100, "no connection has ended");
    all
}

/// Row 89, by the limit that a process without privileges can have: of its own memory, as the kernel counts it. A
/// process that wants more than that ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_takes_most_of_the_memory_ends_nobody_and_health_answers() {
    let _alone = ALONE.lock().await;
    const LIMIT_KIB: u64 = 96 * 1024;
    let upstream = Upstream::start().await;
    let serve = program_within(&format!("ulimit -d {LIMIT_KIB}"), SERVE);
    let mut serve = upstream.sign_in(serve).start();
    let gateway = serve.address();
    serve.logged("readiness");
    let mut health = HealthClient::new(channel(gateway).await);
    let flood = tokio::spawn(ten_thousand_streams(gateway));
    loop {
        // How soon is another matter: client and flood share the processors of this test with the gateway.
        let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        if flood.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (used, resident) = (serve.memory("VmData"), serve.memory("VmHWM"));
    println!("{used} KiB of {LIMIT_KIB}, {resident} resident");
    assert!(used > LIMIT_KIB * 6 / 10, "{used} KiB: the limit is not near");
    drop(flood.await.unwrap());
    until_served(gateway).await;
}

/// Row 89, by the limit that a pod has: a cgroup's. Others in it take so much that with a flood it is nine tenths full.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_in_a_cgroup_that_is_nearly_full_ends_nobody_and_health_answers() {
    const LIMIT: u64 = 320 << 20;
    let _alone = ALONE.lock().await;
    let Some(group) = Cgroup::make() else {
        println!("NOT PROVEN HERE: this machine lets no test make a cgroup that limits memory");
        return;
    };
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program_within(&group.join(), SERVE)).start();
    let gateway = serve.address();
    serve.logged("readiness");
    // The second takes more: what was taken for others has found its uses by then.
    let alone = flooded(gateway, &group).await.max(flooded(gateway, &group).await);
    let others = (LIMIT / 10 * 9).checked_sub(alone).expect("row 81");
    let Some(_others) = group.fill(others) else {
        println!("NOT PROVEN HERE: this machine has no file system in memory for {others} bytes");
        return;
    };
    group.limit(LIMIT);
    let taken = flooded(gateway, &group).await;
    println!("{} KiB of {}, {} by the gateway alone", taken / 1024, LIMIT / 1024, alone / 1024);
    assert!(taken > LIMIT / 100 * 85, "{taken} of {LIMIT}: the limit is not near");
    assert_eq!(group.kills(), 0, "nobody was killed");
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
}

/// Floods the gateway while health is asked, and returns the most memory that was taken.
async fn flooded(gateway: SocketAddr, group: &Arc<Cgroup>) -> u64 {
    let mut health = HealthClient::new(channel(gateway).await);
    let watch = group.watch();
    let flood = tokio::spawn(ten_thousand_streams(gateway));
    while !flood.is_finished() {
        let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let most = watch.stop();
    drop(flood.await.unwrap());
    until_served(gateway).await;
    most
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_over_a_hundred_connections_stay_within_their_memory() {
    let _alone = ALONE.lock().await;
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program(SERVE)).start();
    let gateway = serve.address();
    serve.logged("readiness");
    let began = Instant::now();
    let all = ten_thousand_streams(gateway).await;
    let peak = serve.memory("VmHWM");
    println!("{peak} KiB after {:?}", began.elapsed());
    assert!(peak <= 256 * 1024, "{peak} KiB");
    assert!(is_open(&mut Peer::connect(gateway).await).await);
    drop(all);
    until_served(gateway).await;
}

/// A caller who comes back as soon as it is answered.
async fn insist(mut caller: BackupServiceClient<Channel>, served: Arc<AtomicUsize>) {
    for at in 0.. {
        let volume_id = format!("ocid1.volume.oc1.iad.{at}");
        let request = pb::CreateVolumeBackupRequest { volume_id, ..Default::default() };
        match caller.create_volume_backup(request).await {
            Err(status) if status.code() == Code::ResourceExhausted => {}
            _served => drop(served.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_answers_while_five_times_as_many_call_as_there_is_room_for() {
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program(&format!("{SERVE} --max-in-flight 8"))).start();
    let url = format!("http://{}", serve.address());
    serve.logged("readiness");
    let served = Arc::new(AtomicUsize::new(0));
    let mut storm = JoinSet::new();
    for _ in 0..4 {
        let caller = BackupServiceClient::connect(url.clone()).await.unwrap();
        for _ in 0..10 {
            storm.spawn(insist(caller.clone(), Arc::clone(&served)));
        }
    }
    let times = std::thread::spawn(move || probes(url)).join().unwrap();
    let slowest = times[times.len() * 99 / 100];
    println!("{:?} in the middle, {slowest:?}, {served:?} calls served", times[times.len() / 2]);
    // 50 ms in a release build that has its processors to itself (`cargo bench --bench whole_calls -- storm`).
    assert!(slowest < Duration::from_secs(1), "{times:?}");
    let refused = |line: &Value| line["code"] == "RESOURCE_EXHAUSTED";
    assert!(lines(&serve, "call").iter().any(refused) && served.load(Ordering::Relaxed) > 0);
}

/// How long so many health checks take, in order; on a thread of their own, so that only the gateway is measured.
#[tokio::main(flavor = "current_thread")]
async fn probes(url: String) -> Vec<Duration> {
    let mut health = HealthClient::new(Channel::from_shared(url).unwrap().connect().await.unwrap());
    let mut times = Vec::new();
    for _ in 0..60 {
        let began = Instant::now();
        health.check(HealthCheckRequest::default()).await.unwrap();
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    times
}
