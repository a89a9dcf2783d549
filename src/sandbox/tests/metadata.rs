//! The metadata service: what an instance finds, and how its certificates look.

use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use serde_json::json;
use sha2::Sha256;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::spki::der::referenced::OwnedToRef;

use super::client::{World, identity};
use super::issuing::{claims, public_der, session_key};
use crate::sandbox::{IssuerChange, NewCertificate, RegionForm};

async fn text(world: &World, path: &str) -> String {
    let answer = world.metadata(path).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain")), "{path}");
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn the_region_is_told_in_both_forms() {
    let world = World::with_issuers().await;
    assert_eq!(text(&world, "instance/region").await, "iad");
    world
        .issuers()
        .change(IssuerChange { region: Some(RegionForm::Name), ..IssuerChange::default() })
        .unwrap();
    assert_eq!(text(&world, "instance/region").await, "us-ashburn-1");
    let info = world.metadata("instance/regionInfo").await.json();
    assert_eq!(
        info,
        json!({
            "realmKey": "oc1", "realmDomainComponent": "oraclecloud.com",
            "regionKey": "IAD", "regionIdentifier": "us-ashburn-1",
        })
    );
    assert!(text(&world, "instance/id").await.starts_with("ocid1.instance.oc1.iad."));
}

#[tokio::test]
async fn only_who_says_bearer_oracle_is_answered() {
    let world = World::with_issuers().await;
    let ask = async |head: &str| world.instance(format!("{head}\r\nhost: x\r\n\r\n").as_bytes()).await.status;
    assert_eq!(ask("GET /opc/v2/identity/key.pem HTTP/1.1").await, 401);
    assert_eq!(ask("GET /opc/v2/identity/key.pem HTTP/1.1\r\nauthorization: Bearer oracle").await, 401);
    assert_eq!(ask("GET /opc/v1/identity/key.pem HTTP/1.1\r\nauthorization: Bearer Oracle").await, 404);
    assert_eq!(ask("POST /opc/v2/instance/id HTTP/1.1\r\nauthorization: Bearer Oracle").await, 405);
    assert_eq!(ask("GET /v1/x509 HTTP/1.1").await, 405);
    assert_eq!(world.metadata("identity/secret").await.status, 404);
}

#[tokio::test]
async fn the_leaf_is_as_oci_makes_them() {
    let world = World::with_issuers().await;
    let certificates = world.certificates().await;
    let leaf = Certificate::from_der(&certificates.leaf).unwrap();
    let intermediate = Certificate::from_der(&certificates.intermediate).unwrap();
    assert_eq!(leaf.tbs_certificate.issuer, intermediate.tbs_certificate.subject);

    let parts = &leaf.tbs_certificate.subject.0;
    let [common_name, units] = parts.as_slice() else { panic!("{parts:?}") };
    assert!(common_name.0.iter().next().unwrap().value.value().len() > 64);
    assert_eq!(units.0.len(), 4, "all units are in one part of the name");
    assert!(units.0.iter().all(|unit| unit.value.tag() == Tag::PrintableString));
    assert_eq!(certificates.tenancy, identity().tenancy());

    let info = leaf.tbs_certificate.subject_public_key_info.to_der().unwrap();
    assert_eq!(info, public_der(&certificates.key_pem));
    let key = intermediate.tbs_certificate.subject_public_key_info.owned_to_ref();
    let key = VerifyingKey::<Sha256>::new(rsa::RsaPublicKey::try_from(key).unwrap());
    let signature = Signature::try_from(leaf.signature.as_bytes().unwrap()).unwrap();
    key.verify(&leaf.tbs_certificate.to_der().unwrap(), &signature).unwrap();
}

#[tokio::test]
async fn certificates_rotate_and_may_change_their_tenancy() {
    let world = World::with_issuers().await;
    let before = world.certificates().await;
    let rotate = |tenancy: Option<&str>| {
        let certificate = NewCertificate { tenancy: tenancy.map(str::to_owned), life_seconds: None };
        world.issuers().change(IssuerChange { certificate: Some(certificate), ..IssuerChange::default() })
    };
    rotate(None).unwrap();
    let after = world.certificates().await;
    assert_ne!((before.leaf, before.key_pem), (after.leaf.clone(), after.key_pem.clone()));
    assert_eq!(before.tenancy, after.tenancy);
    assert_eq!(world.send(&world.signed_by(&world.token().await, session_key())).await.status, 200);

    rotate(Some("ocid1.tenancy.oc1..another")).unwrap();
    assert_eq!(world.certificates().await.tenancy, "ocid1.tenancy.oc1..another");
    assert_eq!(claims(&world.token().await)["tenant"], "ocid1.tenancy.oc1..another");
}
