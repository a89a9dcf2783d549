//! How one create ended, and what OCI has to show for it.

use crate::rig::Created;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::server;
use std::fmt;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic::Status;
use tonic_types::StatusExt;

/// A gateway whose callers have so much time. Their libraries know of no deadline, and never answer in its place.
pub(crate) fn within(deadline: Duration) -> server::Config {
    let deadlines = server::deadline::Config { default: deadline, max: deadline, message: deadline };
    server::Config { deadlines, ..Setup::default().server }
}

/// Bounds over sockets are exceeded by no more than this.
pub(crate) const LEEWAY: Duration = Duration::from_millis(500);

/// How one create with a token ended.
pub(crate) struct Ending {
    pub(crate) token: String,
    pub(crate) ended: Created,
    pub(crate) took: Duration,
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.ended.as_ref().map(|_answer| "OK");
        write!(f, "{ended:?} after {:?}", self.took)
    }
}

impl Rig {
    /// A create with a token and a volume of its own.
    pub(crate) async fn create(&self) -> Ending {
        self.carry_out(create()).await
    }

    /// This create.
    pub(crate) async fn carry_out(&self, message: CreateVolumeBackupRequest) -> Ending {
        let token = message.retry_token.clone().unwrap_or_default();
        let began = Instant::now();
        let ended = self.caller.clone().create_volume_backup(message).await;
        Ending { token, ended, took: began.elapsed() }
    }

    /// How many requests with this token OCI has read.
    pub(crate) fn attempts(&self, token: &str) -> usize {
        let attempts = self.creates().into_iter();
        attempts.filter(|attempt| attempt.retry_token.as_deref() == Some(token)).count()
    }

    /// What OCI has made under this token.
    pub(crate) fn made(&self, token: &str) -> Vec<String> {
        let commits = self.sandbox.ledger().commits.into_iter();
        commits.filter(|commit| commit.token.as_deref() == Some(token)).map(|commit| commit.id).collect()
    }

    /// The call was answered with the one backup that OCI has made for it, within the bound and some leeway for a
    /// machine that has other things to do.
    #[track_caller]
    pub(crate) fn assert_once(&self, name: &str, ending: &Ending, bound: Duration) {
        let answer = ending.ended.as_ref().unwrap_or_else(|status| panic!("{name}: {status:?}"));
        let id = &answer.get_ref().volume_backup.as_ref().unwrap().id;
        assert_eq!(self.made(&ending.token), [id.as_str()], "{name}: one backup, and the one that was told");
        assert!(ending.took < bound + LEEWAY, "{name}: {:?}", ending.took);
    }

    /// The call failed like this, and OCI has made nothing for it.
    #[track_caller]
    pub(crate) fn assert_none(&self, name: &str, ending: &Ending, code: Code, reason: &str) {
        assert_eq!(
            (ending.status().code(), ending.info("reason").as_str()),
            (code, reason),
            "{name}: {ending:?}"
        );
        assert!(self.made(&ending.token).is_empty(), "{name}");
    }
}

impl Ending {
    /// The status of a call that failed.
    #[track_caller]
    pub(crate) fn status(&self) -> &Status {
        self.ended.as_ref().expect_err("the call should have failed")
    }

    /// What `ErrorInfo` says: its `reason`, or a key of its metadata.
    #[track_caller]
    pub(crate) fn info(&self, key: &str) -> String {
        let info = self.status().get_error_details().error_info().unwrap().clone();
        match key {
            "reason" => info.reason,
            key => info.metadata.get(key).cloned().unwrap_or_default(),
        }
    }

    /// What the caller's gRPC library is told: milliseconds, or -1 for never.
    #[track_caller]
    pub(crate) fn pushback(&self) -> i64 {
        pushback(self.status())
    }

    /// What the application is told.
    #[track_caller]
    pub(crate) fn retry_delay(&self) -> Option<Duration> {
        self.status().get_error_details().retry_info().and_then(|info| info.retry_delay)
    }
}

/// What a caller's gRPC library reads.
pub(crate) fn pushback(status: &Status) -> i64 {
    status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap()
}
