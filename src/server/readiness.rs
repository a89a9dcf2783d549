//! Whether calls can be served, and why not: for gRPC health, for `/readyz`, from one state.

use crate::credentials::ProvideCredentials;
use crate::oci;
use crate::oci::Standing;
use crate::oci::probe::Probe;
use crate::ocid::Ocid;
use crate::pb::backup_service_server::BackupServiceServer;
use crate::rpc;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthReporter;

/// SERVING as long as the process lives.
const LIVENESS: &str = "liveness";
/// The whole server.
const SERVER: &str = "";
const SERVICE: &str = <BackupServiceServer<rpc::Gateway> as NamedService>::NAME;

/// How often a source of credentials that does not answer is asked again.
const LOAD_AGAIN: Duration = Duration::from_secs(1);
/// How often OCI is asked whether it takes a refused credential again.
const PROBE_AGAIN: Duration = Duration::from_secs(10);

/// The tenancy whose root compartment a probe may look at.
pub type Tenancy = Ocid;

/// Why calls are, or are not, served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The credential has not loaded yet.
    Loading {
        /// What its source said last.
        said: Option<String>,
    },
    /// Calls are served.
    Ready,
    /// OCI refuses the credential.
    Refused,
    /// The process is on its way out.
    Draining,
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loading { said: None } => {
                formatter.write_str("not ready: the credential has not loaded yet")
            }
            Self::Loading { said: Some(said) } => write!(formatter, "not ready: no credential: {said}"),
            Self::Ready => formatter.write_str("ready"),
            Self::Refused => formatter
                .write_str("not ready: OCI refuses the gateway's credential (401); `check` says more"),
            Self::Draining => formatter.write_str("not ready: shutting down"),
        }
    }
}

/// The state, for everybody who shows it.
#[derive(Clone)]
pub(super) struct Readiness {
    state: Arc<watch::Sender<State>>,
    health: HealthReporter,
}

impl Readiness {
    /// Not ready yet, and the health service that says so.
    pub(super) async fn new() -> (Self, HealthServer<impl Health>) {
        // tonic's reporter starts as SERVING.
        let (health, service) = tonic_health::server::health_reporter();
        health.set_service_status(LIVENESS, ServingStatus::Serving).await;
        let state = Arc::new(watch::Sender::new(State::Loading { said: None }));
        let readiness = Self { state, health };
        readiness.tell().await;
        (readiness, service)
    }

    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Changes the state, unless the process is already on its way out.
    pub(super) async fn set(&self, new: State) {
        let changed = self.state.send_if_modified(|state| {
            let changes = *state != State::Draining && *state != new;
            if changes {
                *state = new;
            }
            changes
        });
        if changed {
            tracing::info!(state = %self.state(), "readiness");
            self.tell().await;
        }
    }

    async fn tell(&self) {
        let status = match self.state() {
            State::Ready => ServingStatus::Serving,
            State::Loading { .. } | State::Refused | State::Draining => ServingStatus::NotServing,
        };
        for name in [SERVER, SERVICE] {
            self.health.set_service_status(name, status).await;
        }
    }

    /// Follows the credential for the life of the process: until it has loaded, and then OCI's opinion of it.
    pub(super) async fn follow(
        self,
        client: oci::Client,
        credentials: Arc<dyn ProvideCredentials>,
        tenancy: Tenancy,
    ) {
        while let Err(error) = credentials.provide().await {
            self.set(State::Loading { said: Some(error.to_string()) }).await;
            tokio::time::sleep(LOAD_AGAIN).await;
        }
        let mut standing = client.standing();
        loop {
            let seen = *standing.borrow_and_update();
            match seen {
                Standing::Unknown | Standing::Accepted => {
                    self.set(State::Ready).await;
                    if standing.changed().await.is_err() {
                        return;
                    }
                }
                Standing::Refused => {
                    self.set(State::Refused).await;
                    probe(&client, &tenancy).await;
                    // Whoever changes OCI's opinion first, a probe or a call, ends the wait.
                    let _ = tokio::time::timeout(PROBE_AGAIN, standing.changed()).await;
                }
            }
        }
    }
}

/// Asks OCI for something harmless; the answer shows in the client's standing.
async fn probe(client: &oci::Client, tenancy: &Tenancy) {
    let probe = Probe { compartment_id: tenancy.clone() };
    let _ = client.probe(probe, oci::Call::default()).await;
}
