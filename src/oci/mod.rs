//! The REST face: what OCI's Block Volume API takes and answers, one short method per operation.
//!
//! It never speaks gRPC: no protobuf type, no status and no metadata enters here.

pub mod backup;
pub mod boot_volume_backup;
mod call;
pub mod deadline;
pub mod endpoint;
pub mod error;
mod exchange;
mod flights;
mod mutations;
pub mod operation;
mod place;
pub mod probe;
pub mod read;
pub mod request;
pub mod request_id;
pub mod retry_token;
mod seat;
mod signers;
mod standing;
pub mod volume_backup;

pub use call::Answer;
pub use error::Error;
pub use flights::Sharing;
pub use mutations::Mutations;
pub use place::Place;
pub use seat::Seat;
pub use standing::Standing;

use crate::clock::Clock;
use crate::credentials::Condition;
use crate::credentials::ProvideCredentials;
use crate::region::Regions;
use crate::telemetry::Recorder;
use crate::telemetry::Trace;
use crate::transport::HttpService;
use crate::transport::breaker;
use crate::transport::retry;
use crate::transport::retry::Retry;
use boot_volume_backup::BootVolumeBackup;
use boot_volume_backup::CreateBootVolumeBackup;
use boot_volume_backup::GetBootVolumeBackup;
use deadline::Deadline;
use flights::Flights;
use http::HeaderValue;
use jiff::SignedDuration;
use probe::Knock;
use probe::Probe;
use request_id::RequestId;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::sync::watch;
use volume_backup::CreateVolumeBackup;
use volume_backup::GetVolumeBackup;
use volume_backup::VolumeBackup;

/// How OCI is called.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the API is.
    pub place: Place,
    /// What bounds one attempt.
    pub attempt_timeout: Duration,
    /// How regions are called.
    pub regions: Regions,
    /// How often, and how soon, failed attempts are repeated.
    pub retry: retry::Config,
    /// Whether calls that come together with one token share an exchange.
    pub sharing: Sharing,
    /// What takes note of attempts.
    pub recorder: Recorder,
}

impl Config {
    /// As in production: retries as they should be, and calls with one token share. Nobody takes note.
    #[must_use]
    pub fn new(place: Place, attempt_timeout: Duration, regions: Regions) -> Self {
        let (retry, sharing, recorder) = (retry::Config::default(), Sharing::On, Recorder::nowhere());
        Self { place, attempt_timeout, regions, retry, sharing, recorder }
    }
}

/// What one call brings along besides its input.
#[derive(Debug, Clone)]
pub struct Call {
    /// When the caller stops waiting.
    pub deadline: Deadline,
    /// The call's name in everybody's logs.
    pub request_id: RequestId,
    /// Its trace.
    pub trace: Trace,
    /// Held until the call's last attempt has ended.
    pub seat: Option<Arc<Seat>>,
}

impl Default for Call {
    /// A call that came with nothing.
    fn default() -> Self {
        let deadline = Deadline::after(Duration::from_secs(30));
        Self { deadline, request_id: RequestId::generate(), trace: Trace::default(), seat: None }
    }
}

/// The API, ready to be called. Clones share everything.
#[derive(Clone)]
pub struct Client {
    caller: Arc<call::Caller>,
    standing: Arc<standing::Record>,
    retry: Arc<Retry>,
    flights: Option<Arc<Flights>>,
    mutations: Mutations,
}

impl Client {
    /// Joins what a client needs. Whoever drains waits for `mutations`.
    #[must_use]
    pub fn new(
        config: Config,
        http: Arc<dyn HttpService>,
        credentials: Arc<dyn ProvideCredentials>,
        clock: Clock,
        mutations: Mutations,
    ) -> Self {
        let caller = call::Caller {
            http,
            credentials,
            clock,
            place: config.place,
            attempt_timeout: config.attempt_timeout,
            client_info: HeaderValue::from_static(USER_AGENT),
            regions: config.regions,
            signers: signers::Signers::start(processors()),
            recorder: config.recorder.clone(),
            server: OnceLock::new(),
        };
        Self {
            caller: Arc::new(caller),
            standing: Arc::new(standing::Record::new()),
            retry: Arc::new(Retry::new(config.retry, config.recorder)),
            flights: (config.sharing == Sharing::On).then(Arc::default),
            mutations,
        }
    }

    /// How the source of the credential is doing.
    #[must_use]
    pub fn credential(&self) -> Condition {
        self.caller.credentials.condition()
    }

    /// What takes note of its attempts, and is to of everything else.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.caller.recorder
    }

    /// Where the breaker stands.
    #[must_use]
    pub fn breaker(&self) -> breaker::Position {
        self.retry.breaker()
    }

    /// What is left to pay retries from.
    #[must_use]
    pub fn retry_budget(&self) -> u32 {
        self.retry.budget_left()
    }

    /// OCI's opinion of the credential, as its answers show it.
    #[must_use]
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.watch()
    }

    /// Another credential is in use: what OCI thought of the one before is no matter any more.
    pub fn forget_standing(&self) {
        self.standing.forget();
    }

    /// What is added to the machine's clock to have OCI's.
    #[must_use]
    pub fn clock_offset(&self) -> SignedDuration {
        SignedDuration::from_millis(self.caller.clock.offset_ms())
    }

    /// `POST /volumeBackups`
    pub async fn create_volume_backup(
        &self,
        input: CreateVolumeBackup,
        call: Call,
    ) -> Result<Answer<VolumeBackup>, Error> {
        self.mutate(input, call).await
    }

    /// `POST /bootVolumeBackups`
    pub async fn create_boot_volume_backup(
        &self,
        input: CreateBootVolumeBackup,
        call: Call,
    ) -> Result<Answer<BootVolumeBackup>, Error> {
        self.mutate(input, call).await
    }

    /// `GET /volumeBackups/{id}`
    pub async fn get_volume_backup(
        &self,
        input: GetVolumeBackup,
        call: Call,
    ) -> Result<Answer<VolumeBackup>, Error> {
        self.read(input, call).await
    }

    /// `GET /bootVolumeBackups/{id}`
    pub async fn get_boot_volume_backup(
        &self,
        input: GetBootVolumeBackup,
        call: Call,
    ) -> Result<Answer<BootVolumeBackup>, Error> {
        self.read(input, call).await
    }

    /// A harmless signed request.
    pub async fn probe(&self, input: Probe, call: Call) -> Result<(), Error> {
        self.read(input, call).await.map(|_nothing| ())
    }

    /// The same for who does not know the tenancy. The answer is an error at best: 404.
    pub async fn knock(&self, input: Knock, call: Call) -> Result<(), Error> {
        self.read(input, call).await.map(|_nothing| ())
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What requests call themselves, and what `opc-client-info` says.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));
