//! The cluster's endpoint: a service account's token for a session token.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkcs8::EncodePublicKey;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey;
use rsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::{Answer, World, verdict};
use super::issuing::{HOUR, claims, over_tls, public_der, session_key};
use crate::sandbox::{ClusterType, IssuerChange};

fn bearer(world: &World, life: Duration) -> String {
    format!("Bearer {}", world.issuers().service_account_token(life).unwrap())
}

fn pod_key() -> Value {
    json!({"podKey": STANDARD.encode(public_der(session_key()))})
}

/// The token as the SDKs take it out.
fn token(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = answer.json();
    let inner = STANDARD.decode(text.as_str().expect("a JSON string")).unwrap();
    let inner: Value = serde_json::from_slice(&inner).unwrap();
    inner["token"].as_str().unwrap().strip_prefix("ST$").unwrap().to_owned()
}

#[tokio::test]
async fn a_service_account_gets_a_token_for_its_key_in_both_spellings() {
    let world = World::with_issuers().await;
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(session_key()).unwrap().to_public_key();
    let pem = key.to_public_key_pem(pkcs8::LineEnding::LF).unwrap();
    for body in [json!({"podKey": pem}), pod_key()] {
        let token = token(&world.cluster(&bearer(&world, HOUR), &body).await);
        assert_eq!(world.send(&world.signed_by(&token, session_key())).await.status, 200);
        assert_eq!(claims(&token)["sub"], "system:serviceaccount:default:gateway");
        assert_eq!(claims(&token)["res_type"], "workload");
    }
}

#[tokio::test]
async fn who_is_no_service_account_of_the_cluster_is_refused() {
    let world = World::with_issuers().await;
    let issuers = world.issuers();
    let soon_over = bearer(&world, Duration::from_secs(10));
    let for_others = issuers.service_account_token_for("vault", HOUR).unwrap();
    let session = world.token().await;
    let good = issuers.service_account_token(HOUR).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let flipped = format!("{signed}.{other}{}", &signature[1..]);
    world.pass(Duration::from_secs(10));
    let cases = [
        ("Basic eDp5".to_owned(), "there is no Authorization: Bearer header"),
        ("Bearer nonsense".to_owned(), "the service account token is not a JWT"),
        (format!("Bearer {session}"), "the service account token has a signature that does not fit"),
        (format!("Bearer {flipped}"), "the service account token has a signature that does not fit"),
        (soon_over, "the service account token expired 0 seconds ago"),
        (
            format!("Bearer {for_others}"),
            "the service account token is not for https://kubernetes.default.svc",
        ),
    ];
    for (authorization, why) in cases {
        let answer = world.cluster(&authorization, &pod_key()).await;
        assert_eq!(answer.verdict(), verdict(401, "NotAuthenticated"), "{why}");
        assert_eq!(issuers.ledger().attempts.pop().unwrap().refusal.as_deref(), Some(why));
    }
}

/// A cluster that is not the sandbox's: its public keys, as its API server tells them, and a token that it signed.
fn another_cluster(issuer: &str, audience: &str) -> (Value, String) {
    let key = rsa::RsaPrivateKey::from_pkcs8_pem(session_key()).unwrap();
    let number = |number: &rsa::BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
    let jwk = json!({"use": "sig", "kty": "RSA", "kid": "k1", "alg": "RS256", "n": number(key.n()), "e": number(key.e())});
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": issuer, "aud": [audience], "exp": 4_000_000_000_u64, "sub": "system:serviceaccount:backups:gw",
    });
    let signed = format!("{}.{}", part(json!({"alg": "RS256", "kid": "k1"})), part(claims));
    let signature = SigningKey::<Sha256>::new(key).sign(signed.as_bytes()).to_bytes();
    (json!([jwk]), format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[tokio::test]
async fn told_of_another_cluster_it_knows_its_service_accounts_and_no_others() {
    let world = World::with_issuers().await;
    let issuers = world.issuers();
    let (keys, theirs) = another_cluster("https://cluster.example", "oci");
    let refused = "the service account token has a signature that does not fit";
    let cases = [
        ("https://cluster.example", "oci", None),
        (
            "https://other.example",
            "oci",
            Some("the service account token was not issued by https://other.example"),
        ),
        ("https://cluster.example", "vault", Some("the service account token is not for vault")),
    ];
    let ask = async |bearer: &str| {
        let answer = world.cluster(bearer, &pod_key()).await;
        (answer, issuers.ledger().attempts.pop().unwrap().refusal)
    };
    assert_eq!(ask(&theirs).await.1.as_deref(), Some(refused), "nobody told");
    for (issuer, audience, refusal) in cases {
        let change = json!({"service_accounts": {"issuer": issuer, "audience": audience, "keys": keys}});
        issuers.change(serde_json::from_value(change).unwrap()).unwrap();
        let (answer, why) = ask(&theirs).await;
        assert_eq!(why.as_deref(), refusal);
        if refusal.is_none() {
            assert_eq!(claims(&token(&answer))["sub"], "system:serviceaccount:backups:gw");
        }
    }
    assert_eq!(
        ask(&bearer(&world, HOUR)).await.1.as_deref(),
        Some(refused),
        "its own is one of the others now"
    );
}

#[tokio::test]
async fn a_basic_cluster_is_403() {
    let world = World::with_issuers().await;
    let change = |cluster| IssuerChange { cluster: Some(cluster), ..IssuerChange::default() };
    world.issuers().change(change(ClusterType::Basic)).unwrap();
    let ask = async || world.cluster(&bearer(&world, HOUR), &pod_key()).await;
    assert_eq!(ask().await.verdict(), verdict(403, "NotAuthorized"));
    world.issuers().change(change(ClusterType::Enhanced)).unwrap();
    assert_eq!(ask().await.status, 200);
}

#[tokio::test]
async fn a_key_that_is_none_is_400() {
    let world = World::with_issuers().await;
    for (body, code) in [
        (json!({}), "MissingParameter"),
        (json!({"podKey": 1}), "CannotParseRequest"),
        (json!({"podKey": "*"}), "InvalidParameter"),
        (json!({"podKey": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n"}), "InvalidParameter"),
    ] {
        assert_eq!(world.cluster(&bearer(&world, HOUR), &body).await.verdict(), verdict(400, code), "{body}");
    }
}

#[tokio::test]
async fn the_cluster_is_trusted_by_its_own_authority_and_serves_nothing_else() {
    let world = World::with_issuers().await;
    let (address, authority) = (world.issuers().cluster_addr(), world.issuers().cluster_authority_pem());
    let get = b"GET /opc/v2/instance/id HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Oracle\r\n\
        connection: close\r\n\r\n";
    let read = over_tls(address, authority, get).await.unwrap();
    assert_eq!(Answer::parse(&read).unwrap().status, 404);
    let other = World::with_issuers().await;
    let error = over_tls(address, other.issuers().cluster_authority_pem(), get).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
