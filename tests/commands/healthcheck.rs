//! Whether a running gateway serves, as probes ask.

use crate::process::program;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::Identity;
use std::net::TcpListener;
use std::time::Duration;
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_serves_is_healthy_however_its_address_is_given() {
    let upstream = Upstream::start().await;
    let mut serve =
        upstream.sign_in(program("serve --admin-listen 127.0.0.1:0 --listen 0.0.0.0:0 --plaintext")).start();
    serve.logged("readiness");
    let port = serve.address().port();
    for healthcheck in [
        program("healthcheck").arg(format!("127.0.0.1:{port}")),
        program("healthcheck").arg(format!("0.0.0.0:{port}")),
        program("healthcheck").arg(format!("tcp://127.0.0.1:{port}")),
        program("healthcheck").arg(format!("--listen=127.0.0.1:{port}")),
        program("healthcheck").env("GATEWAY_LISTEN", format!("0.0.0.0:{port}")),
        program("healthcheck").arg(format!("127.0.0.1:{port}")).env("GATEWAY_LISTEN", "127.0.0.1:1"),
    ] {
        let ended = healthcheck.run();
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (Some(0), "", ""));
    }
}

/// Liveness would end a process that is only full: its probes have a listener of their own, with connections of its own.
#[tokio::test(flavor = "multi_thread")]
async fn callers_who_take_every_connection_leave_the_health_listener_to_probes() {
    let upstream = Upstream::start().await;
    let listeners = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --health-listen 127.0.0.1:0";
    let serve = program(&format!("serve {listeners} --max-connections 2"));
    let mut serve = upstream.sign_in(serve).start();
    serve.logged("readiness");
    let (calls, listening) = (serve.address().to_string(), serve.logged("listening"));
    let within = [crate::serve::channel(serve.address()).await, crate::serve::channel(serve.address()).await];
    let shut_out = program("healthcheck").arg(&calls).run();
    assert!(shut_out.refusal(1).starts_with(&format!("{calls} cannot be asked: ")), "{shut_out:?}");
    let probed = program("healthcheck").arg(listening["health_address"].as_str().unwrap()).run();
    assert_eq!((probed.code, probed.stderr.as_str()), (Some(0), ""));
    drop(within);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_credential_is_refused_is_not_healthy() {
    let (upstream, stranger) = (Upstream::start().await, Identity::generate().unwrap());
    let serve = upstream.sign_in(program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"));
    let serve = serve.env("OCI_CLI_FINGERPRINT", stranger.fingerprint());
    let mut serve = serve.env("OCI_CLI_KEY_CONTENT", stranger.private_key_pem()).start();
    let address = serve.address();
    let refused = crate::serve::create(address, "ocid1.volume.oc1.iad.one").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unauthenticated);
    serve.until(|serve| serve.stderr().contains("OCI refuses").then_some(()));
    let ended = program("healthcheck").arg(address.to_string()).run();
    assert_eq!(ended.refusal(1), format!("{address} answers NOT_SERVING"));
}

#[test]
fn an_address_is_also_taken_as_kubernetes_tells_a_services() {
    for (told, address) in [("tcp://[::1]:1", "[::1]:1"), ("tcp://127.0.0.1:1", "127.0.0.1:1")] {
        let line = program("healthcheck").arg(told).run().refusal(1).to_owned();
        assert!(line.starts_with(&format!("{address} cannot be asked: ")), "{line}");
    }
}

#[test]
fn nobody_there_is_not_healthy() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = program("healthcheck").arg(address.to_string()).run();
    let line = ended.refusal(1);
    assert!(line.starts_with(&format!("{address} cannot be asked: ")) && line.contains("refused"), "{line}");
}

#[test]
fn a_listener_that_says_nothing_is_given_three_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (began, address) = (Instant::now(), silent.local_addr().unwrap());
    let ended = program("healthcheck").arg(address.to_string()).run();
    assert_eq!(ended.refusal(1), format!("{address} gave no answer within 3s"));
    assert!((3.0..4.5).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
}

#[test]
fn another_kind_of_server_is_not_healthy() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    std::thread::spawn(move || {
        use std::io::Write;
        for connection in other.incoming().flatten() {
            let _ = (&connection).write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    let began = Instant::now();
    let ended = program("healthcheck").arg(address.to_string()).run();
    assert!(ended.refusal(1).starts_with(&format!("{address} ")), "{ended:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
}
