//! Boot volume backups: their requests and their model.

use super::backup;
use super::backup::Backup;
use super::backup::CreateDetails;
use super::operation::Operation;
use super::operation::Unusable;
use super::request::Request;
use super::retry_token::RetryToken;
use crate::ocid::Ocid;
use serde::Deserialize;
use serde::Serialize;

/// `POST /bootVolumeBackups`: a create that cannot be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateBootVolumeBackup {
    /// The boot volume to back up.
    pub boot_volume_id: Ocid,
    /// What else the caller said.
    pub details: CreateDetails,
    /// What makes a repetition the same create.
    pub retry_token: RetryToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(serialize_with = "backup::ocid")]
    boot_volume_id: &'a Ocid,
    #[serde(flatten)]
    details: &'a CreateDetails,
}

impl Operation for CreateBootVolumeBackup {
    const NAME: &'static str = "CreateBootVolumeBackup";
    type Output = BootVolumeBackup;

    fn request(&self) -> Result<Request, serde_json::Error> {
        let body = Body { boot_volume_id: &self.boot_volume_id, details: &self.details };
        Request::create("/bootVolumeBackups", &body, &self.retry_token)
    }

    fn subject(&self) -> &Ocid {
        &self.boot_volume_id
    }

    fn made(output: &BootVolumeBackup) -> Option<&str> {
        Some(&output.backup.id)
    }

    fn check(&self, made: &BootVolumeBackup) -> Result<(), Unusable> {
        Unusable::unless_about(&self.boot_volume_id, made.boot_volume_id.as_deref())
    }
}

/// `GET /bootVolumeBackups/{id}`.
#[derive(Debug, Clone, PartialEq)]
pub struct GetBootVolumeBackup {
    /// The backup to read.
    pub id: Ocid,
}

impl Operation for GetBootVolumeBackup {
    const NAME: &'static str = "GetBootVolumeBackup";
    type Output = BootVolumeBackup;

    fn request(&self) -> Result<Request, serde_json::Error> {
        Ok(Request::read(format!("/bootVolumeBackups/{}", self.id.as_str())))
    }

    fn subject(&self) -> &Ocid {
        &self.id
    }
}

/// OCI's `BootVolumeBackup`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names")]
pub struct BootVolumeBackup {
    #[serde(flatten)]
    pub backup: Backup,
    pub boot_volume_id: Option<String>,
    pub source_boot_volume_backup_id: Option<String>,
    pub image_id: Option<String>,
}
