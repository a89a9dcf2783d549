//! TLS at the door: who comes in and who does not, certificates that change under load, and one that expires.

use crate::certificates::Authority;
use crate::certificates::HOUR;
use crate::certificates::Mutual;
use crate::certificates::Pair;
use crate::certificates::Secret;
use crate::certificates::channel;
use crate::certificates::client;
use crate::certificates::now;
use crate::frames;
use crate::frames::Peer;
use crate::logs;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::local;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server;
use oci_backup_gateway::server::tls;
use oci_backup_gateway::server::tls::Tls;
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn behind(tls: Tls) -> Rig {
    Rig::with(Setup {
        server: server::Config { tls: Some(tls), ..Setup::default().server },
        ..Setup::default()
    })
    .await
}

/// A door with a good certificate, and who signed it.
async fn door(mutual: Mutual) -> (Rig, Secret, Authority) {
    let authority = Authority::new("authority");
    let secret = Secret::new(&authority.good("gateway"), &authority.pem);
    (behind(secret.open(mutual).await).await, secret, authority)
}

/// One create on a connection of its own.
async fn served(gateway: SocketAddr, authority: &Authority, own: Option<&Pair>) -> Result<String, String> {
    let channel = channel(gateway, authority, own).await.map_err(|error| format!("{error:?}"))?;
    let request = create();
    let token = request.retry_token.clone().unwrap();
    let created = BackupServiceClient::new(channel).create_volume_backup(request).await;
    created.map(|_answer| token).map_err(|status| format!("{status:?}"))
}

async fn shaken(
    gateway: SocketAddr,
    config: Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(gateway).await.unwrap();
    TlsConnector::from(config).connect("localhost".try_into().unwrap(), stream).await
}

async fn metric(rig: &Rig, name: &str) -> u64 {
    let (_status, _headers, body) = rig::page(rig.server.admin_address(), "/metrics").await;
    let line = body.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in {body}")).rsplit(' ').next().unwrap().parse().unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(10), "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn callers_speak_tls_1_2_or_1_3_and_http_2() {
    let (rig, _secret, authority) = door(Mutual::No).await;
    let gateway = rig.server.address();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = client(&authority, None, &[version], &["http/1.1", "h2"]);
        let stream = shaken(gateway, config).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"h2"[..]));
        Peer::over(stream).await.settle().await.unwrap();
    }
    let old = client(&authority, None, &[&rustls::version::TLS13], &["http/1.1"]);
    let refused = shaken(gateway, old).await.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    served(gateway, &authority, None).await.unwrap();
    let expires = metric(&rig, "gateway_tls_certificate_expiry_timestamp_seconds").await;
    let an_hour = (now() + HOUR).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((an_hour - 60..=an_hour).contains(&expires), "{expires}");
}

#[tokio::test]
async fn what_is_older_or_no_tls_gets_an_alert_and_harms_nobody() {
    let (rig, _secret, authority) = door(Mutual::No).await;
    let gateway = rig.server.address();
    // A ClientHello of TLS 1.1 (RFC 4346, 7.4.1.2) with one cipher suite, and no extension that says more.
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x14, 1, 0]);
    for bytes in [hello, frames::PREFACE.to_vec()] {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut said = Vec::new();
        let began = Instant::now();
        let _ = stream.read_to_end(&mut said).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        // A fatal alert (RFC 5246, 7.2).
        assert_eq!((said[0], said[5], said.len()), (21, 2, 7), "{said:?}");
    }
    served(gateway, &authority, None).await.unwrap();
    assert_eq!(metric(&rig, "gateway_tls_handshake_failures_total").await, 2);
}

