//! Connections that do not come about, break, or fall silent: who tries again, and that nothing is made twice.

use crate::ending::LEEWAY;
use crate::ending::within;
use crate::network;
use crate::network::FAR;
use crate::network::NOBODY;
use crate::network::ip;
use crate::relay::Loses;
use crate::relay::Relay;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::transport::reqwest::Trust;
use rcgen::CertificateParams;
use rcgen::KeyPair;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);

/// A port that is ours, and nobody listens there yet.
fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let (socket, address) = reserved();
    (socket.listen(1024).unwrap(), address)
}

/// A gateway whose OCI is there.
async fn rig_at(address: SocketAddr, setup: Setup) -> Rig {
    Rig::with(Setup { endpoint: Some(format!("http://{address}")), ..setup }).await
}

/// The same through a relay.
async fn relayed(setup: Setup) -> (Rig, Relay) {
    let (listener, address) = listener().await;
    let rig = rig_at(address, setup).await;
    let relay = Relay::start(listener, rig.sandbox.oci_addr());
    (rig, relay)
}

/// Row 1.
#[tokio::test]
async fn a_server_that_comes_up_in_the_meantime_gets_the_create() {
    let (socket, address) = reserved();
    let rig = rig_at(address, Setup::default()).await;
    let up = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Relay::start(socket.listen(16).unwrap(), rig.sandbox.oci_addr())
    };
    let (ending, _relay) = tokio::join!(rig.create(), up);
    rig.assert_once("up after a moment", &ending, 2 * SECOND);
    assert_eq!(rig.attempts(&ending.token), 1, "the others were never sent");
}

/// A listener whose queue is full: it answers no further SYN, and refuses none.
async fn blackhole() -> (TcpListener, Vec<TcpStream>, SocketAddr) {
    let (socket, address) = reserved();
    let listener = socket.listen(1).unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        queue.push(stream.unwrap());
    }
    (listener, queue, address)
}

/// Rows 2, 3, 4 and 7: nothing is sent, so another attempt is always right, and any caller may try again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_sent_is_tried_again_by_the_gateway_and_then_by_anybody() {
    let (_socket, refused) = reserved();
    let (_listener, _queue, silent) = blackhole().await;
    let (_deaf, speechless) = listener().await;
    let moment = Duration::ZERO..2 * SECOND;
    let two_connects = 4 * SECOND..5 * SECOND;
    let cases = [
        ("refused", format!("http://{refused}"), "UPSTREAM_CONNECT", 5, moment.clone()),
        ("no such name", "https://no-such-host.invalid".to_owned(), "UPSTREAM_DNS", 5, moment),
        ("no answer to a SYN", format!("http://{silent}"), "UPSTREAM_CONNECT", 2, two_connects.clone()),
        ("no TLS handshake", format!("https://{speechless}"), "UPSTREAM_CONNECT", 2, two_connects),
    ];
    let calls = cases.map(|(name, endpoint, reason, attempts, bounds)| async move {
        let retry = if attempts == 2 { hasty(2) } else { Setup::default().retry };
        let trust = endpoint.starts_with("http:").then_some(Trust::Plaintext);
        let server = within(10 * SECOND);
        let rig =
            Rig::with(Setup { endpoint: Some(endpoint), trust, retry, server, ..Setup::default() }).await;
        let ending = rig.create().await;
        rig.assert_none(name, &ending, Code::Unavailable, reason);
        assert_eq!(ending.info("attempts"), attempts.to_string(), "{name}");
        assert_eq!(ending.info("outcome"), "NOT_STARTED", "{name}");
        assert!(ending.pushback() > 0 && ending.retry_delay().is_some(), "{name}");
        assert!((bounds.start..bounds.end + LEEWAY).contains(&ending.took), "{name}: {ending:?}");
    });
    let [refused, unknown, silent, speechless] = calls;
    tokio::join!(refused, unknown, silent, speechless);
}

/// Row 3, with a SYN that gets lost and not only unanswered.
#[test]
fn a_syn_that_gets_lost_costs_the_time_of_a_connect() {
    network::alone("connection_faults::of_a_lost_syn");
}

