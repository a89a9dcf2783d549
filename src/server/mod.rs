//! The composition root of the serving process: joins the rooms into listeners, and takes them down again.
//!
//! It never decides anything about a backup.

mod accept;
mod admin;
mod connection;
pub mod deadline;
mod figures;
mod journal;
mod layers;
mod message;
mod readiness;
mod seldom;
mod services;
mod serving;
mod shutdown;
pub mod tls;

pub use accept::half_of_the_descriptors;
pub use shutdown::Drained;

use crate::credentials::ProvideCredentials;
use crate::oci;
use accept::Crowd;
use accept::Incoming;
use accept::Room;
use connection::Patience;
use figures::Figures;
use journal::Journal;
use layers::Entrance;
use readiness::Readiness;
use services::Services;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tls::Tls;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a connection may take to begin with HTTP/2's own words.
pub const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);

/// How long OCI's first opinion of a credential is waited for. Without one the gateway is ready: it has an honest answer
/// for whoever calls while OCI is away.
pub const FIRST_LOOK: Duration = Duration::from_secs(2);

/// What is served, where, and for how long.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub admin_listen: SocketAddr,
    /// Where gRPC health is served besides, in plaintext.
    pub health_listen: Option<SocketAddr>,
    /// TLS where gRPC is served.
    pub tls: Option<Tls>,
    /// What bounds a call.
    pub deadlines: deadline::Config,
    /// The most calls in flight; health and reflection are none.
    pub max_in_flight: usize,
    /// The most connections.
    pub max_connections: usize,
    /// [`FIRST_BYTES_TIMEOUT`], but in tests.
    pub first_bytes_timeout: Duration,
    /// [`FIRST_LOOK`], but in tests that count what OCI is asked.
    pub first_look: Option<Duration>,
    /// After this time a connection is asked to make way for another, so that load spreads over replicas.
    pub max_connection_age: Duration,
    /// How long calls in flight may take to finish at the end.
    pub drain_timeout: Duration,
    /// Whether the proto can be asked for.
    pub reflection: Reflection,
}

/// Whether the proto can be asked for over gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reflection {
    /// Yes, v1 and v1alpha.
    On,
    /// No.
    Off,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, not ours, or not allowed.
    #[error("{setting}: cannot listen on {address}: {source}")]
    Listen {
        /// The flag that names the address.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The descriptor set in the binary is broken.
    #[error("the descriptor set in this binary cannot be served")]
    Reflection(#[source] tonic_reflection::server::Error),
    /// The descriptor set in the binary is broken.
    #[error("the descriptor set in this binary cannot be read")]
    Descriptors(#[source] prost::DecodeError),
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    admin_address: SocketAddr,
    health_address: Option<SocketAddr>,
    drain_timeout: Duration,
    readiness: Readiness,
    stop_accepting: CancellationToken,
    cut_connections: CancellationToken,
    calls: TaskTracker,
    journal: Journal,
    mutations: oci::Mutations,
    /// Shown as long as this lives.
    _figures: Arc<Figures>,
    grpc: JoinHandle<()>,
    /// Those that serve until the end.
    beside: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
}

impl Server {
    /// Binds the listeners and serves. A drain waits for `mutations`, those of `client`.
    pub async fn start(
        config: Config,
        client: oci::Client,
        credentials: Arc<dyn ProvideCredentials>,
        mutations: oci::Mutations,
    ) -> Result<Self, StartError> {
        let listeners = Listeners::bind(&config).await?;
        let (listener, address) = listeners.grpc;
        let (admin_listener, admin_address) = listeners.admin;
        let health_address = listeners.health.as_ref().map(|(_listener, address)| *address);
        message::learn_rpcs().map_err(StartError::Descriptors)?;
        let (readiness, health) = Readiness::new().await;
        let recorder = client.recorder().clone();
        let (calls, journal) = (TaskTracker::new(), Journal::new(recorder.clone()));
        let entrance = Entrance::new(config.max_in_flight, calls.clone(), journal.clone());
        let room = Room::new(config.max_connections);
        let figures = Figures {
            room: room.clone(),
            client: client.clone(),
            entrance: entrance.clone(),
            readiness: readiness.clone(),
            mutations: mutations.clone(),
            tls: config.tls.clone(),
        };
        let figures = figures.shown_by(&recorder);
        let services =
            Services::all(client.clone(), config.deadlines, entrance, health.clone(), config.reflection)?;
        let (stop_accepting, cut_connections) = (CancellationToken::new(), CancellationToken::new());
        let doors = Doors { config: &config, cut: &cut_connections };
        let stop = stop_accepting.clone();
        let grpc = doors.serve(listener, Crowd::Refused(room), config.tls.clone(), services, stop);
        let grpc = tokio::spawn(grpc);
        let admin = admin::serve(admin_listener, readiness.clone(), recorder, cut_connections.clone());
        let mut beside = vec![tokio::spawn(admin), tokio::spawn(journal.clone().keep())];
        beside.extend(listeners.health.map(|(listener, _address)| {
            // To the end, so that it says that the process is on its way out.
            let services = Services::beside(health);
            let stop = cut_connections.clone();
            let crowd = Crowd::replaces(admin::CONNECTIONS);
            tokio::spawn(doors.serve(listener, crowd, None, services, stop))
        }));
        let mut background =
            vec![tokio::spawn(readiness.clone().follow(client, credentials, config.first_look))];
        background.extend(config.tls.clone().map(|tls| tokio::spawn(tls.keep())));
        let security = if config.tls.is_some() { "TLS" } else { "plaintext" };
        let health_address_told = health_address.map(tracing::field::display);
        tracing::info!(%address, security, %admin_address, health_address = health_address_told, "listening");
        Ok(Self {
            address,
            admin_address,
            health_address,
            drain_timeout: config.drain_timeout,
            readiness,
            stop_accepting,
            cut_connections,
            calls,
            journal,
            mutations,
            _figures: figures,
            grpc,
            beside,
            background,
        })
    }

    /// Where gRPC is served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Where gRPC health is served besides.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health_address
    }
}

/// After the longest deadline of those that were there when a connection was asked to go, its last calls have ended.
const GRACE: Duration = Duration::from_secs(5);

/// What all listeners for gRPC have in common.
struct Doors<'a> {
    config: &'a Config,
    cut: &'a CancellationToken,
}

impl Doors<'_> {
    fn serve(
        &self,
        listener: TcpListener,
        crowd: Crowd,
        tls: Option<Tls>,
        services: Services,
        stop: CancellationToken,
    ) -> impl Future<Output = ()> + use<> {
        let Config { first_bytes_timeout, max_connection_age, deadlines, .. } = *self.config;
        let patience = Patience::of_http2(first_bytes_timeout);
        let incoming = Incoming::new(listener, crowd, patience, self.cut.clone());
        let farewell = deadlines.max + GRACE;
        serving::serve(incoming, serving::Terms { services, tls, age: max_connection_age, farewell, stop })
    }
}

/// Where callers, people and probes come in, before anybody is let in.
struct Listeners {
    grpc: (TcpListener, SocketAddr),
    admin: (TcpListener, SocketAddr),
    health: Option<(TcpListener, SocketAddr)>,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            grpc: listen("--listen", config.listen).await?,
            admin: listen("--admin-listen", config.admin_listen).await?,
            health: match config.health_listen {
                Some(address) => Some(listen("--health-listen", address).await?),
                None => None,
            },
        })
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { setting, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
