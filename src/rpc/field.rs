//! Request fields → valid values, or violations that name the fields. All of a message's violations come
//! back at once. What OCI alone can judge is left to OCI.

use crate::oci::backup::CreateDetails;
use crate::oci::backup::CreateType;
use crate::oci::backup::RetentionDetails;
use crate::oci::backup::RetentionDetailsUnit;
use crate::oci::read::DefinedTags;
use crate::oci::read::FreeformTags;
use crate::oci::retry_token::RetryToken;
use crate::ocid::Ocid;
use crate::pb;
use crate::rpc::metadata::ToldToken;
use prost_types::Struct;
use prost_types::Value;
use prost_types::value::Kind;
use serde_json::Number;
use std::collections::BTreeMap;
use std::fmt;

/// A field that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its path in the message.
    pub field: String,
    /// What is wrong and what would be right.
    pub problem: String,
}

/// Everything that is wrong with a message.
#[derive(Debug, Default)]
pub struct Violations {
    /// The first of them: more than these would not fit into an answer.
    pub kept: Vec<Violation>,
    /// How many there are.
    pub count: usize,
    /// The token that the call would have carried, if that was well-formed.
    pub retry_token: Option<RetryToken>,
}

/// Says that a violation was noted; nobody outside this file can make one.
#[derive(Debug)]
pub(super) struct Noted(());

/// Notes violations while fields are read.
#[derive(Debug, Default)]
pub(super) struct Check(Violations);

/// No more than this many violations are kept; a status of 4 KiB holds fewer.
const MOST_KEPT: usize = 64;

impl Check {
    /// The input, if every part of it could be read.
    pub(super) fn done<T>(self, input: Result<T, Noted>) -> Result<T, Violations> {
        input.map_err(|Noted(())| self.0)
    }

    fn note<T>(&mut self, field: impl Into<String>, problem: impl Into<String>) -> Result<T, Noted> {
        self.0.count += 1;
        if self.0.kept.len() < MOST_KEPT {
            self.0.kept.push(Violation { field: field.into(), problem: problem.into() });
        }
        Err(Noted(()))
    }

    /// An OCID of the right kind: a volume's where a volume is meant.
    pub(super) fn ocid(&mut self, field: &str, text: &str, resource_type: &str) -> Result<Ocid, Noted> {
        match Ocid::parse(text) {
            Err(error) => self.note(field, error.to_string()),
            Ok(ocid) if ocid.resource_type().eq_ignore_ascii_case(resource_type) => Ok(ocid),
            Ok(ocid) => self.note(
                field,
                format!(
                    "is the OCID of a resource of type `{:.32}`, one of type `{resource_type}` was expected",
                    ocid.resource_type()
                ),
            ),
        }
    }

    /// The token of a create: the field and the metadata mean the same, so both may be given if they agree.
    /// Without either, one is made.
    pub(super) fn retry_token(
        &mut self,
        field: Option<&str>,
        metadata: ToldToken<'_>,
    ) -> Result<RetryToken, Noted> {
        let text = match (field, metadata) {
            (None, ToldToken::None) => None,
            // A backup may have been made under a token of the gateway's. A new token would make another.
            (None, ToldToken::Lost) => {
                return self.note("retry_token", "is needed where a gRPC library repeats the call by itself");
            }
            (Some(text), ToldToken::None | ToldToken::Lost) | (None, ToldToken::Text(text)) => Some(text),
            (Some(one), ToldToken::Text(other)) if one == other => Some(one),
            (Some(_), ToldToken::Text(_)) => {
                return self
                    .note("retry_token", "differs from the metadata `opc-retry-token`; give one of them");
            }
            (_, ToldToken::Unusable) => {
                return self
                    .note("retry_token", "the metadata `opc-retry-token` is no ASCII text, or there twice");
            }
        };
        let token = match text.map(RetryToken::parse) {
            None => RetryToken::generate(),
            Some(Ok(token)) => token,
            Some(Err(invalid)) => return self.note("retry_token", invalid.to_string()),
        };
        self.0.retry_token = Some(token.clone());
        Ok(token)
    }
}

/// The fields that every create has, as they stand in its message.
pub(super) struct CreateFields {
    pub(super) display_name: Option<String>,
    pub(super) r#type: i32,
    pub(super) kms_key_id: Option<String>,
    pub(super) freeform_tags: FreeformTags,
    pub(super) defined_tags: BTreeMap<String, Struct>,
    pub(super) retention_period: Option<pb::RetentionDuration>,
    pub(super) is_prevent_deletion_enabled: Option<bool>,
    pub(super) is_retention_lock_enabled: Option<bool>,
    pub(super) is_indefinite_retention_enabled: Option<bool>,
}

