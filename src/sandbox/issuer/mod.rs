//! The other side of every way in which OCI lets a service sign in: an instance's metadata service and the
//! federation endpoint of its region, the endpoint of an OKE cluster, and the sessions that OCI mounts or a user
//! makes. Their tokens are taken by the OCI face as `ST$<token>`.
//!
//! It never takes what it did not sign: a token, a certificate or a service account's token of anybody else is
//! refused (unless it was told of another cluster, [`ServiceAccounts`]), and so is a request that is signed with another key than the one it vouches for.
//!
//! # The world it pretends
//!
//! - One instance, whose metadata is plain HTTP here, at `/opc/v2` of [`Issuers::metadata_url`]. What is asked for
//!   without `Authorization: Bearer Oracle` is 401, what does not exist 404.
//! - One cluster, with one service account, `default/gateway`; or another, whose tokens it is told how to know.
//! - Tokens live as long as they are told to ([`IssuerConfig::token_life`], [`IssuerChange`]), by the sandbox's clock
//!   and to the second.
//! - Faults strike as they do the OCI face's requests ([`FaultRule`]), by rules of their own:
//!   `path` tells the endpoints apart. A fault at accept strikes both listeners.

pub(super) mod certificate;
mod cluster;
mod federation;
mod files;
mod instance;
mod jwk;
mod jwt;
mod keys;
mod service_account;
mod session;
mod state;
pub(super) mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use files::IssuerFiles;
pub use jwk::Jwk;
pub use keys::IssuerKeys;
pub use service_account::ServiceAccounts;
pub use session::{Session, SessionKind};
pub use state::{ClusterType, IssuerChange, NewCertificate, RegionForm};

pub(super) use files::{Upstream, local, write as write_files};
pub(super) use service_account::AUDIENCE;

use cluster::Cluster;
use instance::Instance;
use state::State;

use super::door::Door;
use super::ledger::Book;
use super::pipeline::Pipeline;
use super::rules::Rules;
use super::server::Listeners;
use super::tls::Authority;
use super::{Attempt, Error, FaultRule, Identity, InvalidRule, Ledger, Now};

/// What the issuers are started with.
#[derive(Clone, Debug)]
pub struct IssuerConfig {
    /// Where the metadata service and the federation endpoint listen, plain HTTP. Port 0 takes a free one.
    pub instance_listen: SocketAddr,
    /// Where the cluster listens, TLS. OCI's SDKs always call port 12250 of `KUBERNETES_SERVICE_HOST`.
    pub cluster_listen: SocketAddr,
    /// How long the tokens of both exchanges live.
    pub token_life: Duration,
    /// How the metadata service names the region.
    pub region: RegionForm,
    /// What is signed with; `None` makes new keys. Sandboxes of one test run may share them.
    pub keys: Option<IssuerKeys>,
}

impl IssuerConfig {
    /// Tokens live for 20 minutes, as an instance's do at OCI; the region is named by its short code.
    pub fn new(instance_listen: SocketAddr, cluster_listen: SocketAddr) -> IssuerConfig {
        IssuerConfig {
            instance_listen,
            cluster_listen,
            token_life: Duration::from_secs(1200),
            region: RegionForm::ShortCode,
            keys: None,
        }
    }
}

/// The issuers of a running sandbox.
pub struct Issuers {
    steering: Arc<Steering>,
    authority: Authority,
    instance_addr: SocketAddr,
    cluster_addr: SocketAddr,
}

/// All of the issuers but their sockets.
pub(super) struct Steering {
    pub(super) state: Arc<State>,
    pub(super) rules: Arc<Rules>,
    pub(super) ledger: Arc<Book>,
    doors: [Arc<Door>; 2],
}

impl Steering {
    pub(super) fn change(&self, change: IssuerChange) -> Result<(), Error> {
        match change.listening {
            Some(true) => self.doors.iter().try_for_each(|door| door.open())?,
            Some(false) => self.doors.iter().for_each(|door| door.close()),
            None => {}
        }
        self.state.change(change)
    }
}

