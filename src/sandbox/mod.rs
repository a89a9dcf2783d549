//! An OCI that can say no: the block volume backup API on a real socket, for tests of any language and
//! for trying the gateway without an account.
//!
//! It re-derives every signing string from the raw request and verifies it, keeps retry tokens, ages
//! backups, and breaks on request ([`FaultRule`]). It never shares code with the rest of the crate and
//! never reads a clock or the environment: a verifier built from the signer's parts would agree with
//! its mistakes, and [`Config::now`] is the only time it knows.
//!
//! # The world it pretends
//!
//! - Every `ocid1.volume.…` and `ocid1.bootvolume.…` names a volume that exists, except those whose last
//!   part starts with `missing`: 404 `NotAuthorizedOrNotFound`. An id of another type is 400
//!   `InvalidParameter`.
//! - New backups lie in the root compartment: their `compartmentId` is [`Identity::tenancy`].
//! - A backup is REQUEST_RECEIVED for [`Config::stage`] of [`Config::now`]'s time, CREATING for as long
//!   again, then AVAILABLE; a deleted one is TERMINATING for a stage, then TERMINATED, and is still read
//!   and listed. Nothing runs in the background: a state follows from the times alone.
//! - Fields that OCI leaves empty are there as `null`. An `etag` changes with create, update and delete,
//!   not with age.
//! - A deleted backup can be neither changed nor deleted again (404), which is what OCI answers once it
//!   has forgotten it.
//! - A client that leaves does not stop its request: what was read is carried out, as in any service
//!   behind a load balancer.
//! - Besides its one user it knows, with [`Config::issuers`], whoever holds one of [`Issuers`]' session tokens.
//! - `opc-request-id` of an answer is the caller's, when well-formed, extended to the three parts of
//!   `customer/stack/individual`; so a test can tell what was answered from what was sent.

mod answer;
mod authorization;
mod backup;
mod change;
mod control;
mod door;
mod error;
mod fault;
mod files;
mod identity;
mod issuer;
mod key;
mod ledger;
mod list;
mod oci;
mod operation;
mod pipeline;
mod problem;
mod query;
mod request;
mod resource;
mod rules;
mod server;
mod socket;
mod store;
mod tls;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use error::Error;
pub use fault::{
    AnswerChange, Chance, Commit, CutPoint, Fault, FaultRule, Framing, HeaderChange, Part, Stall, StallPoint,
    Times, Wire,
};
pub use files::WrittenFiles;
pub use identity::Identity;
pub use issuer::{
    ClusterType, IssuerChange, IssuerConfig, IssuerFiles, IssuerKeys, Issuers, Jwk, NewCertificate,
    RegionForm, ServiceAccounts, Session, SessionKind,
};
pub use ledger::{Attempt, CommitEntry, Connections, Ledger};
pub use rules::InvalidRule;

use control::Control;
use oci::Oci;
use pipeline::Pipeline;
use server::Listeners;
use tls::Authority;

/// The sandbox's only clock.
pub type Now = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How callers reach the OCI face. The control listener is always plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `http://`, for loopback.
    Plaintext,
    /// `https://` with a certificate of the sandbox's own authority, made at start, for the listen
    /// address, `localhost`, `127.0.0.1` and `::1`.
    Tls,
}

/// What a sandbox is started with.
#[derive(Clone)]
pub struct Config {
    /// Where OCI is played. Port 0 takes a free one.
    pub oci_listen: SocketAddr,
    /// Where tests steer it: faults and the ledger, unsigned.
    pub control_listen: SocketAddr,
    /// Plaintext or TLS.
    pub transport: Transport,
    /// The time that dates are judged by and backups age by.
    pub now: Now,
    /// How long a backup stays in each state on its way, by `now`.
    pub stage: Duration,
    /// Who may call; `None` makes a new key. Sandboxes of one test run may share one.
    pub identity: Option<Identity>,
    /// The other ways to sign in; without it there is only the identity's key.
    pub issuers: Option<IssuerConfig>,
}

