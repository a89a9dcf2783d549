//! The issuers as they are steered: over the control listener, by faults, and by what the ledger tells.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::client::{Answer, Client, World};
use super::issuing::{HOUR, claims, session_key};
use crate::sandbox::{CutPoint, Fault, FaultRule, Framing, IssuerChange, Ledger, StallPoint, Wire};

async fn control(world: &World, method: &str, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let request = format!(
        "{method} /sandbox/issuers{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len(),
    );
    let tcp = TcpStream::connect(world.sandbox.control_addr()).await.unwrap();
    Client(tcp).send(request.as_bytes()).await
}

#[tokio::test]
async fn changes_are_told_over_the_control_listener() {
    let world = World::with_issuers().await;
    let before = world.certificates().await;
    let change = json!({
        "token_life_seconds": 7, "region": "name", "cluster": "basic", "revoke_tokens": true,
        "certificate": {"tenancy": "ocid1.tenancy.oc1..another", "life_seconds": 60},
    });
    assert_eq!(control(&world, "POST", "", &change).await.status, 204);
    let claims = claims(&world.token().await);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 7);
    assert_eq!(claims["tenant"], "ocid1.tenancy.oc1..another");
    assert_eq!(world.metadata("instance/region").await.body, b"us-ashburn-1");
    assert_ne!(world.certificates().await.leaf, before.leaf);

    for (wrong, why) in [
        (json!({"colour": 1}), "unknown field `colour`"),
        (json!({"cluster": "large"}), "unknown variant `large`"),
        (json!({"certificate": {"life": 1}}), "unknown field `life`"),
        (
            json!({"service_accounts": {"issuer": "x", "audience": "x", "keys": [{"kty": "EC", "n": "", "e": ""}]}}),
            "a key is no RSA public key",
        ),
    ] {
        let answer = control(&world, "POST", "", &wrong).await;
        assert!(answer.status == 400 && answer.text("message").contains(why), "{answer:?}");
    }
    assert_eq!(control(&world, "GET", "", &json!({})).await.status, 405);
    assert_eq!(control(&world, "GET", "/nothing", &json!({})).await.status, 404);
}

#[tokio::test]
async fn sessions_and_service_account_tokens_are_made_on_request() {
    let world = World::with_issuers().await;
    let made = control(&world, "POST", "/sessions", &json!({"kind": "user", "life_seconds": 60})).await;
    let request = world.signed_by(&made.text("token"), &made.text("private_key_pem"));
    assert_eq!(world.send(&request).await.status, 200);
    let encrypted = json!({"kind": "resource", "life_seconds": 60, "passphrase": "correct horse"});
    let made = control(&world, "POST", "/sessions", &encrypted).await;
    assert!(made.text("private_key_pem").starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));

    let made = control(&world, "POST", "/service-account-tokens", &json!({"life_seconds": 60})).await;
    let good = format!("Bearer {}", made.text("token"));
    let elsewhere = json!({"life_seconds": 60, "audience": "vault"});
    let made = control(&world, "POST", "/service-account-tokens", &elsewhere).await;
    let bad = format!("Bearer {}", made.text("token"));
    assert_eq!(world.cluster(&good, &json!({})).await.status, 400, "the key is missing, no more");
    assert_eq!(world.cluster(&bad, &json!({})).await.status, 401);
}

#[tokio::test]
async fn the_ledger_counts_exchanges() {
    let world = World::with_issuers().await;
    world.token().await;
    let bearer = format!("Bearer {}", world.issuers().service_account_token(HOUR).unwrap());
    world.cluster(&bearer, &json!({})).await;
    let exchanges = world.issuers().exchanges();
    let told: Vec<_> = exchanges.iter().map(|attempt| (attempt.path.as_str(), attempt.status)).collect();
    assert_eq!(told, [("/v1/x509", Some(200)), ("/resourcePrincipalSessionTokens", Some(400))]);
    assert_eq!(exchanges[0].time, "2027-01-15T08:00:00.000Z");
    assert!(world.sandbox.ledger().attempts.is_empty(), "the OCI face has a ledger of its own");

    let read = control(&world, "GET", "/ledger", &json!({})).await;
    let read: Ledger = serde_json::from_slice(&read.body).unwrap();
    assert_eq!(read, world.issuers().ledger());
    assert_eq!(read.attempts.len(), 5, "certificate, intermediate and key were asked for besides");
}

