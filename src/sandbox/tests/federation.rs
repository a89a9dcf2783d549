//! `POST /v1/x509`: what each SDK sends is taken, and one wrong part is not.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use pkcs8::EncodePublicKey;
use rsa::{BigUint, RsaPublicKey};
use serde_json::{Value, json};
use sha2::Sha256;

use super::client::{World, identity, verdict};
use super::issuing::{Federation, claims, config, fingerprint, session_key};
use crate::sandbox::{IssuerChange, IssuerConfig, IssuerKeys, NewCertificate, Transport};

/// SHA-1 by the library that the SDKs' tests do not share with us.
fn sha1(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The reason for which the exchange is refused, with 401.
async fn refusal(world: &World, federation: &Federation) -> String {
    let answer = world.federated(federation).await;
    assert_eq!(answer.verdict(), verdict(401, "NotAuthenticated"));
    world.issuers().ledger().attempts.pop().unwrap().refusal.unwrap()
}

#[tokio::test]
async fn each_spelling_of_the_sdks_is_taken() {
    let world = World::with_issuers().await;
    let certificates = world.certificates().await;
    let (tenancy, leaf) = (&certificates.tenancy, &certificates.leaf);
    let go = world.federation().await;
    let mut java = go.clone();
    let upper = fingerprint::<Sha256>(leaf).to_ascii_uppercase();
    java.key_id = format!("{tenancy}/fed-x509-sha256/{upper}");
    java.headers =
        vec!["date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256"];
    java.body["purpose"] = json!("DEFAULT");
    let mut python = go.clone();
    python.key_id = format!("{tenancy}/fed-x509/{}", sha1(leaf));
    python.body.as_object_mut().unwrap().remove("fingerprintAlgorithm");

    for (sdk, federation) in [("Go", go), ("Java", java), ("Python", python)] {
        let answer = world.federated(&federation).await;
        assert_eq!(answer.status, 200, "{sdk}: {answer:?}");
        let token = answer.text("token");
        assert_eq!(world.send(&world.signed_by(&token, session_key())).await.status, 200, "{sdk}");
    }
}

#[tokio::test]
async fn a_token_says_for_whom_it_is() {
    let world = World::with_issuers().await;
    let claims = claims(&world.token().await);
    let tenancy = json!(identity().tenancy());
    for (name, value) in [("ptype", json!("instance")), ("ttype", json!("x509")), ("tenant", tenancy)] {
        assert_eq!(claims[name], value, "{name}");
    }
    for (name, start) in [
        ("sub", "ocid1.instance.oc1.iad."),
        ("opc-instance", "ocid1.instance.oc1.iad."),
        ("opc-compartment", "ocid1.compartment.oc1.."),
    ] {
        assert!(claims[name].as_str().unwrap().starts_with(start), "{name}");
    }
    let jwk: Value = serde_json::from_str(claims["jwk"].as_str().unwrap()).unwrap();
    assert_eq!((&jwk["kty"], &jwk["e"]), (&json!("RSA"), &json!("AQAB")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 1200);
}

#[tokio::test]
async fn a_wrong_signature_is_refused() {
    let world = World::with_issuers().await;
    let right = world.federation().await;
    let other_key = Federation { key_pem: identity().private_key_pem().to_owned(), ..right.clone() };
    assert_eq!(refusal(&world, &other_key).await, "the signature does not match the signing string");
    let unsigned_hash = Federation { headers: right.headers[..4].to_vec(), ..right.clone() };
    assert_eq!(refusal(&world, &unsigned_hash).await, "x-content-sha256 is not signed");
    let late = Federation { date: world.now() - Duration::from_secs(301), ..right.clone() };
    assert_eq!(refusal(&world, &late).await, "date is 301 seconds off; 300 are allowed");

    let altered = right.signed().alter("authorization", |value| {
        let at = value.find("signature=\"").unwrap() + 20;
        let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &value[..at], &value[at + 1..])
    });
    assert_eq!(world.instance(&altered.bytes()).await.status, 401);
    let mut longer = right.signed();
    longer.body.push(b' ');
    let length = longer.body.len().to_string();
    let longer = longer.alter("content-length", |_| length);
    assert!(world.instance(&longer.bytes()).await.text("message").contains("x-content-sha256"));
}

#[tokio::test]
async fn a_key_id_that_does_not_name_the_leaf_is_refused() {
    let world = World::with_issuers().await;
    let right = world.federation().await;
    let certificates = world.certificates().await;
    let (tenancy, leaf) = (certificates.tenancy.as_str(), certificates.leaf.as_slice());
    let sha256 = fingerprint::<Sha256>(leaf);
    let first = if sha256.starts_with('0') { "1" } else { "0" };
    let cases = [
        (format!("{tenancy}/fed-x509-sha256/{first}{}", &sha256[1..]), "the key id's fingerprint is"),
        (format!("{tenancy}/fed-x509-sha256/{}", sha1(leaf)), "the key id's fingerprint is"),
        (format!("{tenancy}/fed-x509/{sha256}"), "the key id's fingerprint is"),
        (format!("{tenancy}/fed-x509/{}", fingerprint::<Md5>(leaf)), "the key id's fingerprint is"),
        (format!("ocid1.tenancy.oc1..other/fed-x509-sha256/{sha256}"), "the key id's tenancy is"),
        (format!("{tenancy}/fed-x509-sha512/{sha256}"), "key id "),
        (format!("{tenancy}/{sha256}"), "key id "),
        (format!("{tenancy}/fed-x509-sha256/{sha256}/more"), "key id "),
    ];
    for (key_id, why) in cases {
        let wrong = Federation { key_id: key_id.clone(), ..right.clone() };
        let refusal = refusal(&world, &wrong).await;
        assert!(refusal.starts_with(why), "{key_id}: {refusal}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_good_is_refused() {
    let world = World::with_issuers().await;
    let right = world.federation().await;
    let leaf = || right.body["certificate"].clone();
    let spoilt = |field: &str, value: Value| {
        let mut wrong = right.clone();
        wrong.body[field] = value;
        wrong
    };
    let cases = [
        ("certificate", json!(STANDARD.encode("no certificate")), "cannot be read"),
        ("intermediateCertificates", json!([]), "is not signed by an intermediate of the request"),
        ("intermediateCertificates", json!([leaf()]), "is not signed by an intermediate of the request"),
    ];
    for (field, value, why) in cases {
        let refusal = refusal(&world, &spoilt(field, value)).await;
        assert_eq!(refusal, format!("the certificate {why}"));
    }

    let life = NewCertificate { life_seconds: Some(60), tenancy: None };
    world.issuers().change(IssuerChange { certificate: Some(life), ..IssuerChange::default() }).unwrap();
    let short = world.federation().await;
    assert_eq!(world.federated(&short).await.status, 200);
    world.pass(Duration::from_secs(61));
    let expired = Federation { date: world.now(), ..short };
    assert_eq!(refusal(&world, &expired).await, "the certificate has expired");
}

#[tokio::test]
async fn certificates_of_another_authority_are_refused() {
    let world = World::with_issuers().await;
    let keys = Some(IssuerKeys::generate().unwrap());
    let other = World::start_as(Transport::Plaintext, Some(IssuerConfig { keys, ..config() })).await;
    let foreign = other.federation().await;
    assert_eq!(other.federated(&foreign).await.status, 200);
    assert_eq!(
        refusal(&world, &foreign).await,
        "the certificate has an intermediate that is not signed by the root"
    );

    // A foreign leaf beside the right intermediate, whose name it bears.
    let mut mixed = foreign.clone();
    mixed.body["intermediateCertificates"] =
        world.federation().await.body["intermediateCertificates"].clone();
    assert_eq!(
        refusal(&world, &mixed).await,
        "the certificate is not signed by an intermediate of the request"
    );
}

#[tokio::test]
async fn a_body_without_what_it_needs_is_400() {
    let world = World::with_issuers().await;
    let right = world.federation().await;
    let small = RsaPublicKey::new(BigUint::from_bytes_be(&[0xff; 128]), BigUint::from(65_537_u32)).unwrap();
    let small = STANDARD.encode(small.to_public_key_der().unwrap().as_bytes());
    let cases = [
        ("publicKey", json!(small), "publicKey has less than 2048 bits."),
        ("publicKey", json!("-----BEGIN PUBLIC KEY-----"), "publicKey is not base64 of DER."),
        ("publicKey", json!(STANDARD.encode("no key")), "publicKey is no RSA key."),
        ("certificate", json!("-----BEGIN CERTIFICATE-----"), "certificate is not base64 of DER."),
        ("fingerprintAlgorithm", json!("MD5"), "fingerprintAlgorithm \"MD5\" is not SHA256."),
    ];
    for (field, value, message) in cases {
        let mut wrong = right.clone();
        wrong.body[field] = value;
        let answer = world.federated(&wrong).await;
        assert_eq!(answer.verdict(), verdict(400, "InvalidParameter"), "{field}");
        assert_eq!(answer.text("message"), message);
    }
    for field in ["certificate", "publicKey"] {
        let mut wrong = right.clone();
        wrong.body.as_object_mut().unwrap().remove(field);
        let answer = world.federated(&wrong).await;
        assert!(answer.status == 400 && answer.text("message").contains(field), "{answer:?}");
    }
}
