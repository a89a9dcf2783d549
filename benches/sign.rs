//! The signature of a create and its parts, beside the bare RSA signature that bounds them from below.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use http::Method;
use oci_backup_gateway::signature;
use oci_backup_gateway::signature::Content;
use oci_backup_gateway::signature::Host;
use oci_backup_gateway::signature::Identity;
use oci_backup_gateway::signature::PrivateKey;
use oci_backup_gateway::signature::Request;
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;
use std::time::UNIX_EPOCH;

const KEY_ID: &str = "ocid1.tenancy.oc1..aaaaaaaabenchbenchbenchbenchbenchbenchbenchbenchbenchbenchben/\
    ocid1.user.oc1..aaaaaaaabenchbenchbenchbenchbenchbenchbenchbenchbenchbenchben/\
    20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";
const BODY: &[u8] = br#"{"volumeId":"ocid1.volume.oc1.iad.abuwcljtqzfmkkzvyxgbenchbenchbenchbenchbenchbenchbenchbench","displayName":"nightly","type":"INCREMENTAL","freeformTags":{"service":"orders","stage":"production"},"definedTags":{"Operations":{"CostCenter":"42","Owner":"storage"}}}"#;

fn sign(criterion: &mut Criterion) {
    let (pair, key, der) = new_key().expect("a new key");
    let now = UNIX_EPOCH + Duration::from_secs(1_767_648_700);
    let request = Request {
        method: &Method::POST,
        target: "/20160918/volumeBackups",
        host: Host::Signed("iaas.us-ashburn-1.oraclecloud.com"),
        content_type: "application/json",
        body: BODY,
    };
    let identity = Identity { key_id: KEY_ID, key: &key };
    let content = Content::of(&request);
    let date = "Mon, 05 Jan 2026 21:31:40 GMT";
    let text = signature::signing_string(&request, content.as_ref(), date).expect("a POST");
    let mut made = vec![0; pair.public_modulus_len()];

    let mut group = criterion.benchmark_group("sign");
    group.bench_function("rsa alone", |bench| {
        let random = SystemRandom::new();
        bench.iter(|| pair.sign(&RSA_PKCS1_SHA256, &random, black_box(text.as_bytes()), &mut made));
    });
    group.bench_function("a create", |bench| {
        bench.iter(|| signature::sign(black_box(&request), &identity, now));
    });
    group.bench_function("hash of the body", |bench| bench.iter(|| drop(Content::of(black_box(&request)))));
    group.bench_function("signing string", |bench| {
        bench.iter(|| signature::signing_string(black_box(&request), content.as_ref(), date));
    });
    let headers = signature::signed_headers(&request);
    group.bench_function("authorization header", |bench| {
        bench.iter(|| signature::authorization(KEY_ID, headers, black_box(&[7; 256])));
    });
    group.bench_function("key and fingerprint, once at start", |bench| {
        bench.iter(|| PrivateKey::from_pkcs8(black_box(&der)));
    });
    group.finish();
}

/// The same key for both sides.
fn new_key() -> Result<(RsaKeyPair, PrivateKey, Vec<u8>), Box<dyn Error>> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let der: Pkcs8V1Der<'_> = pair.as_der()?;
    let der = der.as_ref().to_vec();
    let key = PrivateKey::from_pkcs8(&der)?;
    Ok((pair, key, der))
}

criterion_group!(benches, sign);
criterion_main!(benches);
