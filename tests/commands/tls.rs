//! TLS as the operator meets it: what is refused at start, what probes ask, what a mounted secret changes.

use crate::certificates::Authority;
use crate::certificates::HOUR;
use crate::certificates::Mutual;
use crate::certificates::Secret;
use crate::certificates::channel;
use crate::certificates::now;
use crate::hanging::Hung;
use crate::process::Program;
use crate::process::program;
use crate::upstream::Upstream;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const PORTS: &str = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";

/// The program with the files of a secret.
fn with(secret: &Secret, mutual: Mutual, arguments: &str) -> Program {
    let program = program(arguments).env("GATEWAY_TLS_CERT", secret.path("tls.crt"));
    let program = program.env("GATEWAY_TLS_KEY", secret.path("tls.key"));
    match mutual {
        Mutual::Yes => program.env("GATEWAY_TLS_CLIENT_CA", secret.path("ca.crt")),
        Mutual::No => program,
    }
}

fn secret() -> (Secret, Authority) {
    let authority = Authority::new("authority");
    (Secret::new(&authority.good("gateway"), &authority.pem), authority)
}

#[test]
fn plaintext_beyond_loopback_has_to_be_said_aloud() {
    let words = "is not loopback, and callers would speak plaintext there; give --tls-cert and --tls-key, or --plaintext \
        where something else brings TLS, such as a mesh";
    for command in ["serve", "sandbox"] {
        for address in ["0.0.0.0:0", "[::]:0", "10.0.0.7:50051"] {
            let by_flag = program(command).arg(format!("--listen={address}")).run();
            assert_eq!(by_flag.refusal(2), format!("--listen: {address} {words}"));
            let by_variable = program(command).env("GATEWAY_LISTEN", address).run();
            assert_eq!(by_variable.refusal(2), format!("GATEWAY_LISTEN: {address} {words}"));
        }
    }
    let said = program("sandbox --once --listen 0.0.0.0:0 --admin-listen 127.0.0.1:0");
    let said = said.env("GATEWAY_PLAINTEXT", "true").run();
    assert_eq!(said.code, Some(0), "{said:?}");
    let (secret, _authority) = secret();
    let both = with(&secret, Mutual::No, "serve --plaintext").run();
    assert_eq!(both.refusal(2), "--plaintext: contradicts GATEWAY_TLS_CERT; give one of them");
}

#[test]
fn a_certificate_or_a_key_that_is_no_good_is_one_line_before_anything_listens() {
    let (secret, authority) = secret();
    let (good, other, now) = (authority.good("gateway"), authority.good("gateway"), now());
    let late = authority.sign("gateway", now - HOUR * 2, now - HOUR);
    for (certificate, key, ca, variable, file, words) in [
        (
            &good.certificate,
            &other.key,
            &authority.pem,
            "GATEWAY_TLS_KEY",
            "tls.key",
            "name the two that belong together",
        ),
        (&late.certificate, &late.key, &authority.pem, "GATEWAY_TLS_CERT", "tls.crt", "renew it"),
        (
            &good.certificate,
            &good.key,
            &String::new(),
            "GATEWAY_TLS_CLIENT_CA",
            "ca.crt",
            "holds no certificate in PEM",
        ),
    ] {
        secret.put(&[("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca)]);
        let ended = with(&secret, Mutual::Yes, "serve").run();
        let (line, start) = (ended.refusal(2), format!("{variable}: {}: ", secret.path(file).display()));
        assert!(line.starts_with(&start) && line.contains(words), "{line}");
    }
    let ended = program("serve --tls-cert /none/tls.crt --tls-key /none/tls.key").run();
    let expected = "--tls-cert: /none/tls.crt: does not exist; correct the path, or mount the file there";
    assert_eq!(ended.refusal(2), expected);
}

#[test]
fn a_certificate_whose_reading_hangs_ends_the_start_after_three_seconds() {
    let (secret, _authority) = secret();
    std::fs::write(secret.path("hung"), "").unwrap();
    let hung = Hung::at(secret.path("hung").display().to_string());
    let began = Instant::now();
    let ended = with(&secret, Mutual::No, "serve").env("GATEWAY_TLS_KEY", secret.path("hung")).run();
    let line = ended.refusal(2);
    let expected = "hung: has not been read to its end after 3 s; does the file system that it is on answer?";
    assert!(line.starts_with("GATEWAY_TLS_KEY: ") && line.ends_with(expected), "{line}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    drop(hung);
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_ask_the_health_listener_and_callers_need_a_certificate() {
    let (upstream, (secret, authority)) = (Upstream::start().await, secret());
    let serve = with(&secret, Mutual::Yes, &format!("serve {PORTS} --health-listen 127.0.0.1:0"));
    let mut serve = upstream.sign_in(serve).start();
    let listening = serve.logged("listening");
    serve.logged("readiness");
    assert_eq!(listening["security"], "TLS");
    let health = listening["health_address"].as_str().unwrap().to_owned();
    let gateway: SocketAddr = serve.address();
    for healthcheck in [
        program("healthcheck").arg(&health),
        program("healthcheck").arg(format!("--health-listen={health}")),
        program("healthcheck")
            .env("GATEWAY_HEALTH_LISTEN", &health)
            .env("GATEWAY_LISTEN", gateway.to_string()),
    ] {
        let ended = healthcheck.run();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
    let plaintext = program("healthcheck").arg(gateway.to_string()).run();
    let line = plaintext.refusal(1);
    assert!(line.starts_with(&gateway.to_string()) && line.ends_with("ask --health-listen"), "{line}");
    assert_eq!(
        serve.logged("TLS handshakes came to nothing; this is the last one")["error"],
        "the caller spoke plaintext"
    );
    let request = pb::CreateVolumeBackupRequest {
        volume_id: "ocid1.volume.oc1.iad.one".to_owned(),
        ..pb::CreateVolumeBackupRequest::default()
    };
    let own = authority.good("billing");
    let channel = channel(gateway, &authority, Some(&own)).await.unwrap();
    BackupServiceClient::new(channel).create_volume_backup(request).await.unwrap();
    assert_eq!(serve.logged("call")["caller"], "CN=billing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_swapped_shows_in_the_metric_within_seconds() {
    let (upstream, (secret, authority)) = (Upstream::start().await, secret());
    let mut serve = upstream.sign_in(with(&secret, Mutual::No, &format!("serve {PORTS}"))).start();
    let admin: SocketAddr = serve.logged("listening")["admin_address"].as_str().unwrap().parse().unwrap();
    let expires = now() + HOUR * 5;
    secret.swap(&authority.sign("gateway", now() - HOUR, expires));
    let expires = expires.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let line = format!("\ngateway_tls_certificate_expiry_timestamp_seconds {expires}\n");
    let began = Instant::now();
    loop {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).await.unwrap();
        if page.contains(&line) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    serve.logged("the certificate that callers are shown was read anew");
}
