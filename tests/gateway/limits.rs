//! What one connection may do, and what becomes of a peer that does more: it alone is the loser.

use crate::ending::LEEWAY;
use crate::frames;
use crate::frames::Peer;
use crate::logs;
use crate::raw;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use http::StatusCode;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server;
use prost::Message;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

#[tokio::test]
async fn the_limits_of_a_connection_are_told_at_once() {
    let rig = Rig::start().await;
    let mut peer = Peer::connect(rig.server.address()).await;
    let settings = peer.next_of(frames::SETTINGS).await.unwrap();
    let told: BTreeMap<u16, u32> = settings
        .payload
        .chunks(6)
        .map(|pair| {
            (u16::from_be_bytes([pair[0], pair[1]]), u32::from_be_bytes(pair[2..].try_into().unwrap()))
        })
        .collect();
    // RFC 9113, 6.5.2
    assert_eq!(told.get(&0x3), Some(&128), "SETTINGS_MAX_CONCURRENT_STREAMS: {told:?}");
    assert_eq!(told.get(&0x6), Some(&(16 * 1024)), "SETTINGS_MAX_HEADER_LIST_SIZE: {told:?}");
    let stream_window = told.get(&0x4).copied().unwrap_or(65_535);
    assert!((65_535..=65_536).contains(&stream_window), "SETTINGS_INITIAL_WINDOW_SIZE: {told:?}");
    let update = peer.next_of(frames::WINDOW_UPDATE).await.unwrap();
    assert_eq!((update.stream, update.number(0)), (0, 1024 * 1024 - 65_535), "the connection's window");
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_those_within_it_served() {
    let rig = Rig::start().await;
    let mut peer = Peer::connect(rig.server.address()).await;
    let streams: Vec<u32> = frames::streams().take(140).collect();
    for stream in &streams {
        peer.send(&frames::call(*stream, CREATE_VOLUME_BACKUP, &[], 0)).await;
    }
    for one_more in &streams[128..] {
        let reset = peer.next_of(frames::RST_STREAM).await.unwrap();
        assert_eq!((reset.stream, reset.number(0)), (*one_more, frames::REFUSED_STREAM), "{reset:?}");
    }
    let message = raw::frame(&create().encode_to_vec());
    peer.send(&frames::frame(frames::DATA, frames::END_STREAM, streams[127], &message)).await;
    assert_eq!(peer.next_of(frames::HEADERS).await.unwrap().stream, streams[127]);
    assert_eq!(rig.commits(), 1);
}

/// Ways to make the server reset a stream ("MadeYouReset", CVE-2025-8671).
fn provocations(stream: u32) -> [(&'static str, Vec<u8>); 3] {
    let open = |more: &[(&str, &str)]| frames::call(stream, CREATE_VOLUME_BACKUP, more, 0);
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let overflow = frames::frame(frames::WINDOW_UPDATE, 0, stream, &most);
    let short = frames::frame(frames::DATA, frames::END_STREAM, stream, b"x");
    [
        ("a bad header", open(&[("connection", "close")])),
        ("a window that overflows", [open(&[]), overflow].concat()),
        ("a message shorter than announced", [open(&[("content-length", "5")]), short].concat()),
    ]
}

#[tokio::test]
async fn a_peer_that_provokes_resets_loses_its_connection_and_nobody_else_does() {
    for way in 0..3 {
        let rig = Rig::start().await;
        let bystander = rig.stalled(Duration::from_millis(200)).await;
        let mut peer = Peer::connect(rig.server.address()).await;
        let mut provoke = frames::streams().map(|stream| provocations(stream)[way].clone());
        let name = provocations(1)[way].0;
        let mut burst = |count| provoke.by_ref().take(count).flat_map(|(_, bytes)| bytes).collect::<Vec<_>>();
        peer.settle().await.unwrap();
        for _ in 0..50 {
            peer.send(&burst(20)).await;
            for _ in 0..20 {
                let reset = peer.next_of(frames::RST_STREAM).await;
                reset.unwrap_or_else(|| panic!("{name}: 1,000 resets are borne"));
            }
        }
        peer.send(&burst(100)).await;
        let goaway = peer.settle().await.expect_err("1,100 are not");
        assert_eq!(goaway.number(4), frames::ENHANCE_YOUR_CALM, "{name}: {goaway:?}");
        assert_eq!(goaway.payload[8..], *b"too_many_internal_resets", "{name}: {goaway:?}");
        while peer.next().await.is_some() {}
        bystander.await.unwrap().expect("another connection is unharmed");
        rig.caller.clone().create_volume_backup(create()).await.unwrap();
        assert_eq!(rig.creates().len(), 2, "{name}: nothing of it went further");
    }
}

#[tokio::test]
async fn a_peer_that_opens_and_resets_streams_loses_its_connection_and_nobody_else_does() {
    let rig = Rig::start().await;
    let bystander = rig.stalled(Duration::from_millis(200)).await;
    let mut peer = Peer::connect(rig.server.address()).await;
    let mut attack = frames::streams().map(open_and_reset);
    let mut burst = |count| attack.by_ref().take(count).flatten().collect::<Vec<_>>();
    peer.send(&burst(500)).await;
    peer.settle().await.expect("callers may change their mind");
    peer.send(&burst(1000)).await;
    let goaway = peer.settle().await.expect_err("but not without end");
    assert_eq!(goaway.number(4), frames::ENHANCE_YOUR_CALM, "{goaway:?}");
    assert_eq!(goaway.payload[8..], *b"too_many_resets", "{goaway:?}");
    bystander.await.unwrap().expect("another connection is unharmed");
    assert_eq!(rig.creates().len(), 1, "nothing of it went further");
}

/// Opens and resets streams on one connection after the other; how many connections that took.
async fn reset_rapidly(gateway: SocketAddr, streams: u32) -> u32 {
    let mut connections = 0;
    let mut sent = 0;
    while sent < streams {
        let mut peer = Peer::connect(gateway).await;
        connections += 1;
        let burst: Vec<u8> = frames::streams().take(1000).flat_map(open_and_reset).collect();
        peer.send(&burst).await;
        sent += 1000;
        peer.settle().await.expect_err("more than five hundred are not borne");
    }
    connections
}

fn open_and_reset(stream: u32) -> Vec<u8> {
    let cancel = frames::frame(frames::RST_STREAM, 0, stream, &0x8_u32.to_be_bytes());
    [frames::call(stream, CREATE_VOLUME_BACKUP, &[], 0), cancel].concat()
}

/// Row 77.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_thousand_streams_opened_and_reset_slow_nobody_else_down() {
    let rig = Rig::start().await;
    let mut attack = tokio::spawn(reset_rapidly(rig.server.address(), 50_000));
    let mut times = Vec::new();
    let connections = loop {
        let began = Instant::now();
        rig.caller.clone().create_volume_backup(create()).await.expect("another connection is unharmed");
        times.push(began.elapsed());
        match tokio::time::timeout(Duration::from_millis(5), &mut attack).await {
            Ok(connections) => break connections.unwrap(),
            Err(_goes_on) => {}
        }
    };
    times.sort();
    let slowest = times[times.len() * 99 / 100];
    assert!(times.len() >= 10, "{times:?}");
    assert!(slowest < LEEWAY, "{times:?}");
    assert_eq!((connections, rig.creates().len()), (50, times.len()), "nothing of it went further");
}

#[tokio::test]
async fn more_than_16_kib_of_headers_are_refused() {
    let rig = Rig::start().await;
    let status = async |bytes: usize| {
        let filler = "x".repeat(bytes);
        let headers = [("x-filler", filler.as_str()), ("grpc-timeout", "1m")];
        let (response, _stream) = raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &headers).await;
        response.await.unwrap().status()
    };
    assert_eq!(status(15 * 1024).await, StatusCode::OK);
    assert_eq!(status(16 * 1024).await, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
}

fn short_lived() -> Setup {
    let max_connection_age = Duration::from_millis(300);
    let server = server::Config { max_connection_age, ..Setup::default().server };
    Setup { server, ..Setup::default() }
}

#[tokio::test]
async fn an_old_connection_is_asked_to_go_and_its_call_in_flight_finishes() {
    let rig = Rig::with(short_lived()).await;
    rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_millis(900)));
    let mut peer = Peer::connect(rig.server.address()).await;
    let began = Instant::now();
    peer.send(&frames::call(1, CREATE_VOLUME_BACKUP, &[], 0)).await;
    let message = raw::frame(&create().encode_to_vec());
    peer.send(&frames::frame(frames::DATA, frames::END_STREAM, 1, &message)).await;
    let goaway = peer.next_of(frames::GOAWAY).await.unwrap();
    let age = began.elapsed();
    assert!((200..700).contains(&age.as_millis()), "{age:?}");
    assert_eq!(goaway.number(4), frames::NO_ERROR, "{goaway:?}");
    let (mut answered, mut ended) = (0, 0);
    // The server waits for its PING's answer before it says which stream is the last (RFC 9113, 6.8).
    while let Some(frame) = peer.next().await {
        match frame.kind {
            frames::PING if frame.flags == 0 => {
                peer.send(&frames::frame(frames::PING, frames::ACK, 0, &frame.payload)).await;
            }
            frames::DATA => answered += frame.payload.len(),
            frames::HEADERS if frame.flags & frames::END_STREAM != 0 => ended += 1,
            _ => {}
        }
    }
    assert!(answered > 0 && ended == 1, "{answered} bytes and {ended} trailers: an answer with a message");
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
}

