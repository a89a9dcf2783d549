//! The end of a server: nobody new, those who are here finish, and nobody holds it up beyond the limit.

use crate::frames;
use crate::frames::Peer;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::channel;
use crate::rig::create;
use oci_backup_gateway::pb;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server;
use oci_backup_gateway::server::Drained;
use std::io;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

/// How much later than its limit a drain may end.
const GRACE: Duration = Duration::from_secs(1);

async fn draining_within(limit: Duration) -> Rig {
    let server = server::Config { drain_timeout: limit, ..Setup::default().server };
    Rig::with(Setup { server, ..Setup::default() }).await
}

#[tokio::test]
async fn a_call_in_flight_finishes() {
    let rig = Rig::start().await;
    let call = rig.stalled(Duration::from_millis(600)).await;
    assert_eq!(rig.server.drain().await, Drained::Whole);
    assert!(call.is_finished() || rig.sandbox.ledger().commits.len() == 1);
    call.await.unwrap().expect("the call was waited for");
}

#[tokio::test]
async fn a_create_whose_caller_left_finishes() {
    let rig = Rig::start().await;
    let call = rig.stalled(Duration::from_millis(600)).await;
    call.abort();
    let Rig { server, sandbox, caller, .. } = rig;
    drop(caller);
    assert_eq!(server.drain().await, Drained::Whole);
    assert_eq!(sandbox.ledger().commits.len(), 1, "it was waited for");
}

#[tokio::test]
async fn nobody_new_is_taken_and_those_who_are_here_are_told() {
    let rig = Rig::start().await;
    let call = rig.stalled(Duration::from_millis(800)).await;
    let address = rig.server.address();
    let mut peer = Peer::connect(address).await;
    peer.settle().await.unwrap();
    let drain = tokio::spawn(rig.server.drain());
    let goaway = peer.next_of(frames::GOAWAY).await.unwrap();
    assert_eq!(goaway.number(4), frames::NO_ERROR, "{goaway:?}");
    let refused = TcpStream::connect(address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(!drain.is_finished() && !call.is_finished(), "while a call is still in flight");
    let ping = peer.next_of(frames::PING).await.unwrap();
    peer.send(&frames::frame(frames::PING, frames::ACK, 0, &ping.payload)).await;
    peer.send(&frames::call(1, CREATE_VOLUME_BACKUP, &[], 0)).await;
    while let Some(frame) = peer.next().await {
        assert_ne!(frame.kind, frames::HEADERS, "no new call on an old connection: {frame:?}");
    }
    call.await.unwrap().unwrap();
    assert_eq!(drain.await.unwrap(), Drained::Whole);
}

#[tokio::test]
async fn watchers_hear_of_it_before_the_door_closes() {
    let rig = Rig::start().await;
    let address = rig.server.address();
    let mut health = HealthClient::new(channel(address).await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    while watch.message().await.unwrap().unwrap().status() != ServingStatus::Serving {}
    let drain = tokio::spawn(rig.server.drain());
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    TcpStream::connect(address).await.expect("the door is still open");
    drop((watch, health, rig.caller));
    assert_eq!(drain.await.unwrap(), Drained::Whole);
}

/// Waits until the other side ends the connection.
async fn end(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn silent_peers_hold_up_nobody_beyond_the_limit() {
    let limit = Duration::from_millis(300);
    let preface = &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..];
    for said in [&b""[..], &preface[..10], preface] {
        let rig = draining_within(limit).await;
        let mut peer = TcpStream::connect(rig.server.address()).await.unwrap();
        peer.write_all(said).await.unwrap();
        rig.caller.clone().create_volume_backup(create()).await.unwrap();
        let began = Instant::now();
        assert_eq!(rig.server.drain().await, Drained::Cut, "after {said:?}");
        let lasted = began.elapsed();
        assert!((limit..limit + GRACE).contains(&lasted), "{lasted:?}");
        tokio::time::timeout(GRACE, end(peer)).await.expect("the connection is ended");
    }
}

#[tokio::test]
async fn connections_without_a_call_are_not_waited_for() {
    let rig = draining_within(Duration::from_secs(5)).await;
    let address = rig.server.address();
    let silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(&frames::PREFACE[..10]).await.unwrap();
    let mut idle = Peer::connect(address).await;
    idle.settle().await.unwrap();
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
    let began = Instant::now();
    assert_eq!(rig.server.drain().await, Drained::Whole, "there was no call to cut");
    let lasted = began.elapsed();
    assert!(lasted < Duration::from_millis(1500), "{lasted:?}");
    for stream in [silent, slow] {
        tokio::time::timeout(GRACE, end(stream)).await.expect("the connection is ended");
    }
    while idle.next().await.is_some() {}
}

#[tokio::test]
async fn an_endless_stream_holds_up_nobody_beyond_the_limit() {
    let limit = Duration::from_millis(300);
    let rig = draining_within(limit).await;
    let mut health = HealthClient::new(channel(rig.server.address()).await);
    let request = HealthCheckRequest { service: "liveness".to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let began = Instant::now();
    assert_eq!(rig.server.drain().await, Drained::Cut);
    let lasted = began.elapsed();
    assert!((limit..limit + GRACE).contains(&lasted), "{lasted:?}");
    let said = tokio::time::timeout(GRACE, watch.message()).await.expect("the stream is ended");
    assert!(said.is_err(), "{said:?}");
}

#[tokio::test]
async fn a_call_beyond_the_limit_is_cut_and_its_caller_is_told() {
    let limit = Duration::from_millis(300);
    let rig = draining_within(limit).await;
    let call = rig.stalled(Duration::from_secs(4)).await;
    let began = Instant::now();
    assert_eq!(rig.server.drain().await, Drained::Cut);
    assert!(began.elapsed() < limit + GRACE, "{:?}", began.elapsed());
    let status = call.await.unwrap().unwrap_err();
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((status.code(), info.reason.as_str()), (Code::Unavailable, "DRAINING"), "{status:?}");
    assert_eq!((info.metadata["outcome"].as_str(), info.metadata["attempts"].as_str()), ("UNKNOWN", "1"));
}

/// The token that the gateway made is the caller's only guard.
#[tokio::test]
async fn a_call_that_is_cut_without_a_token_of_its_own_is_told_the_one_that_was_made() {
    let rig = draining_within(Duration::from_millis(300)).await;
    rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(4)));
    let request = pb::CreateVolumeBackupRequest { retry_token: None, ..create() };
    let mut caller = rig.caller.clone();
    let call = tokio::spawn(async move { caller.create_volume_backup(request).await });
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.server.drain().await, Drained::Cut);
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unknown, "{status:?}");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    let made = rig.sandbox.ledger().commits.remove(0);
    assert_eq!(status.metadata().get("opc-retry-token").unwrap(), made.token.unwrap().as_str());
}

#[tokio::test]
async fn a_create_beyond_the_limit_is_not_waited_for() {
    let limit = Duration::from_millis(300);
    let rig = draining_within(limit).await;
    let call = rig.stalled(Duration::from_secs(4)).await;
    call.abort();
    let Rig { server, caller, .. } = rig;
    drop(caller);
    let began = Instant::now();
    assert_eq!(server.drain().await, Drained::Cut);
    let lasted = began.elapsed();
    assert!((limit..limit + GRACE).contains(&lasted), "{lasted:?}");
}
