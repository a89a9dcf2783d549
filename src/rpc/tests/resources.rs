//! What OCI answers reaches the caller whole: every field, absent unlike zero, in whatever form it came.

use super::case::Case;
use super::case::Cases;
use super::case::Field;
use super::tag::Namespaces;
use super::tag::namespaces;
use super::tag::objects;
use super::tag::structs;
use super::tag::tag;
use super::tag::text;
use crate::oci::Answer;
use crate::oci::boot_volume_backup::CreateBootVolumeBackup;
use crate::oci::volume_backup::CreateVolumeBackup;
use crate::pb;
use crate::rpc::Rpc;
use proptest::collection::btree_map;
use proptest::prelude::*;
use prost_types::Struct;
use prost_types::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Debug;

#[expect(deprecated, reason = "OCI still sends the sizes in MBs")]
fn volume_backups() -> BoxedStrategy<Case<pb::VolumeBackup>> {
    Cases::<pb::VolumeBackup>::new()
        .with("id", present(id()), |it, value| it.id = value)
        .with("compartmentId", sent(plain(text())), |it, value| it.compartment_id = value.unwrap_or_default())
        .with("volumeId", sent(plain(text())), |it, value| it.volume_id = value)
        .with("displayName", sent(plain(text())), |it, value| it.display_name = value.unwrap_or_default())
        .with("type", sent(backup_type()), |it, value| it.r#type = value.unwrap_or_default())
        .with("lifecycleState", sent(state()), |it, value| it.lifecycle_state = value.unwrap_or_default())
        .with("sourceType", sent(source_type()), |it, value| it.source_type = value.unwrap_or_default())
        .with("timeCreated", sent(time()), |it, value| it.time_created = value)
        .with("timeRequestReceived", sent(time()), |it, value| it.time_request_received = value)
        .with("expirationTime", sent(time()), |it, value| it.expiration_time = value)
        .with("sizeInGBs", sent(size()), |it, value| it.size_in_gbs = value)
        .with("sizeInMBs", sent(size()), |it, value| it.size_in_mbs = value)
        .with("uniqueSizeInGBs", sent(size()), |it, value| it.unique_size_in_gbs = value)
        .with("uniqueSizeInMbs", sent(size()), |it, value| it.unique_size_in_mbs = value)
        .with("kmsKeyId", sent(plain(text())), |it, value| it.kms_key_id = value)
        .with("sourceVolumeBackupId", sent(plain(text())), |it, value| it.source_volume_backup_id = value)
        .with("volumeGroupBackupId", sent(plain(text())), |it, value| it.volume_group_backup_id = value)
        .with("freeformTags", sent(freeform_tags()), |it, value| it.freeform_tags = value.unwrap_or_default())
        .with("definedTags", sent(tags()), |it, value| it.defined_tags = value.unwrap_or_default())
        .with("systemTags", sent(tags()), |it, value| it.system_tags = value.unwrap_or_default())
        .with("retentionPeriod", sent(retention()), |it, value| it.retention_period = value)
        .with("timeRetentionExpiresAt", sent(time()), |it, value| it.time_retention_expires_at = value)
        .with("isPreventDeletionEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_prevent_deletion_enabled = value;
        })
        .with("isRetentionLockEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_retention_lock_enabled = value;
        })
        .with("isIndefiniteRetentionEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_indefinite_retention_enabled = value;
        })
        .with_others(unknown_fields())
        .strategy()
}

