//! Parts of resources → protobuf.

use crate::oci::backup::BackupType;
use crate::oci::backup::LifecycleState;
use crate::oci::backup::Retention;
use crate::oci::backup::RetentionUnit;
use crate::oci::backup::SourceType;
use crate::oci::read::DefinedTags;
use crate::oci::read::Time;
use crate::pb;
use prost_types::ListValue;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use std::collections::BTreeMap;

pub(super) fn timestamp(time: Time) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.seconds, nanos: time.nanos }
}

pub(super) fn backup_type(value: Option<BackupType>) -> pb::BackupType {
    match value {
        None => pb::BackupType::Unspecified,
        Some(BackupType::Full) => pb::BackupType::Full,
        Some(BackupType::Incremental) => pb::BackupType::Incremental,
        Some(BackupType::Unknown) => pb::BackupType::UnknownValue,
    }
}

pub(super) fn source_type(value: Option<SourceType>) -> pb::SourceType {
    match value {
        None => pb::SourceType::Unspecified,
        Some(SourceType::Manual) => pb::SourceType::Manual,
        Some(SourceType::Scheduled) => pb::SourceType::Scheduled,
        Some(SourceType::Unknown) => pb::SourceType::UnknownValue,
    }
}

pub(super) fn lifecycle_state(value: Option<LifecycleState>) -> pb::LifecycleState {
    match value {
        None => pb::LifecycleState::Unspecified,
        Some(LifecycleState::RequestReceived) => pb::LifecycleState::RequestReceived,
        Some(LifecycleState::Creating) => pb::LifecycleState::Creating,
        Some(LifecycleState::Committed) => pb::LifecycleState::Committed,
        Some(LifecycleState::Available) => pb::LifecycleState::Available,
        Some(LifecycleState::Terminating) => pb::LifecycleState::Terminating,
        Some(LifecycleState::Terminated) => pb::LifecycleState::Terminated,
        Some(LifecycleState::Faulty) => pb::LifecycleState::Faulty,
        Some(LifecycleState::Unknown) => pb::LifecycleState::UnknownValue,
    }
}

pub(super) fn retention(value: Retention) -> pb::RetentionDuration {
    let unit = match value.retention_time_unit {
        None => pb::RetentionTimeUnit::Unspecified,
        Some(RetentionUnit::Days) => pb::RetentionTimeUnit::Days,
        Some(RetentionUnit::Years) => pb::RetentionTimeUnit::Years,
        Some(RetentionUnit::Unknown) => pb::RetentionTimeUnit::UnknownValue,
    };
    pb::RetentionDuration {
        retention_time_unit: unit.into(),
        retention_time_amount: value.retention_time_amount,
    }
}

/// Decoders of protobuf give up at a nesting of 100 messages, and a level of JSON takes three. OCI's tags are
/// scalars; what is nested deeper than this reaches the caller as JSON text instead of breaking the answer.
const DEEPEST: usize = 16;

pub(super) fn tags(tags: DefinedTags) -> BTreeMap<String, Struct> {
    tags.into_iter().map(|(namespace, tags)| (namespace, structure(tags, DEEPEST))).collect()
}

fn structure(fields: impl IntoIterator<Item = (String, serde_json::Value)>, depth: usize) -> Struct {
    Struct { fields: fields.into_iter().map(|(key, json)| (key, value(json, depth))).collect() }
}

fn value(json: serde_json::Value, depth: usize) -> Value {
    let kind = match json {
        nested @ (serde_json::Value::Array(_) | serde_json::Value::Object(_)) if depth == 0 => {
            Kind::StringValue(nested.to_string())
        }
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(text) => Kind::StringValue(text),
        serde_json::Value::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(|item| value(item, depth - 1)).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(structure(fields, depth - 1)),
    };
    Value { kind: Some(kind) }
}
