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
mod shutdown;

pub use accept::half_of_the_descriptors;
pub use shutdown::Drained;

use crate::credentials::ProvideCredentials;
use crate::oci;
use crate::pb;
use crate::pb::backup_service_server::BackupServiceServer;
use crate::rpc;
use accept::Incoming;
use accept::Terms;
use connection::Patience;
use figures::Figures;
use journal::Journal;
use layers::Around;
use layers::Entrance;
use layers::Nowhere;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::service::Routes;
use tower::ServiceExt;

/// The longest request message; the largest valid one is a few KiB.
const MAX_MESSAGE: usize = 64 * 1024;

/// How long a connection may take to begin with HTTP/2's own words.
pub const FIRST_BYTES_TIMEOUT: Duration = Duration::from_secs(10);

/// What is served, where, and for how long.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where gRPC is served.
    pub listen: SocketAddr,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub admin_listen: SocketAddr,
    /// What bounds a call.
    pub deadlines: deadline::Config,
    /// The most calls in flight; health and reflection are none.
    pub max_in_flight: usize,
    /// The most connections.
    pub max_connections: usize,
    /// [`FIRST_BYTES_TIMEOUT`], but in tests.
    pub first_bytes_timeout: Duration,
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
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    admin_address: SocketAddr,
    drain_timeout: Duration,
    readiness: readiness::Readiness,
    stop_accepting: CancellationToken,
    cut_connections: CancellationToken,
    calls: TaskTracker,
    journal: Journal,
    mutations: oci::Mutations,
    /// Shown as long as this lives.
    _figures: Arc<Figures>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    background: [JoinHandle<()>; 3],
}

impl Server {
    /// Binds the listeners and serves. A drain waits for `mutations`, those of `client`.
    pub async fn start(
        config: Config,
        client: oci::Client,
        credentials: Arc<dyn ProvideCredentials>,
        mutations: oci::Mutations,
    ) -> Result<Self, StartError> {
        let (listener, address) = listen("--listen", config.listen).await?;
        let (admin_listener, admin_address) = listen("--admin-listen", config.admin_listen).await?;
        let (readiness, health) = readiness::Readiness::new().await;
        let recorder = client.recorder().clone();
        let (calls, journal) = (TaskTracker::new(), Journal::new(recorder.clone()));
        let entrance = Entrance::new(config.max_in_flight, calls.clone(), journal.clone());
        let figures = Figures {
            client: client.clone(),
            entrance: entrance.clone(),
            readiness: readiness.clone(),
            mutations: mutations.clone(),
        };
        let figures = figures.shown_by(&recorder);
        let routes = routes(client.clone(), config.deadlines, entrance).add_service(health);
        let routes = reflected(routes, config.reflection)?;
        let (stop_accepting, cut_connections) = (CancellationToken::new(), CancellationToken::new());
        let patience =
            Patience::of_http2(config.first_bytes_timeout, config.max_connection_age, config.deadlines.max);
        let terms = Terms { connections: config.max_connections, patience };
        let incoming = Incoming::new(listener, terms, cut_connections.clone());
        let until = stop_accepting.clone().cancelled_owned();
        let serving = connection::server(config.max_connection_age)
            .add_routes(routes)
            .serve_with_incoming_shutdown(incoming, until);
        let background = [
            tokio::spawn(admin::serve(admin_listener, readiness.clone(), recorder, cut_connections.clone())),
            tokio::spawn(readiness.clone().follow(client, credentials)),
            tokio::spawn(journal.clone().keep()),
        ];
        let grpc = tokio::spawn(serving);
        tracing::info!(%address, %admin_address, "listening");
        Ok(Self {
            address,
            admin_address,
            drain_timeout: config.drain_timeout,
            readiness,
            stop_accepting,
            cut_connections,
            calls,
            journal,
            mutations,
            _figures: figures,
            grpc,
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
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { setting, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The service, and nothing else: what is not there is a call like any other.
fn routes(client: oci::Client, deadlines: deadline::Config, entrance: Entrance) -> Routes {
    let service = BackupServiceServer::new(rpc::Gateway::new(client)).max_decoding_message_size(MAX_MESSAGE);
    let nowhere = Around::new(Nowhere, deadlines, entrance.clone());
    let nowhere = nowhere.map_request(|request: http::Request<axum::body::Body>| request.map(Body::new));
    let routes = Routes::new(Around::new(service, deadlines, entrance));
    routes.into_axum_router().fallback_service(nowhere).into()
}

fn reflected(routes: Routes, reflection: Reflection) -> Result<Routes, StartError> {
    if reflection == Reflection::Off {
        return Ok(routes);
    }
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            // For tools that show the details of errors.
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    // Older clients ask v1alpha only.
    let v1 = builder().build_v1().map_err(StartError::Reflection)?;
    let v1alpha = builder().build_v1alpha().map_err(StartError::Reflection)?;
    Ok(routes.add_service(v1).add_service(v1alpha))
}
