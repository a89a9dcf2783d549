//! Local checks: all violations at once, and nothing is sent.

use crate::rig::Rig;
use crate::rig::create;
use crate::rig::create_boot;
use oci_backup_gateway::pb;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use std::collections::BTreeMap;
use tonic::Code;
use tonic::Status;
use tonic_types::StatusExt;

fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.domain.as_str(), info.reason.as_str()), ("oci-backup-gateway", "INVALID_REQUEST"));
    assert_eq!((info.metadata["outcome"].as_str(), info.metadata["attempts"].as_str()), ("NOT_STARTED", "0"));
    details.bad_request().unwrap().field_violations.iter().map(|violation| violation.field.clone()).collect()
}

fn tag(value: Kind) -> BTreeMap<String, Struct> {
    let inner = Struct { fields: BTreeMap::from([("key".to_owned(), Value { kind: Some(value) })]) };
    BTreeMap::from([("space".to_owned(), inner)])
}

#[tokio::test]
async fn every_violation_is_named_at_once_and_nothing_is_sent() {
    let rig = Rig::start().await;
    let request = pb::CreateVolumeBackupRequest {
        volume_id: "ocid1.bootvolume.oc1.iad.x".to_owned(),
        display_name: Some("n".repeat(256)),
        r#type: 77,
        kms_key_id: Some("../../secrets".to_owned()),
        retry_token: Some(" padded ".to_owned()),
        defined_tags: tag(Kind::NumberValue(f64::NAN)),
        retention_period: Some(pb::RetentionDuration {
            retention_time_unit: 100,
            retention_time_amount: Some(1),
        }),
        ..pb::CreateVolumeBackupRequest::default()
    };
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    let mut named = fields(&status);
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "defined_tags[\"space\"][\"key\"]",
            "display_name",
            "kms_key_id",
            "retention_period.retention_time_unit",
            "retry_token",
            "type",
            "volume_id",
        ]
    );
    assert!(rig.sandbox.ledger().attempts.is_empty());
}

#[tokio::test]
async fn ids_that_could_change_a_url_are_refused() {
    let rig = Rig::start().await;
    let long = format!("ocid1.volume.oc1.iad.{}", "x".repeat(255));
    for id in [
        "",
        "x",
        "ocid1.volume.oc1.iad.a/../b",
        "ocid1.volume.oc1.iad.a?b",
        "ocid1.volume.oc1.iad.a b",
        "ocid1.volume.oc1.iad.ä",
        "ocid1.volume.oc1.iad.%2e",
        "ocid1.volume.oc1.iad.a\n",
        &long,
        "ocid1.volume.oc1",
    ] {
        let request = pb::CreateVolumeBackupRequest { volume_id: id.to_owned(), ..create() };
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        assert_eq!(fields(&status), ["volume_id"], "{id:?}");
        let request = pb::CreateBootVolumeBackupRequest { boot_volume_id: id.to_owned(), ..create_boot() };
        let status = rig.caller.clone().create_boot_volume_backup(request).await.unwrap_err();
        assert_eq!(fields(&status), ["boot_volume_id"], "{id:?}");
    }
    assert!(rig.sandbox.ledger().attempts.is_empty());
}

#[tokio::test]
async fn tokens_of_every_bad_shape_are_refused() {
    let rig = Rig::start().await;
    let long = "t".repeat(65);
    for token in ["", " ", "a ", " a", "ä", "a\tb", "a\nb", &long] {
        let request = pb::CreateVolumeBackupRequest { retry_token: Some(token.to_owned()), ..create() };
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        assert_eq!(fields(&status), ["retry_token"], "{token:?}");
    }
    let mut unequal = tonic::Request::new(create());
    unequal.metadata_mut().insert("opc-retry-token", "another".parse().unwrap());
    let status = rig.caller.clone().create_volume_backup(unequal).await.unwrap_err();
    assert_eq!(fields(&status), ["retry_token"]);
    assert!(rig.sandbox.ledger().attempts.is_empty());
}

#[tokio::test]
async fn of_many_violations_as_many_are_named_as_fit_and_all_are_counted() {
    let rig = Rig::start().await;
    let number = |index| {
        (format!("{index:03}{}", "k".repeat(60)), Value { kind: Some(Kind::NumberValue(f64::INFINITY)) })
    };
    let fields_of_tag = Struct { fields: (0..500).map(number).collect() };
    let request = pb::CreateVolumeBackupRequest {
        defined_tags: BTreeMap::from([("space".to_owned(), fields_of_tag)]),
        ..create()
    };
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    let named = fields(&status).len();
    assert!((5..500).contains(&named), "{named}");
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["violations"], "500");
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!((3000..=4096).contains(&size), "{size}");
}

#[tokio::test]
async fn whatever_oci_might_accept_is_sent() {
    let rig = Rig::start().await;
    let request = pb::CreateVolumeBackupRequest {
        display_name: Some(String::new()),
        freeform_tags: BTreeMap::from([("é ü".to_owned(), "🦀".to_owned())]),
        defined_tags: tag(Kind::NumberValue(42.0)),
        retention_period: Some(pb::RetentionDuration {
            retention_time_unit: 0,
            retention_time_amount: Some(-5),
        }),
        retry_token: Some("aliqua enim i".to_owned()),
        ..create()
    };
    rig.break_next(oci_backup_gateway::sandbox::Fault::status(400, "InvalidParameter", "OCI's judgement"));
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    assert!(status.message().contains("OCI's judgement"), "{status:?}");
}
