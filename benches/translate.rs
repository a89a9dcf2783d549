//! Protobuf ↔ model ↔ JSON, without the gRPC face's field checks, which are private to it: a create's message
//! is decoded, a create's body is written, OCI's answer is read, and an answer's message is encoded. Whole
//! calls are measured in `whole_calls`.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]

use criterion::Criterion;
use criterion::criterion_group;
use criterion::criterion_main;
use oci_backup_gateway::oci::backup::CreateDetails;
use oci_backup_gateway::oci::backup::CreateType;
use oci_backup_gateway::oci::backup::RetentionDetails;
use oci_backup_gateway::oci::backup::RetentionDetailsUnit;
use oci_backup_gateway::oci::operation::Operation;
use oci_backup_gateway::oci::retry_token::RetryToken;
use oci_backup_gateway::oci::volume_backup::CreateVolumeBackup;
use oci_backup_gateway::oci::volume_backup::VolumeBackup;
use oci_backup_gateway::ocid::Ocid;
use oci_backup_gateway::pb;
use prost::Message;
use prost_types::Struct;
use prost_types::Timestamp;
use prost_types::Value;
use prost_types::value::Kind;
use std::collections::BTreeMap;
use std::hint::black_box;

const VOLUME: &str = "ocid1.volume.oc1.iad.abuwcljtqzfmkkzvyxgbenchbenchbenchbenchbenchbenchbenchbench";
const BACKUP: &str = "ocid1.volumebackup.oc1.iad.abuwcljtbenchbenchbenchbenchbenchbenchbenchbenchbenchbench";
const KEY: &str = "ocid1.key.oc1.iad.benchbench.abuwcljtbenchbenchbenchbenchbenchbenchbenchbenchbenchbench";
const MINIMAL_ANSWER: &str = r#"{"id":"ocid1.volumebackup.oc1.iad.abuwcljtbenchbenchbench"}"#;
const FULL_ANSWER: &str = r#"{"compartmentId":"ocid1.compartment.oc1..aaaaaaaabenchbenchbenchbenchbenchbenchbenchbenchbenchbenchben","definedTags":{"Operations":{"CostCenter":"42","Owner":"storage"}},"displayName":"nightly","expirationTime":"2027-01-05T21:31:40.123Z","freeformTags":{"service":"orders","stage":"production"},"id":"ocid1.volumebackup.oc1.iad.abuwcljtbenchbenchbenchbenchbenchbenchbenchbenchbenchbench","isIndefiniteRetentionEnabled":false,"isPreventDeletionEnabled":true,"isRetentionLockEnabled":false,"kmsKeyId":"ocid1.key.oc1.iad.benchbench.abuwcljtbenchbenchbenchbenchbenchbenchbenchbenchbenchbench","lifecycleState":"CREATING","retentionPeriod":{"retentionTimeAmount":30,"retentionTimeUnit":"DAYS"},"sizeInGBs":50,"sizeInMBs":51200,"sourceType":"MANUAL","sourceVolumeBackupId":null,"systemTags":{"orcl-cloud":{"free-tier-retained":"false"}},"timeCreated":"2026-01-05T21:31:40.123Z","timeRequestReceived":"2026-01-05T21:31:40.123Z","timeRetentionExpiresAt":"2026-02-04T21:31:40.123Z","type":"INCREMENTAL","uniqueSizeInGBs":1,"uniqueSizeInMbs":1024,"volumeGroupBackupId":null,"volumeId":"ocid1.volume.oc1.iad.abuwcljtqzfmkkzvyxgbenchbenchbenchbenchbenchbenchbenchbench"}"#;

fn create(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create");
    for (name, message) in [("minimal", minimal_message()), ("full", full_message())] {
        let bytes = message.encode_to_vec();
        group.bench_function(format!("{name}: protobuf → message"), |bench| {
            bench.iter(|| pb::CreateVolumeBackupRequest::decode(black_box(bytes.as_slice())));
        });
    }
    for (name, details) in [("minimal", CreateDetails::default()), ("full", full_details())] {
        let volume_id = Ocid::parse(VOLUME).expect("an OCID");
        let input = CreateVolumeBackup { volume_id, details, retry_token: RetryToken::generate() };
        group.bench_function(format!("{name}: input → JSON"), |bench| {
            bench.iter(|| black_box(&input).request());
        });
    }
    group.finish();
}