#[tokio::test]
#[ignore = "needs a network of its own"]
async fn of_a_lost_syn() {
    if !network::is_alone() {
        return;
    }
    ip(&format!("link add name near type veth peer name far address {FAR}"));
    ip("addr add 10.77.0.1/24 dev near");
    ip("link set far up");
    ip("link set near up");
    ip(&format!("neigh replace 10.77.0.9 lladdr {NOBODY} dev near nud permanent"));
    let endpoint = Some("https://10.77.0.9".to_owned());
    let server = within(10 * SECOND);
    let rig = Rig::with(Setup { endpoint, retry: hasty(2), server, ..Setup::default() }).await;
    let ending = rig.create().await;
    rig.assert_none("a lost SYN", &ending, Code::Unavailable, "UPSTREAM_CONNECT");
    assert_eq!((ending.info("attempts"), ending.info("outcome")), ("2".into(), "NOT_STARTED".into()));
    assert!(ending.pushback() > 0 && ending.retry_delay().is_some());
    assert!((4 * SECOND..5 * SECOND + LEEWAY).contains(&ending.took), "{ending:?}");
}

/// What a TLS server does wrong.
enum Peer {
    Presents(TlsAcceptor),
    /// Knows TLS 1.1 and nothing newer.
    IsOld,
}

/// A certificate of its own authority, as PEM, and who presents it.
fn certified(name: &str, year_of_its_end: i32) -> (String, TlsAcceptor) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(year_of_its_end, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let mut config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (certificate.pem(), TlsAcceptor::from(Arc::new(config)))
}

/// Counts the connections that it spoils.
async fn spoil(listener: TcpListener, peer: Peer, connections: Arc<AtomicUsize>) {
    loop {
        let (mut stream, _peer) = listener.accept().await.unwrap();
        connections.fetch_add(1, Ordering::Relaxed);
        match &peer {
            Peer::Presents(acceptor) => assert!(acceptor.accept(stream).await.is_err()),
            Peer::IsOld => {
                let hello = stream.read(&mut [0; 4096]).await.unwrap();
                assert!(hello > 0);
                // A fatal alert, protocol_version (RFC 4346, 7.2.2).
                stream.write_all(&[0x15, 3, 2, 0, 2, 2, 70]).await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
            }
        }
    }
}

/// Rows 6 and 8.
#[tokio::test]
async fn a_handshake_that_fails_is_a_matter_of_configuration_and_not_tried_again() {
    let (wrong_name, other) = certified("elsewhere.example", 2999);
    let (expired, late) = certified("localhost", 2020);
    let (_, stranger) = certified("localhost", 2999);
    let (trusted, _) = certified("localhost", 2999);
    for (name, peer, bundle) in [
        ("an unknown authority", Peer::Presents(stranger), &trusted),
        ("another name", Peer::Presents(other), &wrong_name),
        ("an expired certificate", Peer::Presents(late), &expired),
        ("TLS 1.1", Peer::IsOld, &trusted),
    ] {
        let (listener, address) = listener().await;
        let connections = Arc::new(AtomicUsize::new(0));
        tokio::spawn(spoil(listener, peer, Arc::clone(&connections)));
        let endpoint = Some(format!("https://localhost:{}", address.port()));
        let trust = Some(Trust::Bundle(bundle.clone().into_bytes()));
        let rig = Rig::with(Setup { endpoint, trust, ..Setup::default() }).await;
        let ending = rig.create().await;
        rig.assert_none(name, &ending, Code::Unavailable, "UPSTREAM_TLS");
        assert_eq!(
            (ending.info("attempts"), ending.info("outcome")),
            ("1".into(), "NOT_STARTED".into()),
            "{name}"
        );
        assert_eq!((ending.pushback(), ending.retry_delay()), (-1, None), "{name}");
        assert!(ending.took < SECOND + LEEWAY, "{name}: {ending:?}");
        assert_eq!(connections.load(Ordering::Relaxed), 1, "{name}");
    }
}

