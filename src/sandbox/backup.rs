//! One backup: what was said about it, when, and what it looks like at a given time.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};

use super::resource::{Resource, Said};

/// Only what cannot be worked out is kept: there may be a hundred thousand of these.
pub(super) struct Backup {
    pub(super) resource: &'static Resource,
    pub(super) id: Arc<str>,
    /// The order of creation, and what a page token points at.
    pub(super) serial: u64,
    pub(super) said: Said,
    pub(super) received: SystemTime,
    pub(super) deleted: Option<SystemTime>,
    /// Counts changes, for the etag.
    pub(super) version: u32,
}

/// The states this sandbox lets a backup reach by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifecycle {
    RequestReceived,
    Creating,
    Available,
    Terminating,
    Terminated,
}

impl Lifecycle {
    pub(super) fn name(self) -> &'static str {
        match self {
            Lifecycle::RequestReceived => "REQUEST_RECEIVED",
            Lifecycle::Creating => "CREATING",
            Lifecycle::Available => "AVAILABLE",
            Lifecycle::Terminating => "TERMINATING",
            Lifecycle::Terminated => "TERMINATED",
        }
    }
}

impl Backup {
    pub(super) fn lifecycle(&self, now: SystemTime, stage: Duration) -> Lifecycle {
        // A clock that was set back makes a backup young again, never a panic.
        let since = |then: SystemTime| now.duration_since(then).unwrap_or_default();
        match self.deleted {
            Some(deleted) if since(deleted) < stage => Lifecycle::Terminating,
            Some(_) => Lifecycle::Terminated,
            None if since(self.received) < stage => Lifecycle::RequestReceived,
            None if since(self.received) < stage.saturating_mul(2) => Lifecycle::Creating,
            None => Lifecycle::Available,
        }
    }

    pub(super) fn etag(&self) -> String {
        format!("{:08x}--{:x}", self.serial, self.version)
    }

    pub(super) fn display_name(&self) -> String {
        match self.said.get("displayName").and_then(Value::as_str) {
            Some(name) => name.to_owned(),
            None => {
                let digits: String =
                    rfc3339(self.received).chars().filter(char::is_ascii_digit).take(14).collect();
                format!("{}{digits}", self.resource.id_type)
            }
        }
    }

    /// What the backup was made of.
    pub(super) fn source(&self) -> &str {
        self.said.get(self.resource.source).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn json(&self, compartment: &str, now: SystemTime, stage: Duration) -> Value {
        let mut fields: Map<String, Value> =
            self.resource.empty.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
        for name in ["definedTags", "freeformTags", "systemTags"] {
            fields.insert(name.to_owned(), json!({}));
        }
        for (name, size) in self.resource.sizes {
            fields.insert((*name).to_owned(), json!(size));
        }
        for name in ["isIndefiniteRetentionEnabled", "isPreventDeletionEnabled", "isRetentionLockEnabled"] {
            fields.insert(name.to_owned(), json!(false));
        }
        fields.insert("type".to_owned(), json!("INCREMENTAL"));
        fields.extend(self.said.clone());

        let made = [
            ("compartmentId", compartment.to_owned()),
            ("displayName", self.display_name()),
            ("id", self.id.to_string()),
            ("lifecycleState", self.lifecycle(now, stage).name().to_owned()),
            ("sourceType", "MANUAL".to_owned()),
            ("timeCreated", rfc3339(self.received)),
            ("timeRequestReceived", rfc3339(self.received)),
        ];
        fields.extend(made.map(|(name, text)| (name.to_owned(), Value::String(text))));
        Value::Object(fields)
    }
}

/// A time as OCI writes it; what RFC 3339 cannot say is the beginning of time.
pub(super) fn rfc3339(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}
