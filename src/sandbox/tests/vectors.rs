//! What OCI's own SDK signs, the sandbox accepts: signatures from outside this project.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use pkcs8::DecodePrivateKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs1v15::VerifyingKey;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::sandbox::authorization::Authorization;
use crate::sandbox::request::RawRequest;
use crate::sandbox::verify::{Coverage, Refusal, Verifier, check_signature, verify};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../tests/data/signing-vectors.json")).unwrap()
}

fn text<'v>(vector: &'v Value, name: &str) -> &'v str {
    vector[name].as_str().unwrap_or_default()
}

/// The request of a vector: its signed headers as the signing string has them, and its body.
fn request(vector: &Value, authorization: &str) -> RawRequest {
    let mut headers = HeaderMap::new();
    for line in text(vector, "signing_string").split('\n').filter(|line| !line.starts_with('(')) {
        let (name, value) = line.split_once(": ").unwrap();
        headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers.append("authorization", HeaderValue::from_str(authorization).unwrap());
    let body = Bytes::from(STANDARD.decode(text(vector, "body_base64")).unwrap());
    let (_, target) = text(vector, "request_target").split_once(' ').unwrap();
    RawRequest {
        method: text(vector, "method").parse().unwrap(),
        target: target.to_owned(),
        headers,
        body_sha256: Sha256::digest(&body).into(),
        body,
        unread: None,
    }
}

fn date(vector: &Value) -> SystemTime {
    httpdate::parse_http_date(text(vector, "date")).unwrap()
}

#[test]
fn what_the_official_sdk_signs_is_accepted_in_both_attribute_orders() {
    let vectors = vectors();
    let key_id = text(&vectors["fresh_key"], "key_id");
    let key =
        RsaPrivateKey::from_pkcs8_pem(text(&vectors["fresh_key"]["pem"], "pkcs8")).unwrap().to_public_key();
    let verifier = Verifier::of_key(key, key_id.to_owned());
    let ours = |vector: &&Value| text(vector, "key_id") == key_id;
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().unwrap().iter().filter(ours) {
        for order in ["authorization_python_order", "authorization_go_order"] {
            let request = request(vector, text(vector, order));
            assert_eq!(verifier.verify(&request, date(vector)), Ok(()), "{} {order}", vector["name"]);
            seen += 1;
        }
    }
    assert_eq!(seen, 18, "nine vectors are signed with an API key");
}

#[test]
fn what_the_official_sdk_signs_with_a_token_is_refused_without_issuers() {
    let vectors = vectors();
    let key_id = text(&vectors["fresh_key"], "key_id");
    let key =
        RsaPrivateKey::from_pkcs8_pem(text(&vectors["fresh_key"]["pem"], "pkcs8")).unwrap().to_public_key();
    let verifier = Verifier::of_key(key, key_id.to_owned());
    let token = vectors["vectors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|vector| text(vector, "key_id").starts_with("ST$"));
    let token = token.unwrap();
    let refusal =
        verifier.verify(&request(token, text(token, "authorization_go_order")), date(token)).unwrap_err();
    assert_eq!(refusal, Refusal::NoTokens);
}

/// The official SDK does not sign the host there.
#[test]
fn what_the_official_sdk_signs_for_the_federation_endpoint_is_accepted_there_alone() {
    let vectors = vectors();
    let named = |vector: &&Value| text(vector, "name") == "post_x509_federation";
    let vector = vectors["vectors"].as_array().unwrap().iter().find(named).unwrap();
    let key = RsaPrivateKey::from_pkcs8_pem(text(&vectors["fresh_key"]["pem"], "pkcs8")).unwrap();
    let request = request(vector, text(vector, "authorization_python_order"));
    let judged =
        |coverage| verify(&request, coverage, date(vector), |_| Ok(VerifyingKey::new(key.to_public_key())));
    assert_eq!(judged(Coverage::HostOptional), Ok(()));
    assert_eq!(judged(Coverage::WithHost), Err(Refusal::NotSigned("host")));
}

/// Their date has a wrong weekday, which this sandbox refuses: so their signatures are looked at alone.
#[test]
fn the_published_signatures_fit() {
    let vectors = vectors();
    let published = &vectors["published_key"];
    let key = RsaPrivateKey::from_pkcs1_pem(text(published, "pem_pkcs1")).unwrap().to_public_key();
    let key = VerifyingKey::new(key);
    for vector in vectors["published_vectors"].as_array().unwrap() {
        let value = text(vector, "authorization_go_order");
        let (mut request, authorization) = (request(vector, value), Authorization::parse(value).unwrap());
        assert_eq!(check_signature(&request, &authorization, &key), Ok(()), "{}", vector["name"]);
        request.target.push('x');
        assert_eq!(check_signature(&request, &authorization, &key), Err(Refusal::Signature));
    }
}