fn answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("answer");
    for (name, json) in [("minimal", MINIMAL_ANSWER), ("full", FULL_ANSWER)] {
        group.bench_function(format!("{name}: JSON → model"), |bench| {
            bench.iter(|| serde_json::from_slice::<VolumeBackup>(black_box(json.as_bytes())));
        });
    }
    let minimal = pb::VolumeBackup { id: BACKUP.to_owned(), ..pb::VolumeBackup::default() };
    for (name, backup) in [("minimal", minimal), ("full", full_backup())] {
        let message = pb::CreateVolumeBackupResponse { volume_backup: Some(backup) };
        group.bench_function(format!("{name}: message → protobuf"), |bench| {
            bench.iter(|| black_box(&message).encode_to_vec());
        });
    }
    group.finish();
}

fn minimal_message() -> pb::CreateVolumeBackupRequest {
    pb::CreateVolumeBackupRequest { volume_id: VOLUME.to_owned(), ..pb::CreateVolumeBackupRequest::default() }
}

fn full_message() -> pb::CreateVolumeBackupRequest {
    pb::CreateVolumeBackupRequest {
        volume_id: VOLUME.to_owned(),
        display_name: Some("nightly".to_owned()),
        r#type: pb::BackupType::Incremental.into(),
        kms_key_id: Some(KEY.to_owned()),
        freeform_tags: freeform_tags(),
        defined_tags: defined_tags(),
        retention_period: Some(retention()),
        is_prevent_deletion_enabled: Some(true),
        is_retention_lock_enabled: Some(false),
        is_indefinite_retention_enabled: Some(false),
        retry_token: Some("nightly-2026-01-05".to_owned()),
    }
}

fn full_details() -> CreateDetails {
    let operations = [("CostCenter", "42"), ("Owner", "storage")];
    let operations = operations.map(|(key, value)| (key.to_owned(), value.into()));
    CreateDetails {
        display_name: Some("nightly".to_owned()),
        backup_type: Some(CreateType::Incremental),
        kms_key_id: Some(Ocid::parse(KEY).expect("an OCID")),
        freeform_tags: freeform_tags(),
        defined_tags: BTreeMap::from([("Operations".to_owned(), BTreeMap::from(operations))]),
        retention_period: Some(RetentionDetails {
            retention_time_unit: Some(RetentionDetailsUnit::Days),
            retention_time_amount: Some(30),
        }),
        is_prevent_deletion_enabled: Some(true),
        is_retention_lock_enabled: Some(false),
        is_indefinite_retention_enabled: Some(false),
    }
}

#[expect(deprecated, reason = "OCI still sends the sizes in MBs")]
fn full_backup() -> pb::VolumeBackup {
    let time = Some(Timestamp { seconds: 1_767_648_700, nanos: 123_000_000 });
    pb::VolumeBackup {
        id: BACKUP.to_owned(),
        compartment_id: "ocid1.compartment.oc1..aaaaaaaabenchbenchbenchbenchbenchbenchbench".to_owned(),
        volume_id: Some(VOLUME.to_owned()),
        display_name: "nightly".to_owned(),
        r#type: pb::BackupType::Incremental.into(),
        lifecycle_state: pb::LifecycleState::Creating.into(),
        source_type: pb::SourceType::Manual.into(),
        time_created: time,
        time_request_received: time,
        expiration_time: time,
        size_in_gbs: Some(50),
        size_in_mbs: Some(51_200),
        unique_size_in_gbs: Some(1),
        unique_size_in_mbs: Some(1024),
        kms_key_id: Some(KEY.to_owned()),
        source_volume_backup_id: None,
        volume_group_backup_id: None,
        freeform_tags: freeform_tags(),
        defined_tags: defined_tags(),
        system_tags: BTreeMap::new(),
        retention_period: Some(retention()),
        time_retention_expires_at: time,
        is_prevent_deletion_enabled: Some(true),
        is_retention_lock_enabled: Some(false),
        is_indefinite_retention_enabled: Some(false),
        etag: Some("d1c3b8".to_owned()),
    }
}

fn freeform_tags() -> BTreeMap<String, String> {
    [("service", "orders"), ("stage", "production")]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn defined_tags() -> BTreeMap<String, Struct> {
    let fields = [("CostCenter", "42"), ("Owner", "storage")]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value { kind: Some(Kind::StringValue(value.to_owned())) }))
        .collect();
    BTreeMap::from([("Operations".to_owned(), Struct { fields })])
}

fn retention() -> pb::RetentionDuration {
    pb::RetentionDuration {
        retention_time_unit: pb::RetentionTimeUnit::Days.into(),
        retention_time_amount: Some(30),
    }
}

criterion_group!(benches, create, answer);
criterion_main!(benches);