#[tokio::test]
async fn faults_strike_the_endpoint_that_they_name() {
    let world = World::with_issuers().await;
    let strike = |path: &str, fault| world.issuers().inject(FaultRule::new(fault).path(path)).unwrap();
    let certificate = "/opc/v2/identity/cert.pem";

    strike(certificate, Fault::status(404, "NotFound", "no such thing"));
    assert_eq!(world.metadata("instance/region").await.status, 200);
    assert_eq!(world.metadata("identity/cert.pem").await.status, 404);
    assert_eq!(world.metadata("identity/cert.pem").await.status, 200, "once");

    let federation = world.federation().await;
    strike("/v1/x509", Fault::body("text/html", "<html>"));
    assert_eq!(world.federated(&federation).await.body, b"<html>");
    strike("/v1/x509", Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(1)));
    assert_eq!(world.federated(&federation).await.status, 200);

    let rule = json!({
        "path": "/resourcePrincipalSessionTokens", "times": "forever", "fault": {"answer": {"status": 503}},
    });
    assert_eq!(control(&world, "POST", "/faults", &rule).await.status, 204);
    let bearer = format!("Bearer {}", world.issuers().service_account_token(HOUR).unwrap());
    assert_eq!(world.cluster(&bearer, &json!({})).await.status, 503);
    assert_eq!(control(&world, "DELETE", "/faults", &json!({})).await.status, 204);
    assert_eq!(world.cluster(&bearer, &json!({})).await.status, 400);
    assert_eq!(world.send(&world.signed_by(&world.token().await, session_key())).await.status, 200);
}

#[tokio::test]
async fn a_fault_cuts_what_is_said_short() {
    let world = World::with_issuers().await;
    let ask = async || {
        let address = world.issuers().federation_url().replace("http://", "");
        let tcp = TcpStream::connect(address).await.unwrap();
        let ask = b"GET /opc/v2/identity/key.pem HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Oracle\r\n\r\n";
        Client(tcp).until_it_ends(ask).await
    };
    let wires = [
        Wire::Truncate { framing: Framing::ContentLength },
        Wire::Reset { at: CutPoint::BeforeCommit },
        Wire::HangUp { at: CutPoint::Accept },
    ];
    for wire in wires {
        world.issuers().inject(FaultRule::new(Fault::wire(wire))).unwrap();
        let (read, end) = ask().await;
        assert!(!read.contains("-----END"), "{wire:?}: {read}");
        let reset = matches!(wire, Wire::Reset { .. });
        assert_eq!(end.is_err(), reset, "{wire:?}");
    }
    assert_eq!(world.issuers().ledger().connections.cut, 1);
}

#[tokio::test]
async fn issuers_that_do_not_listen_refuse_connections_until_they_do_again() {
    let world = World::with_issuers().await;
    let instance: SocketAddr = world.issuers().federation_url().replace("http://", "").parse().unwrap();
    let cluster = world.issuers().cluster_addr();
    let kept = TcpStream::connect(instance).await.unwrap();
    let listening = |listening| IssuerChange { listening: Some(listening), ..IssuerChange::default() };

    world.issuers().change(listening(false)).unwrap();
    for address in [instance, cluster] {
        let error = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
    }
    let (read, _) = Client(kept).until_it_ends(b"").await;
    assert_eq!(read, "", "a connection that was there ends");
    assert_eq!(world.get("/20160918/volumeBackups?compartmentId=x").await.status, 200, "OCI goes on");

    assert_eq!(control(&world, "POST", "", &json!({"listening": true})).await.status, 204);
    assert_eq!(world.metadata("instance/region").await.status, 200);
    TcpStream::connect(cluster).await.unwrap();
}

#[tokio::test]
async fn a_sandbox_without_issuers_says_so() {
    let world = World::start().await;
    let answer = control(&world, "GET", "/ledger", &json!({})).await;
    assert_eq!((answer.status, answer.text("message").as_str()), (404, "this sandbox has no issuers"));
}