fn boot_volume_backups() -> BoxedStrategy<Case<pb::BootVolumeBackup>> {
    Cases::<pb::BootVolumeBackup>::new()
        .with("id", present(id()), |it, value| it.id = value)
        .with("compartmentId", sent(plain(text())), |it, value| it.compartment_id = value.unwrap_or_default())
        .with("bootVolumeId", sent(plain(text())), |it, value| it.boot_volume_id = value)
        .with("displayName", sent(plain(text())), |it, value| it.display_name = value.unwrap_or_default())
        .with("type", sent(backup_type()), |it, value| it.r#type = value.unwrap_or_default())
        .with("lifecycleState", sent(state()), |it, value| it.lifecycle_state = value.unwrap_or_default())
        .with("sourceType", sent(source_type()), |it, value| it.source_type = value.unwrap_or_default())
        .with("timeCreated", sent(time()), |it, value| it.time_created = value)
        .with("timeRequestReceived", sent(time()), |it, value| it.time_request_received = value)
        .with("expirationTime", sent(time()), |it, value| it.expiration_time = value)
        .with("sizeInGBs", sent(size()), |it, value| it.size_in_gbs = value)
        .with("uniqueSizeInGBs", sent(size()), |it, value| it.unique_size_in_gbs = value)
        .with("imageId", sent(plain(text())), |it, value| it.image_id = value)
        .with("kmsKeyId", sent(plain(text())), |it, value| it.kms_key_id = value)
        .with("sourceBootVolumeBackupId", sent(plain(text())), |it, value| {
            it.source_boot_volume_backup_id = value;
        })
        .with("volumeGroupBackupId", sent(plain(text())), |it, value| it.volume_group_backup_id = value)
        .with("freeformTags", sent(freeform_tags()), |it, value| it.freeform_tags = value.unwrap_or_default())
        .with("definedTags", sent(tags()), |it, value| it.defined_tags = value.unwrap_or_default())
        .with("systemTags", sent(tags()), |it, value| it.system_tags = value.unwrap_or_default())
        .with("retentionPeriod", sent(retention()), |it, value| it.retention_period = value)
        .with("timeRetentionExpiresAt", sent(time()), |it, value| it.time_retention_expires_at = value)
        .with("isPreventDeletionEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_prevent_deletion_enabled = value;
        })
        .with("isRetentionLockEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_retention_lock_enabled = value;
        })
        .with("isIndefiniteRetentionEnabled", sent(plain(any::<bool>())), |it, value| {
            it.is_indefinite_retention_enabled = value;
        })
        .with_others(unknown_fields())
        .strategy()
}

/// Absent, null, or there in one of the forms of `value`.
fn sent<T: Clone + Debug + 'static>(
    value: impl Strategy<Value = (Json, T)> + 'static,
) -> impl Strategy<Value = Field<Option<T>>> {
    prop_oneof![
        1 => Just(Field { json: None, value: None }),
        1 => Just(Field { json: Some(Json::Null), value: None }),
        3 => value.prop_map(|(json, value)| Field { json: Some(json), value: Some(value) }),
    ]
}

/// The one field without which a resource is none.
/// An id is never empty: an answer without one is of no use.
fn id() -> impl Strategy<Value = String> {
    "[a-z0-9.]{1,40}"
}

fn present(text: impl Strategy<Value = String>) -> impl Strategy<Value = Field<String>> {
    text.prop_map(|text| Field { json: Some(json!(text)), value: text })
}

/// What JSON says as it is.
fn plain<T: Clone + Debug + Into<Json>>(value: impl Strategy<Value = T>) -> impl Strategy<Value = (Json, T)> {
    value.prop_map(|value| (value.clone().into(), value))
}

/// A number, a number with `.0`, or a text; zero often.
fn size() -> impl Strategy<Value = (Json, i64)> {
    let number = prop_oneof![Just(0), 1_i64..100_000, any::<i64>()];
    let small = prop_oneof![Just(0), -1_i32..100_000, any::<i32>()];
    prop_oneof![
        number.clone().prop_map(|number| (json!(number), number)),
        number.prop_map(|number| (json!(number.to_string()), number)),
        small.prop_map(|number| (json!(f64::from(number)), number.into())),
    ]
}

/// The names that this version knows with their numbers in the proto; any other name is 100.
fn one_of(known: &'static [(&'static str, i32)]) -> impl Strategy<Value = (Json, i32)> {
    let number_of = move |name: String| {
        let number = known.iter().find(|(known, _)| *known == name).map_or(100, |(_, number)| *number);
        (json!(name), number)
    };
    prop_oneof![
        3 => proptest::sample::select(known).prop_map(|(name, number)| (json!(name), number)),
        1 => "[A-Z_]{0,12}|full|Available|\\PC{0,4}".prop_map(number_of),
    ]
}

fn backup_type() -> impl Strategy<Value = (Json, i32)> {
    one_of(&[("FULL", 1), ("INCREMENTAL", 2)])
}

fn source_type() -> impl Strategy<Value = (Json, i32)> {
    one_of(&[("MANUAL", 1), ("SCHEDULED", 2)])
}

fn state() -> impl Strategy<Value = (Json, i32)> {
    one_of(&[
        ("REQUEST_RECEIVED", 1),
        ("CREATING", 2),
        ("COMMITTED", 3),
        ("AVAILABLE", 4),
        ("FAULTY", 5),
        ("TERMINATING", 6),
        ("TERMINATED", 7),
    ])
}

fn retention() -> impl Strategy<Value = (Json, pb::RetentionDuration)> {
    let unit = sent(one_of(&[("DAYS", 1), ("YEARS", 2)]));
    (unit, sent(size()), unknown_fields()).prop_map(|(unit, amount, mut json)| {
        json.extend(unit.json.map(|json| ("retentionTimeUnit".to_owned(), json)));
        json.extend(amount.json.map(|json| ("retentionTimeAmount".to_owned(), json)));
        let value = pb::RetentionDuration {
            retention_time_unit: unit.value.unwrap_or_default(),
            retention_time_amount: amount.value,
        };
        (Json::Object(json), value)
    })
}