/// A create by a client that follows. What its own library never sent (tonic queues calls on a connection that
/// is just being closed) it sends anew, as gRPC's libraries do by themselves ("transparent retry", gRFC A6).
async fn followed(caller: &BackupServiceClient<Channel>) -> Result<(), Status> {
    let message = create();
    loop {
        match caller.clone().create_volume_backup(message.clone()).await {
            Err(status) if never_sent(&status) => {}
            other => return other.map(|_answer| ()),
        }
    }
}

fn never_sent(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.downcast_ref().is_some_and(hyper::Error::is_canceled) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[tokio::test]
async fn a_client_that_follows_has_no_failed_call() {
    let rig = Rig::with(short_lived()).await;
    let began = Instant::now();
    let mut calls = 0;
    while began.elapsed() < Duration::from_millis(1500) {
        let (one, other) = tokio::join!(followed(&rig.caller), followed(&rig.caller));
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
        calls += 2;
    }
    assert_eq!((rig.creates().len(), rig.commits()), (calls, calls));
    let tokens = rig.creates().into_iter().map(|attempt| attempt.retry_token.unwrap());
    let calls = tokens.step_by(10).flat_map(|token| logs::lines("call", &token));
    let peers: BTreeSet<String> = calls.map(|call| call["peer"].to_string()).collect();
    assert!((3..=6).contains(&peers.len()), "connections of 300 ms each: {peers:?}");
}

#[tokio::test]
async fn a_peer_that_vanished_is_found_out_by_a_ping() {
    let rig = Rig::start().await;
    let mut peer = Peer::connect(rig.server.address()).await;
    peer.settle().await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let ping = peer.next_of(frames::PING).await.unwrap();
    assert_eq!(ping.flags, 0);
    while peer.next().await.is_some() {}
    let lived = began.elapsed().as_secs();
    assert!((39..=42).contains(&lived), "{lived} s");
}
