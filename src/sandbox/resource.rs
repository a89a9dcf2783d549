//! The resources as data: names, fields, what a body may say. A further resource is a further `static`.

use serde_json::{Map, Value};

use super::problem::Problem;

/// What a body said, by OCI's field names.
pub(super) type Said = Map<String, Value>;

/// One kind of backup, as OCI's reference describes it.
#[derive(Debug)]
pub(super) struct Resource {
    /// The path segment, and how the ledger names the resource.
    pub(super) collection: &'static str,
    /// The second part of its OCIDs.
    pub(super) id_type: &'static str,
    /// The field that names what is backed up, also a filter of the list.
    pub(super) source: &'static str,
    pub(super) creation: &'static [Field],
    pub(super) update: &'static [Field],
    /// Sizes are JSON numbers, and their names differ per resource down to the letter case.
    pub(super) sizes: &'static [(&'static str, u64)],
    /// Fields of the model that stay empty here.
    pub(super) empty: &'static [&'static str],
    /// The filter of the list that names the backup a copy was made from; one of `empty`.
    pub(super) copied_from: &'static str,
}

#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    shape: Shape,
    presence: Presence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    /// 1 to 255 characters.
    Text,
    /// An OCID of this type.
    Ocid(&'static str),
    Choice(&'static [&'static str]),
    Flag,
    FreeformTags,
    DefinedTags,
    Retention,
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, presence: Presence::Required }
}

const fn optional(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, presence: Presence::Optional }
}

const DISPLAY_NAME: Field = optional("displayName", Shape::Text);
const KMS_KEY: Field = optional("kmsKeyId", Shape::Ocid("key"));
const TYPE: Field = optional("type", Shape::Choice(&["FULL", "INCREMENTAL"]));
const FREEFORM_TAGS: Field = optional("freeformTags", Shape::FreeformTags);
const DEFINED_TAGS: Field = optional("definedTags", Shape::DefinedTags);
const RETENTION_PERIOD: Field = optional("retentionPeriod", Shape::Retention);
const PREVENT_DELETION: Field = optional("isPreventDeletionEnabled", Shape::Flag);
const RETENTION_LOCK: Field = optional("isRetentionLockEnabled", Shape::Flag);
const INDEFINITE_RETENTION: Field = optional("isIndefiniteRetentionEnabled", Shape::Flag);

const UPDATE: &[Field] = &[
    DISPLAY_NAME,
    KMS_KEY,
    FREEFORM_TAGS,
    DEFINED_TAGS,
    RETENTION_PERIOD,
    PREVENT_DELETION,
    RETENTION_LOCK,
    INDEFINITE_RETENTION,
];

/// `/volumeBackups`.
pub(super) static VOLUME_BACKUP: Resource = Resource {
    collection: "volumeBackups",
    id_type: "volumebackup",
    source: "volumeId",
    creation: &[
        required("volumeId", Shape::Ocid("volume")),
        TYPE,
        DISPLAY_NAME,
        KMS_KEY,
        FREEFORM_TAGS,
        DEFINED_TAGS,
        RETENTION_PERIOD,
        PREVENT_DELETION,
        RETENTION_LOCK,
        INDEFINITE_RETENTION,
    ],
    update: UPDATE,
    // OCI, VolumeBackup: `uniqueSizeInMbs`, unlike its three neighbours.
    sizes: &[("sizeInGBs", 50), ("sizeInMBs", 51_200), ("uniqueSizeInGBs", 1), ("uniqueSizeInMbs", 1_024)],
    empty: &[
        "expirationTime",
        "kmsKeyId",
        "sourceVolumeBackupId",
        "volumeGroupBackupId",
        "retentionPeriod",
        "timeRetentionExpiresAt",
    ],
    copied_from: "sourceVolumeBackupId",
};

/// `/bootVolumeBackups`.
pub(super) static BOOT_VOLUME_BACKUP: Resource = Resource {
    collection: "bootVolumeBackups",
    id_type: "bootvolumebackup",
    source: "bootVolumeId",
    creation: &[
        required("bootVolumeId", Shape::Ocid("bootvolume")),
        TYPE,
        DISPLAY_NAME,
        KMS_KEY,
        FREEFORM_TAGS,
        DEFINED_TAGS,
        RETENTION_PERIOD,
        PREVENT_DELETION,
        RETENTION_LOCK,
        INDEFINITE_RETENTION,
    ],
    update: UPDATE,
    // OCI, BootVolumeBackup has no MB fields at all.
    sizes: &[("sizeInGBs", 50), ("uniqueSizeInGBs", 1)],
    empty: &[
        "expirationTime",
        "imageId",
        "kmsKeyId",
        "sourceBootVolumeBackupId",
        "volumeGroupBackupId",
        "retentionPeriod",
        "timeRetentionExpiresAt",
    ],
    copied_from: "sourceBootVolumeBackupId",
};

