//! The gRPC face: protobuf messages to valid inputs, models to protobuf, errors to statuses.
//!
//! It never opens a connection, signs anything or knows how OCI is reached: it calls `oci::Client`.

mod create_boot_volume_backup;
mod create_volume_backup;
mod field;
pub mod metadata;
mod resource;
pub mod status;
#[cfg(test)]
mod tests;

use crate::oci;
use crate::oci::Answer;
use crate::oci::boot_volume_backup::CreateBootVolumeBackup;
use crate::oci::volume_backup::CreateVolumeBackup;
use crate::pb;
use crate::pb::backup_service_server::BackupService;
use field::Violations;
use metadata::ToldToken;
use status::Refusal;
use status::Refused;
use tonic::Request;
use tonic::Response;

/// The service, in front of OCI.
#[derive(Clone)]
pub struct Gateway {
    client: oci::Client,
}

impl Gateway {
    /// A service that calls OCI through `client`.
    #[must_use]
    pub fn new(client: oci::Client) -> Self {
        Self { client }
    }

    /// Every unary RPC: parse → execute → respond.
    async fn unary<R: Rpc>(&self, request: Request<R::Request>) -> Result<Response<R::Response>, Refused> {
        let (metadata, extensions, message) = request.into_parts();
        let call = extensions.get::<oci::Call>().cloned().unwrap_or_default();
        let input = R::parse(message, ToldToken::of(&metadata))
            .map_err(|wrong| Refusal::Invalid(wrong).status(R::NAME, &call.request_id, None))?;
        let answer = input.execute(&self.client, call).await.map_err(|error| status::of(&error))?;
        let mut response = Response::new(());
        metadata::of_answer(response.metadata_mut(), &answer);
        Ok(response.map(|()| R::respond(answer)))
    }
}

#[tonic::async_trait]
#[expect(clippy::disallowed_types, reason = "the generated trait names it")]
impl BackupService for Gateway {
    async fn create_boot_volume_backup(
        &self,
        request: Request<pb::CreateBootVolumeBackupRequest>,
    ) -> Result<Response<pb::CreateBootVolumeBackupResponse>, tonic::Status> {
        self.unary::<CreateBootVolumeBackup>(request).await
    }

    async fn create_volume_backup(
        &self,
        request: Request<pb::CreateVolumeBackupRequest>,
    ) -> Result<Response<pb::CreateVolumeBackupResponse>, tonic::Status> {
        self.unary::<CreateVolumeBackup>(request).await
    }
}

/// One RPC; one file each.
trait Rpc: Sized {
    const NAME: &'static str;
    type Request;
    type Model;
    type Response;

    /// The message as an input that cannot be wrong, or all that is wrong with it.
    fn parse(message: Self::Request, told: ToldToken<'_>) -> Result<Self, Violations>;

    /// Calls OCI.
    fn execute(
        self,
        client: &oci::Client,
        call: oci::Call,
    ) -> impl Future<Output = Result<Answer<Self::Model>, oci::Error>> + Send;

    /// OCI's answer as the caller gets it.
    fn respond(answer: Answer<Self::Model>) -> Self::Response;
}