impl Issuers {
    pub(super) async fn start(
        config: IssuerConfig,
        identity: &Identity,
        now: Now,
        listeners: &Listeners,
    ) -> Result<Issuers, Error> {
        let keys = match &config.keys {
            Some(keys) => keys.clone(),
            None => {
                tokio::task::spawn_blocking(IssuerKeys::generate).await.map_err(|_| Error::Cancelled)??
            }
        };
        let state = Arc::new(State::new(&config, keys, identity, Arc::clone(&now))?);
        let (rules, ledger) = (Arc::new(Rules::default()), Arc::new(Book::default()));
        let authority = Authority::generate(config.cluster_listen.ip())?;

        let instance = Pipeline {
            rules: Arc::clone(&rules),
            ledger: Arc::clone(&ledger),
            face: Instance(Arc::clone(&state)),
            now: Arc::clone(&now),
        };
        let cluster = Pipeline {
            rules: Arc::clone(&rules),
            ledger: Arc::clone(&ledger),
            face: Cluster(Arc::clone(&state)),
            now,
        };
        let instance = listeners.serve(config.instance_listen, None, &Arc::new(instance)).await?;
        let acceptor = Some(authority.acceptor());
        let cluster = listeners.serve(config.cluster_listen, acceptor, &Arc::new(cluster)).await?;
        let (instance_addr, cluster_addr) = (instance.address, cluster.address);
        let steering = Arc::new(Steering { state, rules, ledger, doors: [instance, cluster] });
        Ok(Issuers { steering, authority, instance_addr, cluster_addr })
    }

    /// For `OCI_METADATA_BASE_URL`.
    pub fn metadata_url(&self) -> String {
        format!("http://{}/opc/v2", self.instance_addr)
    }

    /// For `OCI_SDK_AUTH_CLIENT_REGION_URL`: `/v1/x509` is added.
    pub fn federation_url(&self) -> String {
        format!("http://{}", self.instance_addr)
    }

    /// Where the cluster listens; `KUBERNETES_SERVICE_HOST` is its address.
    pub fn cluster_addr(&self) -> SocketAddr {
        self.cluster_addr
    }

    /// The authority of the cluster, for `OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH`.
    pub fn cluster_authority_pem(&self) -> &str {
        self.authority.pem()
    }

    /// A token of the cluster's service account, as it is projected into a pod.
    ///
    /// # Errors
    ///
    /// When it cannot be signed.
    pub fn service_account_token(&self, life: Duration) -> Result<String, Error> {
        self.service_account_token_for(AUDIENCE, life)
    }

    /// The same for another audience, which the cluster refuses.
    ///
    /// # Errors
    ///
    /// When it cannot be signed.
    pub fn service_account_token_for(&self, audience: &str, life: Duration) -> Result<String, Error> {
        self.steering.state.service_account_token(audience, life)
    }

    /// A session that no exchange makes. Takes a core for some hundred milliseconds.
    ///
    /// # Errors
    ///
    /// When its key cannot be made.
    pub fn session(&self, kind: SessionKind, life: Duration) -> Result<Session, Error> {
        self.steering.state.session(kind, life)
    }

    /// Changes what is said from now on; the same as `POST /sandbox/issuers`.
    ///
    /// # Errors
    ///
    /// When a certificate cannot be made or an address cannot be listened on again.
    pub fn change(&self, change: IssuerChange) -> Result<(), Error> {
        self.steering.change(change)
    }

    /// Adds a rule behind those already there; the same as `POST /sandbox/issuers/faults`.
    ///
    /// # Errors
    ///
    /// When the rule contradicts itself; nothing is added then.
    pub fn inject(&self, rule: FaultRule) -> Result<(), InvalidRule> {
        self.steering.rules.add(vec![rule])
    }

    /// Forgets all rules; the same as `DELETE /sandbox/issuers/faults`.
    pub fn clear_faults(&self) {
        self.steering.rules.clear();
    }

    /// What was asked for so far; the same as `GET /sandbox/issuers/ledger`. Nothing is committed here.
    pub fn ledger(&self) -> Ledger {
        self.steering.ledger.read()
    }

    /// Those of the ledger's attempts that asked for a session token, by whichever exchange.
    pub fn exchanges(&self) -> Vec<Attempt> {
        let mut attempts = self.ledger().attempts;
        attempts.retain(|attempt| attempt.method == "POST");
        attempts
    }

    pub(super) fn steering(&self) -> Arc<Steering> {
        Arc::clone(&self.steering)
    }

    pub(super) fn tokens(&self) -> Arc<token::Mint> {
        Arc::clone(&self.steering.state.mint)
    }
}
