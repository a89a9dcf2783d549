//! Both creates: with a deadline, with retries, and with what comes back beside the backup.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Request, Response, Status, TimeoutExpired};

use crate::pb::backup_service_client::BackupServiceClient;
use crate::pb::{
    CreateBootVolumeBackupRequest, CreateBootVolumeBackupResponse, CreateVolumeBackupRequest,
    CreateVolumeBackupResponse,
};
use crate::service_config::{MethodConfig, Retries, ServiceConfig};

const SERVICE: &str = "ocibackup.v1.BackupService";

const PREVIOUS_ATTEMPTS: &str = "grpc-previous-rpc-attempts";

/// While no gateway can be reached, it is tried again after this long, then twice as long, and so on.
const FIRST_RECONNECT: Duration = Duration::from_millis(10);
const LAST_RECONNECT: Duration = Duration::from_secs(1);

/// Cheap to clone. A call that failed is a [`Status`], which [`explain`](crate::explain::explain) puts into words.
///
/// A create without a retry token is INVALID_ARGUMENT before anything is sent, since a second attempt could be a second
/// backup. Give each wanted backup a retry token of its own, store it before the first call, and use it again for every
/// repetition: then there is never a second backup. The opc-request-id, which Oracle's support asks for, is in
/// the metadata of the response, or of the status.
#[derive(Clone)]
pub struct BackupClient {
    stub: BackupServiceClient<Channel>,
    config: Arc<ServiceConfig>,
    token_needed: bool,
}

/// How a call is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The deadline; the service config's is the longest.
    pub timeout: Duration,
    /// Such as `opc-request-id`.
    pub metadata: MetadataMap,
}

impl Default for Options {
    fn default() -> Options {
        Options { timeout: Duration::from_secs(30), metadata: MetadataMap::new() }
    }
}

impl BackupClient {
    pub fn new(channel: Channel, config: ServiceConfig) -> BackupClient {
        BackupClient { stub: BackupServiceClient::new(channel), config: Arc::new(config), token_needed: true }
    }

    /// Sends a create without a retry token too. It is for tests of what the gateway does then; leave it out of
    /// what you copy.
    pub fn without_retry_tokens(self) -> BackupClient {
        BackupClient { token_needed: false, ..self }
    }

    pub async fn create_volume_backup(
        &self,
        request: CreateVolumeBackupRequest,
        options: Options,
    ) -> Result<Response<CreateVolumeBackupResponse>, Status> {
        let token = !request.retry_token().is_empty();
        let method = self.config.method(SERVICE, "CreateVolumeBackup");
        let send = |mut stub: BackupServiceClient<Channel>, request| async move {
            stub.create_volume_backup(request).await
        };
        self.call(method, request, token, options, send).await
    }

    pub async fn create_boot_volume_backup(
        &self,
        request: CreateBootVolumeBackupRequest,
        options: Options,
    ) -> Result<Response<CreateBootVolumeBackupResponse>, Status> {
        let token = !request.retry_token().is_empty();
        let method = self.config.method(SERVICE, "CreateBootVolumeBackup");
        let send = |mut stub: BackupServiceClient<Channel>, request| async move {
            stub.create_boot_volume_backup(request).await
        };
        self.call(method, request, token, options, send).await
    }

    /// One call: as many attempts as the service config and the gateway allow, all within the deadline.
    async fn call<M, A, F>(
        &self,
        method: &MethodConfig,
        message: M,
        token: bool,
        options: Options,
        send: impl Fn(BackupServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<Response<A>, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        if self.token_needed && !token && !options.metadata.contains_key("opc-retry-token") {
            return Err(Status::invalid_argument("a create needs a retry token: nothing was sent"));
        }
        let deadline =
            Instant::now() + method.timeout.map_or(options.timeout, |most| most.min(options.timeout));
        let mut retries = Retries::default();
        let mut sent_before = 0_u32;
        let mut reconnect = FIRST_RECONNECT;
        let mut last = None;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(late(last));
            }
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = options.metadata.clone();
            // For the gateway. Ours is the clock here: tonic's counts from when a connection is there.
            request.set_timeout(left);
            if sent_before > 0 {
                // As gRPC's other libraries do: what an earlier attempt came to is not for this one's answer to say.
                request.metadata_mut().insert(PREVIOUS_ATTEMPTS, sent_before.into());
            }
            let failure = match timeout_at(deadline, send(self.stub.clone(), request)).await {
                Ok(Ok(response)) => {
                    self.config.succeeded();
                    return Ok(response);
                }
                Ok(Err(status)) => Failure::of(status),
                Err(_) => Failure::Late,
            };
            match failure {
                Failure::Late => return Err(late(last)),
                Failure::NotSent(status) => {
                    if !method.wait_for_ready {
                        return Err(status);
                    }
                    // No attempt was made, so none is counted.
                    sleep(reconnect.min(left)).await;
                    reconnect = (reconnect * 2).min(LAST_RECONNECT);
                    last = Some(status);
                }
                Failure::Answered(status) | Failure::Broken(status) => {
                    let policy = method.retry_policy.as_ref();
                    let pause = policy.and_then(|policy| self.config.pause(policy, &mut retries, &status));
                    match pause {
                        Some(pause) if Instant::now() + pause < deadline => sleep(pause).await,
                        // A failure that is known helps more than a deadline that passed.
                        _ => return Err(status),
                    }
                    sent_before += 1;
                    last = Some(status);
                }
            }
        }
    }
}

/// What came instead of a response.
enum Failure {
    /// The gateway said so.
    Answered(Status),
    /// The connection broke: nobody knows whether the gateway has the call.
    Broken(Status),
    /// There was no connection.
    NotSent(Status),
    /// The deadline passed.
    Late,
}

impl Failure {
    /// What broke has a source here, and often the code UNKNOWN or CANCELLED and the message `transport error`;
    /// gRPC's other libraries say UNAVAILABLE, which service configs count on, and what broke.
    fn of(status: Status) -> Failure {
        let Some(source) = status.source() else { return Failure::Answered(status) };
        let causes = || std::iter::successors(Some(source), |&error| error.source());
        if causes().any(|error| error.is::<TimeoutExpired>()) {
            return Failure::Late;
        }
        let mut told: Vec<String> = causes().map(|error| error.to_string()).collect();
        told.dedup();
        let unavailable = Status::unavailable(told.join(": "));
        // CANCELLED is what tonic makes of a request that found its connection closed.
        if causes().any(|error| error.is::<ConnectError>()) || status.code() == Code::Cancelled {
            return Failure::NotSent(unavailable);
        }
        Failure::Broken(unavailable)
    }
}

fn late(last: Option<Status>) -> Status {
    let before = last.map(|status| format!("; before: {}", status.message())).unwrap_or_default();
    Status::deadline_exceeded(format!("the deadline passed{before}"))
}