/// An entry that is null is absent.
fn freeform_tags() -> impl Strategy<Value = (Json, BTreeMap<String, String>)> {
    btree_map(text(), proptest::option::weighted(0.8, text()), 0..4).prop_map(|tags| {
        (json!(tags), tags.into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
    })
}

fn tags() -> impl Strategy<Value = (Json, BTreeMap<String, Struct>)> {
    namespaces().prop_map(|tags: Namespaces| (objects(&tags), structs(&tags)))
}

fn unknown_fields() -> impl Strategy<Value = Map<String, Json>> {
    btree_map("new[A-Z][a-z]{0,5}", tag(), 0..3)
        .prop_map(|fields| fields.into_iter().map(|(name, tag)| (name, tag.json())).collect())
}

/// RFC 3339 in the years that protobuf and OCI can both write, in any offset, with up to nine digits.
fn time() -> impl Strategy<Value = (Json, Timestamp)> {
    let year = prop_oneof![2_i64..9998, 1890_i64..2100];
    let day = (year, 1_i64..=12, 1_i64..=28);
    let clock = (0_i64..24, 0_i64..60, 0_i64..60, proptest::option::of((0_i32..1_000_000_000, 1_usize..=9)));
    let offset = proptest::option::of((-23_i64..=23, 0_i64..60));
    (day, clock, offset).prop_map(|((year, month, day), (hour, minute, second, fraction), offset)| {
        let (fraction, nanos) = fraction.map_or((String::new(), 0), |(nanos, digits)| {
            let kept = &format!("{nanos:09}")[..digits];
            (format!(".{kept}"), format!("{kept:0<9}").parse().unwrap())
        });
        let (zone, ahead) = offset.map_or(("Z".to_owned(), 0), |(hours, minutes)| {
            let sign = if hours < 0 { -1 } else { 1 };
            (format!("{hours:+03}:{minutes:02}"), hours * 3600 + sign * minutes * 60)
        });
        let date = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - ahead;
        (json!(date), Timestamp { seconds, nanos })
    })
}

/// Days since 1970-01-01 in the Gregorian calendar, counted year by year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before_year = |year: i64| {
        let past = year - 1;
        past * 365 + past / 4 - past / 100 + past / 400
    };
    let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before_month: i64 = months.iter().take(usize::try_from(month - 1).unwrap()).sum();
    before_year(year) - before_year(1970) + before_month + day - 1
}

fn respond<R: Rpc>(json: &Json, etag: Option<String>) -> R::Response
where
    R::Model: DeserializeOwned,
{
    R::respond(Answer {
        value: serde_json::from_slice(json.to_string().as_bytes()).unwrap(),
        opc_request_id: String::new(),
        etag,
        opc_work_request_id: None,
        retry_token: None,
    })
}

proptest! {
    #[test]
    fn every_field_of_a_volume_backup_reaches_the_caller(
        case in volume_backups(), etag in proptest::option::of("[ -~]{1,9}"),
    ) {
        let response = respond::<CreateVolumeBackup>(&Json::Object(case.json), etag.clone());
        let expected = pb::VolumeBackup { etag, ..case.message };
        prop_assert_eq!(response.volume_backup, Some(expected));
    }

    #[test]
    fn every_field_of_a_boot_volume_backup_reaches_the_caller(
        case in boot_volume_backups(), etag in proptest::option::of("[ -~]{1,9}"),
    ) {
        let response = respond::<CreateBootVolumeBackup>(&Json::Object(case.json), etag.clone());
        let expected = pb::BootVolumeBackup { etag, ..case.message };
        prop_assert_eq!(response.boot_volume_backup, Some(expected));
    }
}

#[test]
fn times_keep_their_nanoseconds_on_both_sides_of_1970() {
    let cases = [
        ("1970-01-01T00:00:00Z", (0, 0)),
        ("1970-01-01T01:00:00.25+01:00", (0, 250_000_000)),
        ("1969-12-31T23:59:59.999Z", (-1, 999_000_000)),
        ("1969-12-31T23:59:58.000000001Z", (-2, 1)),
        ("0001-01-01T00:00:00Z", (-62_135_596_800, 0)),
        ("2026-07-28T12:00:00.123456789Z", (1_785_240_000, 123_456_789)),
    ];
    for (text, (seconds, nanos)) in cases {
        let response = respond::<CreateVolumeBackup>(&json!({ "id": "x", "timeCreated": text }), None);
        let time = response.volume_backup.unwrap().time_created;
        assert_eq!(time, Some(Timestamp { seconds, nanos }), "{text}");
    }
}