impl CreateFields {
    pub(super) fn check(self, check: &mut Check) -> Result<CreateDetails, Noted> {
        let display_name = self.display_name.map(|name| display_name(check, name)).transpose();
        let backup_type = backup_type(check, self.r#type);
        let kms_key_id = self.kms_key_id.map(|id| check.ocid("kms_key_id", &id, "key")).transpose();
        let defined_tags = defined_tags(check, self.defined_tags);
        let retention_period = self.retention_period.map(|period| retention(check, period)).transpose();
        Ok(CreateDetails {
            display_name: display_name?,
            backup_type: backup_type?,
            kms_key_id: kms_key_id?,
            freeform_tags: self.freeform_tags,
            defined_tags: defined_tags?,
            retention_period: retention_period?,
            is_prevent_deletion_enabled: self.is_prevent_deletion_enabled,
            is_retention_lock_enabled: self.is_retention_lock_enabled,
            is_indefinite_retention_enabled: self.is_indefinite_retention_enabled,
        })
    }
}

/// OCI's limit, in characters.
const MAX_DISPLAY_NAME: usize = 255;

fn display_name(check: &mut Check, name: String) -> Result<String, Noted> {
    match name.chars().count() {
        0..=MAX_DISPLAY_NAME => Ok(name),
        length => check
            .note("display_name", format!("has {length} characters, at most {MAX_DISPLAY_NAME} are allowed")),
    }
}

fn backup_type(check: &mut Check, number: i32) -> Result<Option<CreateType>, Noted> {
    match pb::BackupType::try_from(number) {
        Ok(pb::BackupType::Unspecified) => Ok(None),
        Ok(pb::BackupType::Full) => Ok(Some(CreateType::Full)),
        Ok(pb::BackupType::Incremental) => Ok(Some(CreateType::Incremental)),
        Ok(pb::BackupType::UnknownValue) | Err(_) => check.note(
            "type",
            format!(
                "has no value {number} that can be sent; BACKUP_TYPE_FULL and BACKUP_TYPE_INCREMENTAL can"
            ),
        ),
    }
}

fn retention(check: &mut Check, period: pb::RetentionDuration) -> Result<RetentionDetails, Noted> {
    let number = period.retention_time_unit;
    let unit = match pb::RetentionTimeUnit::try_from(number) {
        Ok(pb::RetentionTimeUnit::Unspecified) => Ok(None),
        Ok(pb::RetentionTimeUnit::Days) => Ok(Some(RetentionDetailsUnit::Days)),
        Ok(pb::RetentionTimeUnit::Years) => Ok(Some(RetentionDetailsUnit::Years)),
        Ok(pb::RetentionTimeUnit::UnknownValue) | Err(_) => check.note(
            "retention_period.retention_time_unit",
            format!("has no value {number} that can be sent; RETENTION_TIME_UNIT_DAYS and RETENTION_TIME_UNIT_YEARS can"),
        ),
    };
    Ok(RetentionDetails { retention_time_unit: unit?, retention_time_amount: period.retention_time_amount })
}

fn defined_tags(check: &mut Check, tags: BTreeMap<String, Struct>) -> Result<DefinedTags, Noted> {
    let namespaces: Vec<_> = tags
        .into_iter()
        .map(|(namespace, tags)| {
            let tags = object(check, &Path::Key(&Path::Field("defined_tags"), &namespace), tags);
            tags.map(|tags| (namespace, tags))
        })
        .collect();
    namespaces.into_iter().collect()
}

fn object<M: FromIterator<(String, serde_json::Value)>>(
    check: &mut Check,
    path: &Path<'_>,
    object: Struct,
) -> Result<M, Noted> {
    let fields: Vec<_> = object
        .fields
        .into_iter()
        .map(|(key, value)| json(check, &Path::Key(path, &key), value).map(|value| (key, value)))
        .collect();
    fields.into_iter().collect()
}

fn json(check: &mut Check, path: &Path<'_>, value: Value) -> Result<serde_json::Value, Noted> {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Ok(serde_json::Value::Null),
        Some(Kind::BoolValue(value)) => Ok(value.into()),
        Some(Kind::StringValue(value)) => Ok(value.into()),
        Some(Kind::NumberValue(value)) => match number(value) {
            Some(number) => Ok(number.into()),
            None => check.note(path.to_string(), "is not a finite number, and JSON has no other"),
        },
        Some(Kind::StructValue(value)) => object(check, path, value).map(serde_json::Value::Object),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate();
            let items: Vec<_> =
                items.map(|(index, value)| json(check, &Path::Index(path, index), value)).collect();
            items.into_iter().collect()
        }
    }
}

/// Where a value stands in a message. It becomes a text only for a violation.
enum Path<'a> {
    Field(&'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => formatter.write_str(name),
            Self::Key(parent, key) => write!(formatter, "{parent}[{:?}]", shortened(key)),
            Self::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// A `Struct` knows only floating point; a whole number goes out as one (`42`, never `42.0`).
fn number(value: f64) -> Option<Number> {
    /// 2^63: below it a whole `f64` is an `i64`.
    const INTEGERS: f64 = 9_223_372_036_854_775_808.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the range: exact")]
    if value.fract() == 0.0 && value.abs() < INTEGERS {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}

/// A caller's key in a field path: long ones are cut, so that the answer stays small.
fn shortened(key: &str) -> &str {
    const LONGEST: usize = 40;
    key.char_indices().nth(LONGEST).map_or(key, |(end, _)| key.get(..end).unwrap_or(key))
}
