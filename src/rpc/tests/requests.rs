//! Valid messages become exactly the JSON that was said.

use super::case::Case;
use super::case::Cases;
use super::case::Field;
use super::tag::namespaces;
use super::tag::objects;
use super::tag::structs;
use super::tag::text;
use crate::oci::boot_volume_backup::CreateBootVolumeBackup;
use crate::oci::operation::Operation;
use crate::oci::request::Request;
use crate::oci::volume_backup::CreateVolumeBackup;
use crate::pb;
use crate::rpc::Rpc;
use crate::rpc::metadata::ToldToken;
use bytes::Bytes;
use proptest::collection::btree_map;
use proptest::prelude::*;
use prost::Message;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;

fn volume_backups() -> BoxedStrategy<Case<pb::CreateVolumeBackupRequest>> {
    Cases::<pb::CreateVolumeBackupRequest>::new()
        .with("volumeId", ocid("volume"), |it, value| it.volume_id = value)
        .with("displayName", said(display_name()), |it, value| it.display_name = value)
        .with("type", backup_type(), |it, value| it.r#type = value)
        .with("kmsKeyId", optional_ocid("key"), |it, value| it.kms_key_id = value)
        .with("freeformTags", freeform_tags(), |it, value| it.freeform_tags = value)
        .with("definedTags", defined_tags(), |it, value| it.defined_tags = value)
        .with("retentionPeriod", retention(), |it, value| it.retention_period = value)
        .with("isPreventDeletionEnabled", said(any::<bool>()), |it, value| {
            it.is_prevent_deletion_enabled = value;
        })
        .with("isRetentionLockEnabled", said(any::<bool>()), |it, value| it.is_retention_lock_enabled = value)
        .with("isIndefiniteRetentionEnabled", said(any::<bool>()), |it, value| {
            it.is_indefinite_retention_enabled = value;
        })
        .with("retryToken", retry_token(), |it, value| it.retry_token = value)
        .strategy()
}

fn boot_volume_backups() -> BoxedStrategy<Case<pb::CreateBootVolumeBackupRequest>> {
    Cases::<pb::CreateBootVolumeBackupRequest>::new()
        .with("bootVolumeId", ocid("bootvolume"), |it, value| it.boot_volume_id = value)
        .with("displayName", said(display_name()), |it, value| it.display_name = value)
        .with("type", backup_type(), |it, value| it.r#type = value)
        .with("kmsKeyId", optional_ocid("key"), |it, value| it.kms_key_id = value)
        .with("freeformTags", freeform_tags(), |it, value| it.freeform_tags = value)
        .with("definedTags", defined_tags(), |it, value| it.defined_tags = value)
        .with("retentionPeriod", retention(), |it, value| it.retention_period = value)
        .with("isPreventDeletionEnabled", said(any::<bool>()), |it, value| {
            it.is_prevent_deletion_enabled = value;
        })
        .with("isRetentionLockEnabled", said(any::<bool>()), |it, value| it.is_retention_lock_enabled = value)
        .with("isIndefiniteRetentionEnabled", said(any::<bool>()), |it, value| {
            it.is_indefinite_retention_enabled = value;
        })
        .with("retryToken", retry_token(), |it, value| it.retry_token = value)
        .strategy()
}

/// What may be left out, and is sent as it is when it is not.
fn said<T>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Field<Option<T>>>
where
    T: Clone + std::fmt::Debug + Into<Json>,
{
    proptest::option::of(value).prop_map(|value| Field { json: value.clone().map(Into::into), value })
}

fn ocid_text(resource_type: &'static str) -> impl Strategy<Value = String> {
    "oc[0-9]{1,2}\\.([a-z]{3})?\\.([A-Z]{0,4}\\.)?[a-zA-Z0-9_-]{1,60}"
        .prop_map(move |rest| format!("ocid1.{resource_type}.{rest}"))
}

fn ocid(resource_type: &'static str) -> impl Strategy<Value = Field<String>> {
    ocid_text(resource_type).prop_map(|id| Field { json: Some(json!(id)), value: id })
}

fn optional_ocid(resource_type: &'static str) -> impl Strategy<Value = Field<Option<String>>> {
    said(ocid_text(resource_type))
}

/// The limit is in characters, whatever their bytes.
fn display_name() -> impl Strategy<Value = String> {
    prop_oneof![text(), Just("ü".repeat(255))].prop_map(|name| name.chars().take(255).collect())
}

fn backup_type() -> impl Strategy<Value = Field<i32>> {
    prop_oneof![
        Just(Field { json: None, value: 0 }),
        Just(Field { json: Some(json!("FULL")), value: 1 }),
        Just(Field { json: Some(json!("INCREMENTAL")), value: 2 }),
    ]
}

fn freeform_tags() -> impl Strategy<Value = Field<BTreeMap<String, String>>> {
    btree_map(text(), text(), 0..4)
        .prop_map(|tags| Field { json: (!tags.is_empty()).then(|| json!(tags)), value: tags })
}

fn defined_tags() -> impl Strategy<Value = Field<BTreeMap<String, Struct>>> {
    namespaces()
        .prop_map(|tags| Field { json: (!tags.is_empty()).then(|| objects(&tags)), value: structs(&tags) })
}

fn retention() -> impl Strategy<Value = Field<Option<pb::RetentionDuration>>> {
    let unit = prop_oneof![Just((0, None)), Just((1, Some("DAYS"))), Just((2, Some("YEARS")))];
    let amount = proptest::option::of(any::<i64>());
    proptest::option::of((unit, amount)).prop_map(|period| {
        let Some(((number, unit), amount)) = period else { return Field { json: None, value: None } };
        let mut json = serde_json::Map::new();
        json.extend(unit.map(|unit| ("retentionTimeUnit".to_owned(), json!(unit))));
        json.extend(amount.map(|amount| ("retentionTimeAmount".to_owned(), json!(amount))));
        let value = pb::RetentionDuration { retention_time_unit: number, retention_time_amount: amount };
        Field { json: Some(Json::Object(json)), value: Some(value) }
    })
}

/// It goes into a header, never into the body.
fn retry_token() -> impl Strategy<Value = Field<Option<String>>> {
    proptest::option::of("[!-~]([ -~]{0,62}[!-~])?").prop_map(|value| Field { json: None, value })
}

fn request<R: Rpc + Operation>(message: R::Request) -> Request {
    R::parse(message, ToldToken::None).unwrap().request().unwrap()
}

fn body<R: Rpc + Operation>(message: R::Request) -> Bytes {
    request::<R>(message).body
}

fn says_what_was_said<R>(case: Case<R::Request>) -> Result<(), TestCaseError>
where
    R: Rpc + Operation,
    R::Request: Message + Default + Clone,
{
    let body = body::<R>(case.message.clone());
    let expected = Json::Object(case.json);
    prop_assert_eq!(serde_json::from_slice::<Json>(&body).unwrap(), expected.clone());
    // A field that is there twice, or a number in a longer form, would make it longer.
    prop_assert_eq!(body.len(), expected.to_string().len());

    let received = R::Request::decode(case.message.encode_to_vec().as_slice()).unwrap();
    prop_assert_eq!(self::body::<R>(received), body);
    Ok(())
}

proptest! {
    #[test]
    fn the_body_of_a_volume_backup_is_exactly_what_was_said(case in volume_backups()) {
        says_what_was_said::<CreateVolumeBackup>(case)?;
    }

    #[test]
    fn the_body_of_a_boot_volume_backup_is_exactly_what_was_said(case in boot_volume_backups()) {
        says_what_was_said::<CreateBootVolumeBackup>(case)?;
    }

    #[test]
    fn the_order_in_which_tags_come_never_shows_in_the_body(
        tags in btree_map("[a-z]{1,5}", text(), 2..6), namespaces in namespaces(),
    ) {
        let id = "ocid1.volume.oc1.iad.x".to_owned();
        let mut parts = vec![pb::CreateVolumeBackupRequest { volume_id: id, ..Default::default() }];
        parts.extend(tags.into_iter().map(|tag| pb::CreateVolumeBackupRequest {
            freeform_tags: [tag].into(),
            ..Default::default()
        }));
        parts.extend(structs(&namespaces).into_iter().map(|tags| pb::CreateVolumeBackupRequest {
            defined_tags: [tags].into(),
            ..Default::default()
        }));
        // Protobuf joins messages by joining their bytes.
        let mut encoded: Vec<_> = parts.iter().map(Message::encode_to_vec).collect();
        let there = pb::CreateVolumeBackupRequest::decode(encoded.concat().as_slice()).unwrap();
        encoded.reverse();
        let back = pb::CreateVolumeBackupRequest::decode(encoded.concat().as_slice()).unwrap();
        prop_assert_eq!(body::<CreateVolumeBackup>(there), body::<CreateVolumeBackup>(back));
    }
}

#[test]
fn a_create_goes_to_its_own_collection_with_its_token() {
    let token = || Some("token 1".to_owned());
    let volume = request::<CreateVolumeBackup>(pb::CreateVolumeBackupRequest {
        volume_id: "ocid1.volume.oc1.iad.x".to_owned(),
        retry_token: token(),
        ..Default::default()
    });
    let boot_volume = request::<CreateBootVolumeBackup>(pb::CreateBootVolumeBackupRequest {
        boot_volume_id: "ocid1.bootvolume.oc1.iad.x".to_owned(),
        retry_token: token(),
        ..Default::default()
    });
    for (request, target) in [(volume, "/volumeBackups"), (boot_volume, "/bootVolumeBackups")] {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", target));
        assert_eq!(request.idempotency.retry_token().map(|token| token.as_str()), Some("token 1"));
    }
}

#[test]
fn numbers_of_tags_go_out_in_their_plainest_form() {
    let cases = [
        (42.0, "42"),
        (-1.0, "-1"),
        (0.0, "0"),
        (-0.0, "0"),
        (9_007_199_254_740_993.0, "9007199254740992"),
        (9_223_372_036_854_774_784.0, "9223372036854774784"),
        (-9_223_372_036_854_774_784.0, "-9223372036854774784"),
        (9_223_372_036_854_775_808.0, "9.223372036854776e+18"),
        (1e300, "1e+300"),
        (0.5, "0.5"),
        (-2.75, "-2.75"),
        (5e-324, "5e-324"),
    ];
    for (number, text) in cases {
        let tag = Value { kind: Some(Kind::NumberValue(number)) };
        let message = pb::CreateVolumeBackupRequest {
            volume_id: "ocid1.volume.oc1.iad.x".to_owned(),
            defined_tags: [("n".to_owned(), Struct { fields: [("k".to_owned(), tag)].into() })].into(),
            ..Default::default()
        };
        let expected =
            format!(r#"{{"volumeId":"ocid1.volume.oc1.iad.x","definedTags":{{"n":{{"k":{text}}}}}}}"#);
        assert_eq!(body::<CreateVolumeBackup>(message), expected, "{number}");
    }
}
