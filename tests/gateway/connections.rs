//! Who is let in, for how long without a word, and what becomes of those for whom there is no room.

use crate::frames;
use crate::frames::Peer;
use crate::metrics::Page;
use crate::raw;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::channel;
use crate::rig::create;
use oci_backup_gateway::server;
use prost::Message;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// How long it took until the other side closed the connection.
async fn closed_after(mut stream: impl AsyncRead + Unpin) -> Duration {
    let began = Instant::now();
    let mut said = Vec::new();
    // Reset or closed: both end it.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await.unwrap();
    began.elapsed()
}

async fn impatient(first_bytes_timeout: Duration) -> Rig {
    let server = server::Config { first_bytes_timeout, ..Setup::default().server };
    Rig::with(Setup { server, ..Setup::default() }).await
}

#[tokio::test]
async fn connections_that_say_nothing_are_closed_in_time_and_no_other_is() {
    let timeout = Duration::from_millis(600);
    let rig = impatient(timeout).await;
    let mut silent = JoinSet::new();
    for at in 0..500 {
        let mut stream = TcpStream::connect(rig.server.address()).await.unwrap();
        // Some say half of what they must.
        stream.write_all(&frames::PREFACE[..at % frames::PREFACE.len()]).await.unwrap();
        silent.spawn(closed_after(stream));
    }
    let mut peer = Peer::connect(rig.server.address()).await;
    let lived = silent.join_all().await;
    let (least, most) = (lived.iter().min().unwrap(), lived.iter().max().unwrap());
    assert!(*least > timeout / 2 && *most < timeout + Duration::from_secs(1), "{least:?} to {most:?}");
    peer.settle().await.expect("who has said what it must may be silent");
    rig.caller.clone().create_volume_backup(create()).await.expect("and so may a caller");
}

#[tokio::test]
async fn who_says_its_first_words_one_by_one_gets_no_more_time() {
    let timeout = Duration::from_millis(400);
    let rig = impatient(timeout).await;
    let (reading, mut writing) = TcpStream::connect(rig.server.address()).await.unwrap().into_split();
    let closed = tokio::spawn(closed_after(reading));
    for byte in &frames::PREFACE[1..] {
        let _ = writing.write_all(&[*byte]).await;
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let lived = closed.await.unwrap();
    assert!(lived < timeout + Duration::from_millis(400), "{lived:?}");
}

/// Whether a connection is served now.
async fn is_served(gateway: SocketAddr) -> bool {
    let mut peer = Peer::connect(gateway).await;
    peer.send(&frames::frame(frames::PING, 0, 0, b"are-you?")).await;
    peer.next_of(frames::PING).await.is_some()
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once_until_another_has_gone() {
    // The rig's caller has one.
    let server = server::Config { max_connections: 3, ..Setup::default().server };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    let gateway = rig.server.address();
    let mut within = [Peer::connect(gateway).await, Peer::connect(gateway).await];
    for peer in &mut within {
        peer.settle().await.unwrap();
    }
    for _ in 0..50 {
        let too_many = TcpStream::connect(gateway).await.unwrap();
        let lived = closed_after(too_many).await;
        assert!(lived < Duration::from_millis(500), "{lived:?}");
    }
    for peer in &mut within {
        peer.settle().await.expect("those who are in stay in");
    }
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
    let Page { series, .. } = Page::of(rig.server.admin_address()).await;
    for (name, value) in [
        ("gateway_connections", 3.0),
        ("gateway_connections_limit", 3.0),
        ("gateway_connections_refused_total", 50.0),
    ] {
        assert_eq!(series[name], value, "{name}");
    }
    drop(within);
    let began = Instant::now();
    while !is_served(gateway).await {
        assert!(began.elapsed() < Duration::from_secs(1), "there is room again");
    }
}

#[tokio::test]
async fn the_admin_listener_has_ten_seconds_for_each_and_room_for_64_the_first_of_whom_makes_way() {
    let rig = Rig::start().await;
    let admin = rig.server.admin_address();
    let mut within = JoinSet::new();
    for number in 0..64 {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        within.spawn(async move {
            let began = tokio::time::Instant::now();
            closed_after(stream).await;
            (number, began.elapsed())
        });
    }
    // Whoever only stays keeps nobody out.
    let (status, ..) = rig::page(admin, "/readyz").await;
    assert!(status.contains("200"), "{status}");
    let (first, lived) = within.join_next().await.unwrap().unwrap();
    assert!(first == 0 && lived < Duration::from_secs(2), "{first}: {lived:?}");
    assert!(within.try_join_next().is_none(), "and the others stay");
    tokio::time::pause();
    for (_number, lived) in within.join_all().await {
        assert!((9..=11).contains(&lived.as_secs()), "{lived:?}");
    }
}

#[tokio::test]
async fn whoever_stays_at_the_health_listener_makes_way_for_probes() {
    let server = server::Config {
        health_listen: Some((std::net::Ipv4Addr::LOCALHOST, 0).into()),
        ..Setup::default().server
    };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    let address = rig.server.health_address().unwrap();
    let mut within = Vec::new();
    for _ in 0..64 {
        let mut peer = Peer::connect(address).await;
        peer.settle().await.unwrap();
        within.push(peer);
    }
    let mut health = HealthClient::new(channel(address).await);
    let asked = HealthCheckRequest { service: "liveness".to_owned() };
    assert_eq!(health.check(asked).await.unwrap().into_inner().status(), ServingStatus::Serving);
    let mut first = within.remove(0);
    let end = async { while first.next().await.is_some() {} };
    tokio::time::timeout(Duration::from_secs(2), end).await.expect("it came first");
    for peer in &mut within {
        peer.settle().await.expect("one was enough");
    }
}

#[tokio::test]
async fn who_takes_no_answer_and_does_not_go_when_asked_to_is_cut_after_the_last_deadline() {
    let rig = Rig::start().await;
    let mut peer = Peer::connect(rig.server.address()).await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0 (RFC 9113, 6.5.2): not one byte of an answer may be sent.
    peer.send(&frames::frame(frames::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await;
    peer.send(&frames::call(1, CREATE_VOLUME_BACKUP, &[], 0)).await;
    let message = raw::frame(&create().encode_to_vec());
    peer.send(&frames::frame(frames::DATA, frames::END_STREAM, 1, &message)).await;
    peer.next_of(frames::HEADERS).await.unwrap();
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let mut asked = None;
    while let Some(frame) = peer.next().await {
        match frame.kind {
            frames::PING if frame.flags == 0 => {
                peer.send(&frames::frame(frames::PING, frames::ACK, 0, &frame.payload)).await;
            }
            frames::GOAWAY => asked = asked.or(Some(began.elapsed())),
            _ => {}
        }
    }
    // 15 minutes, ±10 %; then 60 s for the longest deadline, and 5 s.
    let (asked, cut) = (asked.unwrap().as_secs(), began.elapsed().as_secs());
    assert!((809..=991).contains(&asked), "{asked} s");
    assert!((asked + 64..=asked + 66).contains(&cut), "{asked} s, {cut} s");
}
