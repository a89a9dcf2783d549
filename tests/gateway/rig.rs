//! The real gateway on port 0, in front of the sandbox on port 0, and a client that speaks real gRPC.

use crate::logs;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::credentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Provided;
use oci_backup_gateway::credentials::StaticCredentials;
use oci_backup_gateway::oci;
use oci_backup_gateway::oci::endpoint;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::region::Regions;
use oci_backup_gateway::region::Sources;
use oci_backup_gateway::sandbox;
use oci_backup_gateway::sandbox::Attempt;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::Sandbox;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server;
use oci_backup_gateway::server::Server;
use oci_backup_gateway::telemetry::Recorder;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::budget;
use oci_backup_gateway::transport::reqwest;
use oci_backup_gateway::transport::reqwest::Trust;
use oci_backup_gateway::transport::retry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Response;
use tonic::Status;
use tonic::transport::Channel;
use tonic::transport::Endpoint;
use zeroize::Zeroizing;

/// One key pair for all tests: making one takes longer than most of them.
pub(crate) static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());

/// What a test wants different.
pub(crate) struct Setup {
    /// The gateway's clock.
    pub(crate) clock: Clock,
    /// The sandbox's clock.
    pub(crate) sandbox_now: sandbox::Now,
    /// How the sandbox is reached.
    pub(crate) transport: sandbox::Transport,
    /// Whom the gateway signs as.
    pub(crate) identity: Identity,
    /// Which upstream it calls; the sandbox without it.
    pub(crate) endpoint: Option<String>,
    /// Whom it trusts; the sandbox's authority without it.
    pub(crate) trust: Option<Trust>,
    /// The gateway's region.
    pub(crate) region: String,
    /// One attempt.
    pub(crate) attempt_timeout: Duration,
    /// How it retries.
    pub(crate) retry: retry::Config,
    /// Whether calls with one token share an exchange.
    pub(crate) sharing: oci::Sharing,
    /// Where its credentials come from; the identity's key without it.
    pub(crate) credentials: Option<Arc<dyn ProvideCredentials>>,
    /// The sandbox's other ways to sign in.
    pub(crate) issuers: Option<sandbox::IssuerConfig>,
    /// What sends its requests.
    pub(crate) http: Option<Arc<dyn HttpService>>,
    /// Everything of the server.
    pub(crate) server: server::Config,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            sandbox_now: clock(Duration::ZERO),
            transport: sandbox::Transport::Plaintext,
            identity: IDENTITY.clone(),
            endpoint: None,
            trust: None,
            region: "us-ashburn-1".to_owned(),
            attempt_timeout: Duration::from_secs(5),
            retry: retry::Config::default(),
            sharing: sharing(),
            credentials: None,
            issuers: None,
            http: None,
            server: server::Config {
                listen: local(),
                admin_listen: local(),
                health_listen: None,
                tls: None,
                deadlines: server::deadline::Config {
                    default: Duration::from_secs(30),
                    max: Duration::from_secs(60),
                    message: server::deadline::MESSAGE_TIMEOUT,
                },
                max_in_flight: 1024,
                max_connections: 1024,
                first_bytes_timeout: server::FIRST_BYTES_TIMEOUT,
                first_look: None,
                max_connection_age: Duration::from_secs(900),
                drain_timeout: Duration::from_secs(5),
                reflection: server::Reflection::On,
            },
        }
    }
}

/// So many attempts in no time, and neither budget nor breaker gets in their way.
pub(crate) fn hasty(attempts: u32) -> retry::Config {
    let pause = Duration::from_millis(1);
    retry::Config {
        attempts,
        pause,
        pause_for_state: pause,
        pause_for_overload: pause,
        longest_pause: Duration::from_millis(50),
        budget: budget::Config { capacity: u32::MAX, ..budget::Config::default() },
        breaker: breaker::Config { attempts: u32::MAX, ..breaker::Config::default() },
    }
}

