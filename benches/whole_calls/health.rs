//! Health checks one after the other, as probes ask for them, only sooner.

use crate::Outcome;
use std::time::Duration;
use std::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// How long each of them took, until `end`.
pub(crate) async fn checks(health: &mut HealthClient<Channel>, end: Instant) -> Outcome<Vec<Duration>> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        health.check(HealthCheckRequest::default()).await?;
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(times)
}
