//! The program at the limits of the system: descriptors, processor, memory.

use crate::frames;
use crate::frames::Peer;
use crate::process::Running;
use crate::process::program;
use crate::process::program_within;
use crate::serve::create;
use crate::upstream::Upstream;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

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

async fn until_served(address: SocketAddr) {
    let began = Instant::now();
    while !is_open(&mut Peer::connect(address).await).await {
        assert!(began.elapsed() < Duration::from_secs(1), "there is room again");
    }
    create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
}

/// Opens streams on a connection of its own, each with a message that has yet to end, and tells what was refused.
async fn streams(gateway: SocketAddr, count: usize) -> (Peer, usize) {
    let mut peer = Peer::connect(gateway).await;
    let mut ended = 0;
    for stream in frames::streams().take(count) {
        // All of them fit into the connection's window.
        let part =
            frames::frame(frames::DATA, 0, stream, &[&[0, 0, 0, 0x40, 0][..], &[0; 8 * 1024]].concat());
        peer.send(&[frames::call(stream, CREATE, &[], 0), part].concat()).await;
    }
    peer.send(&frames::frame(frames::PING, 0, 0, b"all-sent")).await;
    loop {
        let frame = peer.next().await.expect("the connection lives");
        match frame.kind {
            frames::HEADERS => {
                assert_eq!(frame.flags & frames::END_STREAM, frames::END_STREAM, "{frame:?}");
                ended += 1;
            }
            frames::PING if frame.flags == frames::ACK => return (peer, ended),
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_over_a_hundred_connections_stay_within_their_memory() {
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program(SERVE)).start();
    let gateway = serve.address();
    serve.logged("readiness");
    let mut all = JoinSet::new();
    for _ in 0..100 {
        all.spawn(streams(gateway, 100));
    }
    let all = all.join_all().await;
    let refused: usize = all.iter().map(|(_peer, refused)| refused).sum();
    println!("{refused} refused, {} KiB", serve.memory("VmHWM"));
    assert_eq!(all.len(), 100);
    drop(all);
    until_served(gateway).await;
}