/// The whole suite holds with sharing and, with `GATEWAY_TEST_SHARING=off`, without.
#[expect(clippy::disallowed_methods, reason = "the suite is told how to run; the program is not")]
fn sharing() -> oci::Sharing {
    match std::env::var("GATEWAY_TEST_SHARING").as_deref() {
        Ok("off") => oci::Sharing::Off,
        _ => oci::Sharing::On,
    }
}

/// A clock that is behind by so much.
pub(crate) fn clock(behind: Duration) -> sandbox::Now {
    let clock = Clock::system();
    Arc::new(move || clock.now() - behind)
}

pub(crate) fn local() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// How a create ended.
pub(crate) type Created = Result<Response<pb::CreateVolumeBackupResponse>, Status>;

/// A gateway, its OCI and a caller.
pub(crate) struct Rig {
    pub(crate) sandbox: Sandbox,
    pub(crate) server: Server,
    pub(crate) caller: BackupServiceClient<Channel>,
    pub(crate) clock: Clock,
    pub(crate) mutations: oci::Mutations,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    pub(crate) async fn with(setup: Setup) -> Self {
        Self::try_with(setup).await.unwrap()
    }

    pub(crate) async fn try_with(setup: Setup) -> Result<Self, server::StartError> {
        logs::start();
        let sandbox = Sandbox::start(sandbox::Config {
            oci_listen: local(),
            control_listen: local(),
            transport: setup.transport,
            now: Arc::clone(&setup.sandbox_now),
            stage: Duration::from_millis(50),
            identity: Some(IDENTITY.clone()),
            issuers: setup.issuers.clone(),
        })
        .await
        .unwrap();
        let (clock, mutations) = (setup.clock.clone(), oci::Mutations::new());
        let is_plaintext = setup.server.tls.is_none();
        let server = gateway(setup, &sandbox, mutations.clone()).await?;
        let caller = match is_plaintext {
            true => caller(server.address()).await,
            // Such tests have callers of their own.
            false => BackupServiceClient::new(endpoint(server.address()).connect_lazy()),
        };
        Ok(Self { sandbox, server, caller, clock, mutations })
    }

    /// Another gateway in front of the same OCI.
    pub(crate) async fn replica(&self, sharing: oci::Sharing) -> Server {
        let setup = Setup { sharing, ..Setup::default() };
        gateway(setup, &self.sandbox, oci::Mutations::new()).await.unwrap()
    }

    /// Makes the next create that reaches OCI meet this fault; what readiness asks after a 401 does not.
    pub(crate) fn break_next(&self, fault: Fault) {
        self.sandbox.inject(FaultRule::new(fault).method("POST")).unwrap();
    }

    /// Makes every request that reaches OCI with this token meet this fault.
    pub(crate) fn break_all(&self, token: &str, fault: Fault) {
        self.sandbox.inject(FaultRule::new(fault).retry_token(token).forever()).unwrap();
    }

    /// A create that has reached OCI and stays there for so long before it is carried out.
    pub(crate) async fn stalled(&self, pause: Duration) -> JoinHandle<Created> {
        self.break_next(Fault::stall(StallPoint::BeforeCommit, pause));
        let before = self.creates().len();
        let mut caller = self.caller.clone();
        let call = tokio::spawn(async move { caller.create_volume_backup(create()).await });
        while self.creates().len() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        call
    }

    /// Creates that have reached OCI; while a credential is refused, readiness asks harmless things besides.
    pub(crate) fn creates(&self) -> Vec<Attempt> {
        let attempts = self.sandbox.ledger().attempts;
        attempts.into_iter().filter(|attempt| attempt.method == "POST").collect()
    }

    /// Backups that exist.
    pub(crate) fn commits(&self) -> usize {
        self.sandbox.ledger().commits.len()
    }
}

