//! Floods of frames (RFC 9113, 10.5): the peer is stopped or loses its connection, memory stays, nobody else notices.

use crate::frames;
use crate::frames::Peer;
use crate::process::program;
use crate::serve::create;
use crate::upstream::Upstream;
use std::net::SocketAddr;
use std::time::Duration;

const SERVE: &str = "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
const CREATE: &str = "/ocibackup.v1.BackupService/CreateVolumeBackup";

const CONTINUATION: u8 = 0x9;

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The other side takes no more: it has its fill unread.
    Stopped,
    /// GOAWAY with this code.
    Gone(u32),
    /// All of it was taken.
    Taken,
}

/// Sends `burst` again and again, so many bytes in all, and never reads before the end.
async fn flood(gateway: SocketAddr, opening: &[u8], burst: &[u8], total: usize) -> Ended {
    let mut peer = Peer::connect(gateway).await;
    peer.settle().await.unwrap();
    peer.send(opening).await;
    for _ in 0..total / burst.len() {
        if tokio::time::timeout(Duration::from_millis(500), peer.send(burst)).await.is_err() {
            return Ended::Stopped;
        }
    }
    match peer.settle().await {
        Ok(()) => Ended::Taken,
        Err(goaway) => Ended::Gone(goaway.number(4)),
    }
}

/// `frame`, so often that a burst has some 64 KiB.
fn burst(frame: &[u8]) -> Vec<u8> {
    frame.repeat((64 * 1024 / frame.len()).max(1))
}

/// The HEADERS of a call with these header fields after the usual ones.
fn headers(stream: u32, flags: u8, fields: &[u8]) -> Vec<u8> {
    let call = frames::call(stream, CREATE, &[], 0);
    frames::frame(frames::HEADERS, flags, stream, &[&call[9..], fields].concat())
}

/// A header field of 4 KB that the table keeps, and it again by its number, 12,000 times (RFC 7541, 6.2.1 and 6.1): 48
/// MB in 16 KB.
fn bomb(stream: u32) -> Vec<u8> {
    let kept = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'y'; 4000], &[0xbe; 12_000]].concat();
    headers(stream, frames::END_HEADERS | frames::END_STREAM, &kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_stops_or_costs_its_peer_the_connection_and_takes_no_memory() {
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program(SERVE)).start();
    let gateway = serve.address();
    create(gateway, "ocid1.volume.oc1.iad.first").await.unwrap();
    const CALM: u32 = frames::ENHANCE_YOUR_CALM;
    let literal = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
    for (name, opening, frame, expected) in [
        ("PING", vec![], frames::frame(frames::PING, 0, 0, b"12345678"), Ended::Stopped),
        ("SETTINGS", vec![], frames::frame(frames::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), Ended::Stopped),
        (
            "empty DATA",
            frames::call(1, CREATE, &[], 0),
            frames::frame(frames::DATA, 0, 1, &[]),
            Ended::Gone(CALM),
        ),
        (
            "CONTINUATION",
            headers(1, 0, &[]),
            frames::frame(CONTINUATION, 0, 1, &literal.repeat(10)),
            Ended::Gone(CALM),
        ),
        ("empty CONTINUATION", headers(1, 0, &[]), frames::frame(CONTINUATION, 0, 1, &[]), Ended::Gone(CALM)),
        ("HPACK", vec![], frames::streams().take(100).flat_map(bomb).collect(), Ended::Gone(CALM)),
    ] {
        let before = serve.memory("VmRSS");
        let ended = flood(gateway, &opening, &burst(&frame), 24 * 1024 * 1024).await;
        let grown = serve.memory("VmHWM").saturating_sub(before);
        assert_eq!(ended, expected, "{name}");
        assert!(grown <= 1024, "{name}: {grown} KiB more");
        create(gateway, &format!("ocid1.volume.oc1.iad.{}", name.replace(' ', "-"))).await.expect(name);
    }
}
