//! Peers that speak HTTP/2 in ways that no library does: what the protocols allow is served, what they forbid costs the
//! peer its call or its connection, and nobody else anything.

use crate::frames;
use crate::frames::DATA;
use crate::frames::END_HEADERS;
use crate::frames::END_STREAM;
use crate::frames::Frame;
use crate::frames::HEADERS;
use crate::frames::Peer;
use crate::frames::frame;
use crate::raw;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig::Rig;
use crate::rig::create;
use prost::Message;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PRIORITY: u8 = 0x2;
const PUSH_PROMISE: u8 = 0x5;
const CONTINUATION: u8 = 0x9;
const PADDED: u8 = 0x8;

fn message() -> Vec<u8> {
    raw::frame(&create().encode_to_vec())
}

/// The HEADERS of a call in so many frames.
fn split(headers: &[u8], parts: usize) -> Vec<u8> {
    let block = &headers[9..];
    let size = block.len().div_ceil(parts);
    let last = block.len().div_ceil(size) - 1;
    let frames = block.chunks(size).enumerate().map(|(at, part)| {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        frame(kind, if at == last { END_HEADERS } else { 0 }, 1, part)
    });
    frames.collect::<Vec<_>>().concat()
}

/// What came on the peer's stream until that ended; `None`: the connection did.
async fn ended(peer: &mut Peer) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    loop {
        let next = peer.next().await?;
        if next.kind == frames::GOAWAY {
            return None;
        }
        if next.stream == 1 {
            let over =
                next.kind == frames::RST_STREAM || next.kind == HEADERS && next.flags & END_STREAM != 0;
            frames.push(next);
            if over {
                return Some(frames);
            }
        }
    }
}

#[tokio::test]
async fn what_the_protocol_allows_is_served_however_it_comes() {
    let rig = Rig::start().await;
    let call = |more: &[(&str, &str)]| frames::call(1, CREATE_VOLUME_BACKUP, more, 0);
    let whole = || frame(DATA, END_STREAM, 1, &message());
    let bytes =
        |message: Vec<u8>| message.chunks(1).map(|byte| frame(DATA, 0, 1, byte)).collect::<Vec<_>>().concat();
    let padded = |message: Vec<u8>| [&[9][..], &message, &[0; 9]].concat();
    // A literal without indexing, `x: y` (RFC 7541, 6.2.2).
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x00\x01x\x01y");
    let unknown = || frame(0xfa, 0xff, 1, b"from another time");
    for (name, bytes) in [
        ("headers in four frames", [split(&call(&[]), 4), whole()].concat()),
        ("byte by byte", [call(&[]), bytes(message()), frame(DATA, END_STREAM, 1, &[])].concat()),
        ("padded", [call(&[]), frame(DATA, END_STREAM | PADDED, 1, &padded(message()))].concat()),
        ("with trailers", [call(&[]), frame(DATA, 0, 1, &message()), trailers].concat()),
        ("with a priority", [call(&[]), frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), whole()].concat()),
        ("with frames that nobody knows", [unknown(), call(&[]), unknown(), whole()].concat()),
        ("with empty metadata", [call(&[("x-empty", ""), ("grpc-tags-bin", "")]), whole()].concat()),
        ("with what is no base64", [call(&[("x-odd-bin", "!?"), ("grpc-trace-bin", "%")]), whole()].concat()),
        ("with words of answers", [call(&[("grpc-status", "0"), ("grpc-message", "x")]), whole()].concat()),
    ] {
        let before = rig.commits();
        let mut peer = Peer::connect(rig.server.address()).await;
        peer.send(&bytes).await;
        let frames = ended(&mut peer).await.unwrap_or_else(|| panic!("{name}: the connection ended"));
        let data: usize =
            frames.iter().filter(|frame| frame.kind == DATA).map(|frame| frame.payload.len()).sum();
        assert!(data > 5, "{name}: {frames:?}");
        assert_eq!(rig.commits(), before + 1, "{name}");
    }
}

#[tokio::test]
async fn what_the_protocol_forbids_ends_quickly_and_starts_nothing() {
    let rig = Rig::start().await;
    let bystander = rig.stalled(Duration::from_secs(2)).await;
    let call = |more: &[(&str, &str)]| frames::call(1, CREATE_VOLUME_BACKUP, more, 0);
    let whole = || frame(DATA, END_STREAM, 1, &message());
    for (name, bytes) in [
        ("a name in capitals", [call(&[("Opc-Request-Id", "x")]), whole()].concat()),
        ("a name with a space", [call(&[("opc request", "x")]), whole()].concat()),
        ("a value with an end of line", [call(&[("x-a", "a\r\nb: c")]), whole()].concat()),
        ("a second path", [call(&[(":path", "/")]), whole()].concat()),
        ("a word of HTTP/1.1", [call(&[("transfer-encoding", "chunked")]), whole()].concat()),
        ("a length that is none", [call(&[("content-length", "-1")]), whole()].concat()),
        ("more than the length", [call(&[("content-length", "3")]), whole()].concat()),
        ("data for no stream", frame(DATA, END_STREAM, 0, &message())),
        ("data before headers", whole()),
        ("an even stream", frames::call(2, CREATE_VOLUME_BACKUP, &[], END_STREAM)),
        ("more padding than there is", [call(&[]), frame(DATA, END_STREAM | PADDED, 1, &[200, 0])].concat()),
        ("a promise", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])),
        ("a window of nothing", [call(&[]), frame(frames::WINDOW_UPDATE, 0, 1, &[0; 4])].concat()),
        ("half a setting", frame(frames::SETTINGS, 0, 0, &[0, 1, 0])),
        ("a frame of 1 MiB", [call(&[]), frame(DATA, END_STREAM, 1, &vec![0; 1 << 20])].concat()),
        ("data after the end", [call(&[]), frame(DATA, END_STREAM, 1, &[]), whole()].concat()),
        ("no compression that is known", frame(HEADERS, END_HEADERS, 1, &[0xff; 64])),
    ] {
        let mut peer = Peer::connect(rig.server.address()).await;
        peer.send(&bytes).await;
        let end = tokio::time::timeout(Duration::from_secs(1), ended(&mut peer)).await;
        let answer = end.unwrap_or_else(|_| panic!("{name}: nothing comes of it"));
        let is_answered = |frames: &Vec<Frame>| frames.iter().any(|frame| frame.kind == DATA);
        assert!(!answer.as_ref().is_some_and(is_answered), "{name}: {answer:?}");
        assert_eq!((rig.creates().len(), rig.commits()), (1, 0), "{name}");
    }
    bystander.await.unwrap().expect("another connection is unharmed");
}

/// Words that are not HTTP/2's, longer than its own first ones.
#[tokio::test]
async fn who_speaks_another_protocol_is_let_go_at_once() {
    let rig = Rig::start().await;
    for words in [
        &b"GET / HTTP/1.1\r\nhost: gateway\r\nconnection: keep-alive\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a client's hello of TLS, more or less",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n and so on",
        &[0; 64],
    ] {
        let mut peer = TcpStream::connect(rig.server.address()).await.unwrap();
        peer.write_all(words).await.unwrap();
        let mut said = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(1), peer.read_to_end(&mut said)).await;
        assert!(end.is_ok(), "{words:?}: {said:?}");
    }
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
}