async fn gateway(
    setup: Setup,
    sandbox: &Sandbox,
    mutations: oci::Mutations,
) -> Result<Server, server::StartError> {
    let endpoint = endpoint::Endpoint::parse(&setup.endpoint.unwrap_or_else(|| sandbox.endpoint())).unwrap();
    let trust = setup.trust.unwrap_or_else(|| match sandbox.certificate_authority_pem() {
        None => Trust::Plaintext,
        Some(pem) => Trust::Bundle(pem.as_bytes().to_vec()),
    });
    let http = reqwest::Config { trust, proxy: None, user_agent: oci::USER_AGENT.to_owned() };
    let config = oci::Config {
        place: oci::Place::known(endpoint, &setup.region),
        attempt_timeout: setup.attempt_timeout,
        regions: Regions::new(Sources::default()),
        retry: setup.retry,
        sharing: setup.sharing,
        recorder: Recorder::new().unwrap(),
    };
    let credentials = setup.credentials.unwrap_or_else(|| credentials(&setup.identity));
    let http = setup.http.unwrap_or_else(|| Arc::new(reqwest::Client::new(&http).unwrap()));
    let client = oci::Client::new(config, http, Arc::clone(&credentials), setup.clock, mutations.clone());
    Server::start(setup.server, client, credentials, mutations).await
}

/// A client of its own connection.
pub(crate) async fn caller(gateway: SocketAddr) -> BackupServiceClient<Channel> {
    BackupServiceClient::new(channel(gateway).await)
}

/// A connection for any client.
pub(crate) async fn channel(gateway: SocketAddr) -> Channel {
    endpoint(gateway).connect().await.unwrap()
}

fn endpoint(gateway: SocketAddr) -> Endpoint {
    Channel::from_shared(format!("http://{gateway}")).unwrap()
}

/// The source of the identity's own credentials.
pub(crate) fn credentials(identity: &Identity) -> Arc<dyn ProvideCredentials> {
    let source = credentials::Source {
        auth: credentials::Origin::Default,
        config_file: credentials::Setting { value: "".into(), origin: credentials::Origin::Default },
        profile: credentials::Setting { value: String::new(), origin: credentials::Origin::Default },
        home: None,
        variables: credentials::Variables {
            user: Some(identity.user().to_owned()),
            tenancy: Some(identity.tenancy().to_owned()),
            fingerprint: Some(identity.fingerprint().to_owned()),
            key_content: Some(Zeroizing::new(identity.private_key_pem().to_owned())),
            ..credentials::Variables::default()
        },
    };
    Arc::new(StaticCredentials::new(source.load().unwrap().credentials))
}

/// Credentials that come when they may.
#[derive(Debug)]
pub(crate) struct Gated {
    pub(crate) gate: Semaphore,
    credentials: Arc<dyn ProvideCredentials>,
}

impl Gated {
    /// With the gate shut.
    pub(crate) fn new() -> Self {
        Self { gate: Semaphore::new(0), credentials: credentials(&IDENTITY) }
    }
}

impl ProvideCredentials for Gated {
    fn provide(&self) -> Provided<'_> {
        Provided::later(async {
            let _open = self.gate.acquire().await;
            self.credentials.provide().await
        })
    }
}

/// A create of a volume that nobody else uses, with a token of its own.
pub(crate) fn create() -> pb::CreateVolumeBackupRequest {
    pb::CreateVolumeBackupRequest {
        volume_id: volume(),
        retry_token: Some(format!("token-{}", unique())),
        ..pb::CreateVolumeBackupRequest::default()
    }
}

/// The same for a boot volume.
pub(crate) fn create_boot() -> pb::CreateBootVolumeBackupRequest {
    pb::CreateBootVolumeBackupRequest {
        boot_volume_id: format!("ocid1.bootvolume.oc1.iad.{}", unique()),
        retry_token: Some(format!("token-{}", unique())),
        ..pb::CreateBootVolumeBackupRequest::default()
    }
}

/// A volume that nobody else uses.
pub(crate) fn volume() -> String {
    format!("ocid1.volume.oc1.iad.{}", unique())
}

fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = Clock::system().now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    format!("{}x{}", now.as_nanos(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The status line, the headers and the body of a page.
pub(crate) async fn page(admin: SocketAddr, path: &str) -> (String, String, String) {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status.to_owned(), headers.to_ascii_lowercase(), body.to_owned())
}
