//! The OCI behind the program: the sandbox, in this process, so that tests can break it.

use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox::Config;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::IssuerConfig;
use oci_backup_gateway::sandbox::IssuerKeys;
use oci_backup_gateway::sandbox::Issuers;
use oci_backup_gateway::sandbox::Sandbox;
use oci_backup_gateway::sandbox::Transport;
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::LazyLock;
use std::time::Duration;
use tempfile::TempDir;

use crate::process::Program;

/// One key pair for all tests: making one takes longer than most of them.
pub(crate) static IDENTITY: LazyLock<Identity> = LazyLock::new(|| Identity::generate().unwrap());

/// The same for those of the issuers.
static ISSUER_KEYS: LazyLock<IssuerKeys> = LazyLock::new(|| IssuerKeys::generate().unwrap());

/// The sandbox, and a directory with the files that let a program in.
pub(crate) struct Upstream {
    pub(crate) sandbox: Sandbox,
    pub(crate) files: TempDir,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        Self::with(Transport::Plaintext, Duration::ZERO).await
    }

    /// With all the other ways to sign in.
    pub(crate) async fn with_issuers() -> Self {
        Self::with_issuers_behind(Duration::ZERO).await
    }

    /// The same, with its clock behind by so much.
    pub(crate) async fn with_issuers_behind(behind: Duration) -> Self {
        Self::of(any_port(), Transport::Plaintext, behind, Some(issuers(any_port()))).await
    }

    /// The same, with its metadata service at another loopback address.
    pub(crate) async fn with_issuers_on(address: IpAddr) -> Self {
        let issuers = issuers(SocketAddr::new(address, 0));
        Self::of(any_port(), Transport::Plaintext, Duration::ZERO, Some(issuers)).await
    }

    /// With its clock behind by so much.
    pub(crate) async fn with(transport: Transport, behind: Duration) -> Self {
        Self::of(any_port(), transport, behind, None).await
    }

    /// At an address of this machine, for another one.
    pub(crate) async fn at(oci_listen: SocketAddr) -> Self {
        Self::of(oci_listen, Transport::Tls, Duration::ZERO, None).await
    }

    async fn of(
        oci_listen: SocketAddr,
        transport: Transport,
        behind: Duration,
        issuers: Option<IssuerConfig>,
    ) -> Self {
        let clock = Clock::system();
        let sandbox = Sandbox::start(Config {
            oci_listen,
            control_listen: any_port(),
            transport,
            now: Arc::new(move || clock.now() - behind),
            stage: Duration::from_millis(50),
            identity: Some(IDENTITY.clone()),
            issuers,
        });
        let upstream = Self { sandbox: sandbox.await.unwrap(), files: TempDir::new().unwrap() };
        upstream.sandbox.write_config(upstream.files.path()).unwrap();
        upstream
    }

    pub(crate) fn issuers(&self) -> &Issuers {
        self.sandbox.issuers().unwrap()
    }

    /// Signs the program in here by another way: with the variables of this file.
    pub(crate) fn sign_in_by(&self, way: &str, mut program: Program) -> Program {
        for line in std::fs::read_to_string(self.path(&format!("{way}.env"))).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            program = program.env(name, value);
        }
        program
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    /// Signs the program in here.
    pub(crate) fn sign_in(&self, program: Program) -> Program {
        self.sign_in_at(program, &self.sandbox.endpoint())
    }

    /// The same for another way to here.
    pub(crate) fn sign_in_at(&self, program: Program, endpoint: &str) -> Program {
        let program =
            program.env("OCI_CLI_CONFIG_FILE", self.path("config")).env("OCI_CLI_ENDPOINT", endpoint);
        match self.sandbox.certificate_authority_pem() {
            None => program,
            Some(_) => program.env("OCI_CLI_CERT_BUNDLE", self.path("ca.pem")),
        }
    }
}

fn issuers(instance: SocketAddr) -> IssuerConfig {
    IssuerConfig { keys: Some(ISSUER_KEYS.clone()), ..IssuerConfig::new(instance, any_port()) }
}

pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