static ALL: [&Resource; 2] = [&VOLUME_BACKUP, &BOOT_VOLUME_BACKUP];

impl Resource {
    pub(super) fn of_collection(collection: &str) -> Option<&'static Resource> {
        ALL.into_iter().find(|resource| resource.collection == collection)
    }
}

/// Reads a body against the fields it may have. `null` is absent.
pub(super) fn read_body(body: &[u8], fields: &[Field]) -> Result<Said, Problem> {
    let value =
        serde_json::from_slice(body).map_err(|error| Problem::cannot_parse(format!("The body: {error}.")))?;
    let Value::Object(mut said) = value else {
        return Err(Problem::cannot_parse("The body is not a JSON object."));
    };
    said.retain(|_, value| !value.is_null());
    for (name, value) in &said {
        let field = fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Problem::invalid_parameter(format!("{name} is not known here.")))?;
        field
            .shape
            .check(value)
            .map_err(|wanted| Problem::invalid_parameter(format!("{name} must be {wanted}.")))?;
    }
    match fields.iter().find(|field| field.presence == Presence::Required && !said.contains_key(field.name)) {
        Some(missing) => Err(Problem::missing_parameter(format!("{} is required.", missing.name))),
        None => Ok(said),
    }
}

impl Shape {
    /// What was wanted instead, when `value` does not fit.
    fn check(self, value: &Value) -> Result<(), String> {
        let text = value.as_str();
        let (fits, wanted) = match self {
            // The limit is that of the same API in Oracle's appliance; OCI's own reference has none.
            Shape::Text => (
                text.is_some_and(|text| (1..=255).contains(&text.chars().count())),
                "1 to 255 characters".to_owned(),
            ),
            Shape::Ocid(of) => (text.is_some_and(|text| is_ocid(text, of)), format!("an OCID of type {of}")),
            Shape::Choice(names) => {
                (text.is_some_and(|text| names.contains(&text)), format!("one of {}", names.join(", ")))
            }
            Shape::Flag => (value.is_boolean(), "a boolean".to_owned()),
            Shape::FreeformTags => {
                let fits = value.as_object().is_some_and(|tags| tags.values().all(Value::is_string));
                (fits, "an object of strings".to_owned())
            }
            Shape::DefinedTags => (is_defined_tags(value), "an object of objects of scalars".to_owned()),
            Shape::Retention => {
                (is_retention(value), "an object with retentionTimeUnit and retentionTimeAmount".to_owned())
            }
        };
        if fits { Ok(()) } else { Err(wanted) }
    }
}

/// `ocid1.<type>.<realm>.[region].<unique>` (OCI, Resource Identifiers).
pub(super) fn is_ocid(text: &str, of: &str) -> bool {
    let mut parts = text.split('.');
    let opening = parts.next() == Some("ocid1") && parts.next() == Some(of);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    opening
        && parts.count() >= 3
        && !unique_part(text).is_empty()
        && text.len() <= 255
        && text.bytes().all(allowed)
}

/// The last part of an OCID.
pub(super) fn unique_part(ocid: &str) -> &str {
    ocid.rsplit('.').next().unwrap_or_default()
}

fn is_defined_tags(value: &Value) -> bool {
    let scalar = |value: &Value| !value.is_object() && !value.is_array();
    let namespace = |value: &Value| value.as_object().is_some_and(|tags| tags.values().all(scalar));
    value.as_object().is_some_and(|namespaces| namespaces.values().all(namespace))
}

fn is_retention(value: &Value) -> bool {
    let Some(object) = value.as_object() else { return false };
    let unit = object.get("retentionTimeUnit").and_then(Value::as_str);
    let amount = object.get("retentionTimeAmount").and_then(Value::as_u64);
    object.len() == 2 && matches!(unit, Some("DAYS" | "YEARS")) && amount.is_some_and(|amount| amount > 0)
}