#[tokio::test]
async fn with_an_authority_of_callers_only_its_own_come_in_and_the_log_names_them() {
    let (rig, _secret, authority) = door(Mutual::Yes).await;
    let gateway = rig.server.address();
    let (billing, stranger) = (authority.good("billing"), Authority::new("stranger").good("billing"));
    let now = now();
    let (late, early) = (
        authority.sign("late", now - HOUR, now - HOUR / 2),
        authority.sign("early", now + HOUR, now + HOUR * 2),
    );
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for (own, alert) in [
            (None, "CertificateRequired"),
            (Some(&stranger), "UnknownCA"),
            (Some(&late), "CertificateExpired"),
            (Some(&early), "CertificateExpired"),
        ] {
            let refused = match shaken(gateway, client(&authority, own, &[version], &["h2"])).await {
                Err(error) => error,
                // In TLS 1.3 a client learns of it with its first reading.
                Ok(mut stream) => stream.read_to_end(&mut Vec::new()).await.unwrap_err(),
            };
            let refused = refused.to_string();
            let is_old = version.version == rustls::ProtocolVersion::TLSv1_2 && own.is_none();
            assert!(
                refused.contains(alert) || is_old && refused.contains("HandshakeFailure"),
                "{alert}: {refused}"
            );
        }
    }
    assert!(served(gateway, &authority, None).await.is_err());
    let token = served(gateway, &authority, Some(&billing)).await.unwrap();
    until("the line", async || !logs::lines("call", &token).is_empty()).await;
    assert_eq!(logs::lines("call", &token)[0]["caller"], "CN=billing");
    assert_eq!(rig.commits(), 1);
}

#[tokio::test]
async fn a_name_in_the_log_is_short_and_one_line() {
    let (rig, _secret, authority) = door(Mutual::Yes).await;
    let now = now();
    let name = format!("a\nb\u{7f}c\u{202e}{}", "x".repeat(300));
    let odd = authority.sign(&name, now - HOUR, now + HOUR);
    let token = served(rig.server.address(), &authority, Some(&odd)).await.unwrap();
    until("the line", async || !logs::lines("call", &token).is_empty()).await;
    let line = logs::lines("call", &token).remove(0);
    let caller = line["caller"].as_str().unwrap();
    assert!(caller.starts_with("CN=a\\0ab\\7fc\u{fffd}xxx") && caller.ends_with("x…"), "{caller}");
    assert_eq!(caller.chars().count(), 257);
}

