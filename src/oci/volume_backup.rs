//! Volume backups: their requests and their model.

use super::backup;
use super::backup::Backup;
use super::backup::CreateDetails;
use super::operation::Operation;
use super::operation::Unusable;
use super::read::whole_number;
use super::request::Request;
use super::retry_token::RetryToken;
use crate::ocid::Ocid;
use serde::Deserialize;
use serde::Serialize;

/// `POST /volumeBackups`: a create that cannot be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateVolumeBackup {
    /// The volume to back up.
    pub volume_id: Ocid,
    /// What else the caller said.
    pub details: CreateDetails,
    /// What makes a repetition the same create.
    pub retry_token: RetryToken,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(serialize_with = "backup::ocid")]
    volume_id: &'a Ocid,
    #[serde(flatten)]
    details: &'a CreateDetails,
}

impl Operation for CreateVolumeBackup {
    const NAME: &'static str = "CreateVolumeBackup";
    type Output = VolumeBackup;

    fn request(&self) -> Result<Request, serde_json::Error> {
        let body = Body { volume_id: &self.volume_id, details: &self.details };
        Request::create("/volumeBackups", &body, &self.retry_token)
    }

    fn subject(&self) -> &Ocid {
        &self.volume_id
    }

    fn made(output: &VolumeBackup) -> Option<&str> {
        Some(&output.backup.id)
    }

    fn check(&self, made: &VolumeBackup) -> Result<(), Unusable> {
        Unusable::unless_about(&self.volume_id, made.volume_id.as_deref())
    }
}

/// `GET /volumeBackups/{id}`.
#[derive(Debug, Clone, PartialEq)]
pub struct GetVolumeBackup {
    /// The backup to read.
    pub id: Ocid,
}

impl Operation for GetVolumeBackup {
    const NAME: &'static str = "GetVolumeBackup";
    type Output = VolumeBackup;

    fn request(&self) -> Result<Request, serde_json::Error> {
        Ok(Request::read(format!("/volumeBackups/{}", self.id.as_str())))
    }

    fn subject(&self) -> &Ocid {
        &self.id
    }
}

/// OCI's `VolumeBackup`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "OCI's own names")]
pub struct VolumeBackup {
    #[serde(flatten)]
    pub backup: Backup,
    pub volume_id: Option<String>,
    pub source_volume_backup_id: Option<String>,
    #[serde(rename = "sizeInMBs", default, deserialize_with = "whole_number")]
    pub size_in_mbs: Option<i64>,
    // OCI's own uneven casing.
    #[serde(rename = "uniqueSizeInMbs", default, deserialize_with = "whole_number")]
    pub unique_size_in_mbs: Option<i64>,
}