/// A running sandbox. Dropping it ends its listeners, connections and tasks.
pub struct Sandbox {
    oci: Arc<Pipeline<Oci>>,
    identity: Identity,
    issuers: Option<Issuers>,
    authority: Option<Authority>,
    oci_addr: SocketAddr,
    control_addr: SocketAddr,
    listeners: Listeners,
}

impl Sandbox {
    /// Makes what is missing (key, certificates), listens and serves.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound or a key or certificate cannot be made.
    pub async fn start(config: Config) -> Result<Sandbox, Error> {
        let identity = match config.identity {
            Some(identity) => identity,
            None => tokio::task::spawn_blocking(Identity::generate).await.map_err(|_| Error::Cancelled)??,
        };
        let authority = match config.transport {
            Transport::Plaintext => None,
            Transport::Tls => Some(Authority::generate(config.oci_listen.ip())?),
        };
        let listeners = Listeners::new();
        let issuers = match config.issuers {
            None => None,
            Some(issuers) => {
                Some(Issuers::start(issuers, &identity, Arc::clone(&config.now), &listeners).await?)
            }
        };
        let tokens = issuers.as_ref().map(Issuers::tokens);
        let oci = Arc::new(Oci::pipeline(&identity, tokens, config.now, config.stage));
        let acceptor = authority.as_ref().map(Authority::acceptor);
        let oci_addr = listeners.serve(config.oci_listen, acceptor, &oci).await?.address;
        let control = Control {
            oci: Arc::clone(&oci),
            identity: identity.clone(),
            issuers: issuers.as_ref().map(Issuers::steering),
        };
        let control_addr = listeners.control(config.control_listen, control).await?;
        Ok(Sandbox { oci, identity, issuers, authority, oci_addr, control_addr, listeners })
    }

    /// Where the OCI face listens.
    pub fn oci_addr(&self) -> SocketAddr {
        self.oci_addr
    }

    /// Where the control face listens.
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// The base URL of the OCI face, without `/20160918`.
    pub fn endpoint(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.oci_addr())
    }

    /// The user whose signatures are accepted from the start.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The other ways to sign in, with [`Config::issuers`].
    pub fn issuers(&self) -> Option<&Issuers> {
        self.issuers.as_ref()
    }

    /// The authority to trust, with [`Transport::Tls`].
    pub fn certificate_authority_pem(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::pem)
    }

    /// Writes what a client needs into `dir`, made if missing: `config` in OCI's INI form, `key.pem`
    /// (both readable by the owner only) and, with TLS, `ca.pem`; with issuers also [`IssuerFiles`].
    ///
    /// # Errors
    ///
    /// When a directory or file cannot be written.
    pub fn write_config(&self, dir: &Path) -> Result<WrittenFiles, Error> {
        files::write(dir, self)
    }

    /// Takes another API key from now on: the second key of the user, or another user.
    pub fn accept(&self, identity: &Identity) {
        self.oci.face.verifier.accept(identity);
    }

    /// Takes an API key no more.
    pub fn refuse(&self, identity: &Identity) {
        self.oci.face.verifier.refuse(&identity.key_id());
    }

    /// Adds a rule behind those already there; the same as `POST /sandbox/faults`.
    ///
    /// # Errors
    ///
    /// When the rule contradicts itself; nothing is added then.
    pub fn inject(&self, rule: FaultRule) -> Result<(), InvalidRule> {
        self.oci.rules.add(vec![rule])
    }

    /// Forgets all rules; the same as `DELETE /sandbox/faults`.
    pub fn clear_faults(&self) {
        self.oci.rules.clear();
    }

    /// What has happened so far; the same as `GET /sandbox/ledger`.
    pub fn ledger(&self) -> Ledger {
        self.oci.ledger.read()
    }

    /// How many requests are being carried out: while none is, the ledger does not change by itself.
    pub fn in_flight(&self) -> usize {
        self.oci.ledger.in_flight()
    }

    /// Ends listeners, connections and requests in flight, and returns when they are gone.
    pub async fn stop(self) {
        self.listeners.stop().await;
    }
}