/// Row 16: of a server that speaks HTTP/2, too, HTTP/1.1 is asked. On HTTP/2 all calls would share one connection,
/// and it would outlive the attempts that got no answer on it.
#[tokio::test]
async fn a_server_that_offers_http_2_is_asked_in_http_1() {
    let (pem, acceptor) = certified("localhost", 2999);
    let (listener, address) = listener().await;
    let endpoint = Some(format!("https://localhost:{}", address.port()));
    let trust = Some(Trust::Bundle(pem.into_bytes()));
    let rig = Rig::with(Setup { endpoint, trust, retry: hasty(1), ..Setup::default() }).await;
    let accepted = async { acceptor.accept(listener.accept().await.unwrap().0).await.unwrap() };
    let asked = async {
        let mut session = accepted.await;
        assert_eq!(session.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let mut request = [0; 4];
        session.read_exact(&mut request).await.unwrap();
        request
    };
    let (ending, request) = tokio::join!(rig.create(), asked);
    assert_eq!((&request, ending.info("reason")), (b"POST", "UPSTREAM_RESET".to_owned()));
}

/// Rows 9, 10 and 11: on a new connection, and on one that has carried a call before.
#[tokio::test]
async fn a_connection_that_breaks_costs_an_attempt_and_makes_nothing_twice() {
    for (name, fault, read) in [
        ("reset unread", Fault::reset(CutPoint::Accept), 1),
        ("hung up unread", Fault::hang_up(CutPoint::Accept), 1),
        ("reset before the commit", Fault::reset(CutPoint::BeforeCommit), 2),
        ("reset after the commit", Fault::reset(CutPoint::AfterCommit), 2),
        ("hung up after the commit", Fault::hang_up(CutPoint::AfterCommit), 2),
        ("reset in the midst of the answer", Fault::reset(CutPoint::MidAnswer), 2),
        ("hung up in the midst of the answer", Fault::hang_up(CutPoint::MidAnswer), 2),
    ] {
        let rig = Rig::start().await;
        for connection in ["new", "reused"] {
            if connection == "reused" && read == 1 {
                continue;
            }
            let name = format!("{name}, a {connection} connection");
            let before = rig.sandbox.ledger().connections.accepted;
            rig.sandbox.inject(FaultRule::new(fault.clone())).unwrap();
            let ending = rig.create().await;
            rig.assert_once(&name, &ending, SECOND);
            assert_eq!(rig.attempts(&ending.token), read, "{name}");
            let new = rig.sandbox.ledger().connections.accepted - before;
            assert_eq!(new, if connection == "new" { 2 } else { 1 }, "{name}");
        }
    }
}

/// Row 12: what the peer has closed is not used again, so it costs nothing.
#[tokio::test]
async fn an_idle_connection_that_the_peer_has_closed_costs_no_attempt() {
    let rig = Rig::start().await;
    for fault in [Fault::hang_up(CutPoint::AfterAnswer), Fault::reset(CutPoint::AfterAnswer)] {
        rig.break_next(fault.clone());
        let kept = rig.create().await;
        rig.assert_once("kept", &kept, SECOND);
        // Nobody can see from outside when the gateway has heard of it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let ending = rig.create().await;
        rig.assert_once("closed", &ending, Duration::from_millis(100));
        assert_eq!((rig.attempts(&kept.token), rig.attempts(&ending.token)), (1, 1), "{fault:?}");
    }
}

/// Row 13: a peer that has vanished is given one attempt's time, and its connection is not used again.
#[tokio::test]
async fn a_peer_that_vanishes_costs_an_attempts_time_and_not_more() {
    let attempt_timeout = Duration::from_millis(500);
    for (name, loses, read) in [("unread", Loses::Requests, 1), ("unanswered", Loses::Answers, 2)] {
        let (rig, relay) = relayed(Setup { attempt_timeout, ..Setup::default() }).await;
        rig.assert_once("a connection to keep", &rig.create().await, SECOND);
        relay.lose(loses);
        let back = async {
            relay.lost().await;
            relay.lose(Loses::Nothing);
        };
        let (ending, ()) = tokio::join!(rig.create(), back);
        assert!(ending.took >= attempt_timeout, "{name}: {ending:?}");
        rig.assert_once(name, &ending, attempt_timeout + Duration::from_millis(100));
        assert_eq!(rig.attempts(&ending.token), read, "{name}");
    }
}

/// Row 14, in small: nobody waits beyond the deadline, and who calls again after it gets the one backup.
#[tokio::test]
async fn a_partition_that_heals_leaves_one_backup_per_token() {
    let deadline = Duration::from_millis(1300);
    let attempt_timeout = Duration::from_millis(400);
    for loses in [Loses::Requests, Loses::Answers] {
        let setup = Setup { attempt_timeout, server: within(deadline), ..Setup::default() };
        let (rig, relay) = relayed(setup).await;
        relay.lose(loses);
        let message = create();
        let ending = rig.carry_out(message.clone()).await;
        let code = ending.status().code();
        assert!(matches!(code, Code::Unavailable | Code::DeadlineExceeded), "{loses:?}: {ending:?}");
        assert_eq!((ending.info("outcome"), ending.pushback()), ("UNKNOWN".to_owned(), -1), "{loses:?}");
        assert!(ending.retry_delay().is_some(), "{loses:?}");
        assert!(ending.took < deadline + LEEWAY, "{loses:?}: {ending:?}");
        assert_eq!(rig.made(&ending.token).len(), usize::from(loses == Loses::Answers), "{loses:?}");
        relay.lose(Loses::Nothing);
        rig.assert_once("healed", &rig.carry_out(message).await, deadline);
    }
}