/// Each by the swap of a link, as Kubernetes does it, while callers come and go and others stay.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_new_certificates_under_load_are_taken_and_no_call_fails() {
    let (rig, secret, authority) = door(Mutual::No).await;
    let (gateway, authority) = (rig.server.address(), Arc::new(authority));
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for stays in [true, false] {
        let (authority, over) = (Arc::clone(&authority), Arc::clone(&over));
        callers.spawn(async move {
            let mut calls = 0;
            let mut caller = BackupServiceClient::new(channel(gateway, &authority, None).await.unwrap());
            while !over.load(Ordering::Relaxed) {
                if !stays {
                    caller = BackupServiceClient::new(channel(gateway, &authority, None).await.unwrap());
                }
                caller.create_volume_backup(create()).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    let config = client(&authority, None, &[&rustls::version::TLS13], &["h2"]);
    let shown = async || {
        let stream = shaken(gateway, Arc::clone(&config)).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let mut seen = BTreeSet::from([shown().await]);
    for number in 0..50 {
        secret.swap(&authority.good("gateway"));
        until(&format!("certificate {number}"), async || seen.insert(shown().await)).await;
    }
    over.store(true, Ordering::Relaxed);
    let calls = callers.join_all().await;
    assert!(calls.iter().all(|calls| *calls > 20), "{calls:?}");
    assert_eq!(seen.len(), 51);
    assert_eq!(metric(&rig, "gateway_tls_reload_failures_total").await, 0);
    assert_eq!(metric(&rig, "gateway_tls_handshake_failures_total").await, 0);
}

#[tokio::test]
async fn a_pair_that_is_no_good_keeps_the_old_one_and_is_told_and_a_good_one_is_taken_again() {
    let (rig, secret, authority) = door(Mutual::Yes).await;
    let (gateway, now) = (rig.server.address(), now());
    let own = authority.good("billing");
    let (good, other) = (authority.good("gateway"), authority.good("gateway"));
    let late = authority.sign("gateway", now - HOUR * 2, now - HOUR);
    let mut failures = 0;
    for (certificate, key, ca, words) in [
        (&good.certificate, &other.key, &authority.pem, "is not the key of the certificate in"),
        (&late.certificate, &late.key, &authority.pem, "its certificate expired at"),
        (&String::new(), &good.key, &authority.pem, "holds no certificate in PEM"),
        (&good.certificate, &good.certificate, &authority.pem, "holds no private key in PEM"),
        (&good.certificate, &good.key, &String::new(), "holds no certificate in PEM"),
    ] {
        secret.put(&[("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)]);
        until(words, async || metric(&rig, "gateway_tls_reload_failures_total").await > failures).await;
        failures = metric(&rig, "gateway_tls_reload_failures_total").await;
        let path = secret.path("").display().to_string();
        let lines = logs::lines("the certificate that callers are shown stays the old one", &path);
        let told = lines.last().unwrap()["error"].as_str().unwrap().to_owned();
        assert!(told.starts_with("--tls-") && told.contains(words), "{told}");
        served(gateway, &authority, Some(&own)).await.expect("the old pair serves on");
    }
    let expires = now + HOUR * 3;
    let renewed = authority.sign("gateway", now - HOUR, expires);
    secret.put(&[("tls.crt", &renewed.certificate), ("tls.key", &renewed.key), ("ca.crt", &authority.pem)]);
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    until("the new one", async || {
        metric(&rig, "gateway_tls_certificate_expiry_timestamp_seconds").await == expires
    })
    .await;
    served(gateway, &authority, Some(&own)).await.unwrap();
}

#[tokio::test]
async fn when_the_callers_authority_is_replaced_its_callers_are_served_and_those_of_the_old_one_are_not() {
    let (rig, secret, authority) = door(Mutual::Yes).await;
    let (gateway, next) = (rig.server.address(), Authority::new("next"));
    let (old, new) = (authority.good("billing"), next.good("billing"));
    served(gateway, &authority, Some(&old)).await.unwrap();
    served(gateway, &authority, Some(&new)).await.unwrap_err();
    let own = authority.good("gateway");
    secret.put(&[("tls.crt", &own.certificate), ("tls.key", &own.key), ("ca.crt", &next.pem)]);
    until("the new authority", async || served(gateway, &authority, Some(&new)).await.is_ok()).await;
    served(gateway, &authority, Some(&old)).await.unwrap_err();
}

/// The library trusts what it is given, whatever the time; and editors put a mark before the first line.
#[tokio::test]
async fn of_several_authorities_each_lets_its_callers_in_but_for_those_that_have_expired() {
    let (authority, other) = (Authority::new("authority"), Authority::new("other"));
    let expired = Authority::until("expired", now() - HOUR);
    let all = format!("\u{feff}{}{}{}", other.pem, expired.pem, authority.pem);
    let secret = Secret::new(&authority.good("gateway"), &all);
    let rig = behind(secret.open(Mutual::Yes).await).await;
    let gateway = rig.server.address();
    for good in [&authority, &other] {
        served(gateway, &authority, Some(&good.good("billing"))).await.unwrap();
    }
    served(gateway, &authority, Some(&expired.good("billing"))).await.unwrap_err();
    let own = authority.good("gateway");
    let alone = Secret::new(&own, &expired.pem);
    let refused = Tls::open(alone.config(Mutual::Yes), Clock::system()).await.unwrap_err().to_string();
    assert!(
        refused.starts_with("--tls-client-ca") && refused.contains("its certificate expired at"),
        "{refused}"
    );
    let marked = Secret::new(&own, &authority.pem);
    let mark = |text: &str| format!("\u{feff}{text}");
    marked.put(&[
        ("tls.crt", &mark(&own.certificate)),
        ("tls.key", &mark(&own.key)),
        ("ca.crt", &authority.pem),
    ]);
    marked.open(Mutual::Yes).await;
}

/// By the gateway's clock it has a few seconds left; by the machine's an hour.
async fn expiring_in(left: Duration) -> (Rig, Authority, Pair) {
    let authority = Authority::new("authority");
    let now = now();
    let secret = Secret::new(&authority.sign("gateway", now - HOUR, now + HOUR * 3), &authority.pem);
    let clock = Clock::system();
    let clock = Clock::with_source(Arc::new(move || clock.now() + HOUR - left));
    let tls = Tls::open(secret.config(Mutual::Yes), clock).await.unwrap();
    let own = authority.sign("billing", now - HOUR, now + HOUR);
    (behind(tls).await, authority, own)
}

#[tokio::test]
async fn a_certificate_that_expires_ends_its_connections_welcome_and_its_call_in_flight_is_answered() {
    let (rig, authority, own) = expiring_in(Duration::from_secs(3)).await;
    let config = client(&authority, Some(&own), &[&rustls::version::TLS13], &["h2"]);
    let mut peer = Peer::over(shaken(rig.server.address(), config).await.unwrap()).await;
    peer.settle().await.unwrap();
    rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(4)));
    let message = crate::raw::frame(&prost::Message::encode_to_vec(&create()));
    let began = Instant::now();
    peer.send(&frames::call(1, CREATE_VOLUME_BACKUP, &[], 0)).await;
    peer.send(&frames::frame(frames::DATA, frames::END_STREAM, 1, &message)).await;
    let goaway = peer.next_of(frames::GOAWAY).await.unwrap();
    assert_eq!(goaway.number(4), frames::NO_ERROR, "{goaway:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // Does not go, and does not answer the PING behind GOAWAY, after which no stream would be taken any more.
    tokio::time::sleep(Duration::from_millis(200)).await;
    peer.send(&frames::call(3, CREATE_VOLUME_BACKUP, &[], 0)).await;
    let refused = peer.next_of(frames::RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, refused.number(0)), (3, frames::REFUSED_STREAM));
    let answer = peer.next_of(frames::DATA).await.unwrap();
    assert_eq!(answer.stream, 1, "what was begun before is answered");
    assert_eq!(rig.commits(), 1);
    let again = client(&authority, Some(&own), &[&rustls::version::TLS12], &["h2"]);
    let refused = shaken(rig.server.address(), again).await.unwrap_err().to_string();
    assert!(refused.contains("CertificateExpired"), "{refused}");
}

#[tokio::test]
async fn five_hundred_stalled_handshakes_are_closed_in_time_and_harm_nobody() {
    let authority = Authority::new("authority");
    let secret = Secret::new(&authority.good("gateway"), &authority.pem);
    let handshake_timeout = Duration::from_millis(1500);
    let config = tls::Config { handshake_timeout, ..secret.config(Mutual::No) };
    let rig = behind(Tls::open(config, Clock::system()).await.unwrap()).await;
    let gateway = rig.server.address();
    let mut stalled = JoinSet::new();
    for at in 0..500 {
        let mut stream = TcpStream::connect(gateway).await.unwrap();
        // Nothing, or some of a ClientHello.
        stream.write_all(&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3][..at % 12]).await.unwrap();
        stalled.spawn(async move {
            let began = Instant::now();
            let _ = stream.read_to_end(&mut Vec::new()).await;
            began.elapsed()
        });
    }
    let began = Instant::now();
    served(gateway, &authority, None).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    let lived = stalled.join_all().await;
    let (least, most) = (lived.iter().min().unwrap(), lived.iter().max().unwrap());
    assert!(
        *least > handshake_timeout / 2 && *most < handshake_timeout + Duration::from_secs(1),
        "{least:?} to {most:?}"
    );
    assert_eq!(tls::HANDSHAKE_TIMEOUT, Duration::from_secs(5));
}

#[tokio::test]
async fn a_handshake_takes_a_place_among_the_connections_and_ends_with_the_drain() {
    let authority = Authority::new("authority");
    let secret = Secret::new(&authority.good("gateway"), &authority.pem);
    let tls = Some(secret.open(Mutual::No).await);
    let server = server::Config { tls, max_connections: 2, ..Setup::default().server };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    let gateway = rig.server.address();
    let mut within = [TcpStream::connect(gateway).await.unwrap(), TcpStream::connect(gateway).await.unwrap()];
    let mut third = TcpStream::connect(gateway).await.unwrap();
    let began = Instant::now();
    let _ = third.read_to_end(&mut Vec::new()).await;
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    let began = Instant::now();
    rig.server.drain().await;
    for stream in &mut within {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn health_has_a_listener_of_its_own_in_plaintext_until_the_end() {
    let authority = Authority::new("authority");
    let secret = Secret::new(&authority.good("gateway"), &authority.pem);
    let tls = Some(secret.open(Mutual::Yes).await);
    let server = server::Config { tls, health_listen: Some(local()), ..Setup::default().server };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    let channel = rig::channel(rig.server.health_address().unwrap()).await;
    let mut health = HealthClient::new(channel.clone());
    for service in ["", "ocibackup.v1.BackupService", "liveness"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        until(service, async || {
            health.check(request.clone()).await.unwrap().into_inner().status() == ServingStatus::Serving
        })
        .await;
    }
    let other = BackupServiceClient::new(channel).create_volume_backup(create()).await.unwrap_err();
    assert_eq!(other.code(), Code::Unimplemented, "{other:?}");
    assert!(rig.sandbox.ledger().attempts.is_empty());
    let mut watched = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let draining = tokio::spawn(rig.server.drain());
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    draining.await.unwrap();
}

#[tokio::test]
async fn files_that_are_no_good_are_one_line_with_setting_file_and_remedy() {
    let authority = Authority::new("authority");
    let (good, other) = (authority.good("gateway"), authority.good("gateway"));
    let secret = Secret::new(&good, &authority.pem);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let now = now();
    let early = authority.sign("gateway", now + HOUR, now + HOUR * 2);
    for (name, text, setting, words) in [
        ("tls.crt", "", "--tls-cert", "holds no certificate in PEM"),
        (
            "tls.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "--tls-cert",
            "certificate number 1",
        ),
        ("tls.crt", "-----BEGIN CERTIFICATE-----\nAAAA", "--tls-cert", "is damaged PEM"),
        ("tls.crt", &early.certificate, "--tls-cert", "is not valid before"),
        ("tls.key", &authority.pem, "--tls-key", "holds no private key in PEM"),
        ("tls.key", encrypted, "--tls-key", "is encrypted; a key without a passphrase is expected"),
        (
            "tls.key",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "--tls-key",
            "cannot be used",
        ),
        ("tls.key", &other.key, "--tls-key", "is not the key of the certificate in"),
        ("ca.crt", "", "--tls-client-ca", "holds no certificate in PEM"),
        (
            "ca.crt",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "--tls-client-ca",
            "certificate number 1",
        ),
    ] {
        let (mut certificate, mut key, mut ca) =
            (good.certificate.as_str(), good.key.as_str(), authority.pem.as_str());
        match name {
            "tls.crt" => certificate = text,
            "tls.key" => key = text,
            _ => ca = text,
        }
        secret.put(&[("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)]);
        let error = Tls::open(secret.config(Mutual::Yes), Clock::system()).await.unwrap_err().to_string();
        let file = secret.path(name).display().to_string();
        assert!(
            error.starts_with(&format!("{setting}: {file}: ")) && error.contains(words),
            "{words}: {error}"
        );
        assert!(!error.contains('\n') && !error.contains("AAAA"), "{error}");
    }
    fs::remove_file(secret.path("tls.key")).unwrap();
    let error = Tls::open(secret.config(Mutual::No), Clock::system()).await.unwrap_err();
    assert_eq!(error.problem, tls::Problem::Absent);
}
