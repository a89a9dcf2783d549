//! What a listener has to offer: the backup service, health, reflection, and an answer for what does not exist.

use super::Reflection;
use super::StartError;
use super::deadline;
use super::layers::Around;
use super::layers::Entrance;
use super::layers::Request;
use crate::oci;
use crate::pb;
use crate::pb::backup_service_server::BackupServiceServer;
use crate::rpc;
use futures_util::future::Either;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::health_server::HealthServer;
use tower::Service;
use tower::ServiceExt;

/// The longest request message; the largest valid one is a few KiB.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;

type Backup = Around<BackupServiceServer<rpc::Gateway>>;
/// What becomes of a call.
pub(super) type Answer = Either<<Backup as Service<Request>>::Future, <Routes as Service<Request>>::Future>;

/// All that is offered by one listener. Clones are one.
#[derive(Clone)]
pub(super) struct Services {
    /// Asked without the router, whose futures and bodies cost a call more than all that it is checked for.
    backup: Option<Backup>,
    /// Everything else.
    routes: Routes,
}

impl Services {
    pub(super) fn all(
        client: oci::Client,
        deadlines: deadline::Config,
        entrance: Entrance,
        health: HealthServer<impl Health>,
        reflection: Reflection,
    ) -> Result<Self, StartError> {
        let service =
            BackupServiceServer::new(rpc::Gateway::new(client)).max_decoding_message_size(MAX_MESSAGE);
        let backup = Around::new(service, deadlines, entrance);
        // It also answers for what does not exist.
        let anything =
            backup.clone().map_request(|request: http::Request<axum::body::Body>| request.map(Body::new));
        let routes = Routes::new(health).into_axum_router().fallback_service(anything).into();
        let routes = reflected(routes, reflection)?.prepare();
        Ok(Self { backup: Some(backup), routes })
    }

    /// Health alone.
    pub(super) fn beside(health: HealthServer<impl Health>) -> Self {
        Self { backup: None, routes: Routes::new(health).prepare() }
    }

    pub(super) fn call(&self, request: Request) -> Answer {
        match &self.backup {
            Some(backup) if is_of(Backup::NAME, request.uri().path()) => {
                Either::Left(backup.clone().call(request))
            }
            _ => Either::Right(self.routes.clone().call(request)),
        }
    }
}

/// `/service/method`.
fn is_of(service: &str, path: &str) -> bool {
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(service));
    rest.is_some_and(|rest| rest.starts_with('/'))
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
