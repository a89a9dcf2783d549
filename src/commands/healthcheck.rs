//! `healthcheck`: asks a running gateway whether it serves.

use super::Failure;
use super::deepest;
use crate::config::Healthcheck;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than a gateway under load needs, shorter than what probes wait.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn run(settings: Healthcheck) -> Result<ExitCode, Failure> {
    let address = reachable(settings.address.or(settings.health_listen).unwrap_or(settings.listen));
    let asked = tokio::time::timeout(PATIENCE, ask(address)).await;
    match asked {
        Ok(Ok(ServingStatus::Serving)) => Ok(ExitCode::SUCCESS),
        Ok(Ok(other)) => Err(Failure::Runtime(format!("{address} answers {}", other.as_str_name()))),
        Ok(Err(reason)) => Err(Failure::Runtime(format!("{address} cannot be asked: {reason}"))),
        Err(_elapsed) => Err(Failure::Runtime(format!("{address} gave no answer within {PATIENCE:?}"))),
    }
}

async fn ask(address: SocketAddr) -> Result<ServingStatus, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| deepest(&error))?;
    let request = HealthCheckRequest { service: String::new() };
    let answer = HealthClient::new(channel).check(request).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| {
        match std::error::Error::source(&status) {
            None => status.message().to_owned(),
            // Whatever broke the connection said nothing of gRPC's.
            Some(_broken) => format!("{}; where callers speak TLS, ask --health-listen", status.message()),
        }
    })
}

/// What listens on all addresses is asked on loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let mut address = listen;
    match listen {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    address
}
