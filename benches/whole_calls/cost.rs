//! What one call costs the gateway's process under load, in signatures.

use crate::Outcome;
use crate::Setting;
use crate::callers::Callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::micros;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use std::time::Duration;
use std::time::Instant;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const CALLERS: usize = 32;
const CONNECTIONS: usize = 4;
const SIGNATURES_PER_CALL: f64 = 1.25;

/// Rounds of signatures, calls, signatures: what else the machine does changes both sides of a round's ratio
/// alike.
pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let callers = Callers::connect(&gateway, CALLERS, CONNECTIONS).await?;
    callers.call_for(setting.round / 2).await?;
    let (mut ratios, mut costs, mut signatures, mut rates) = (vec![], vec![], vec![], vec![]);
    for _ in 0..setting.rounds {
        let before = setting.signer.processor_time(setting.round / 8)?;
        let (used, began, logged) = (gateway.processor_time()?, Instant::now(), gateway.logged());
        let calls = callers.call_for(setting.round).await?;
        let (used, took) = (gateway.processor_time()? - used, began.elapsed());
        let after = setting.signer.processor_time(setting.round / 8)?;
        if gateway.logged() - logged < u64::from(calls) {
            return Err("calls were not logged".into());
        }
        let (call, signature) = (micros(used) / f64::from(calls), micros(before + after) / 2.0);
        ratios.push(call / signature);
        costs.push(call);
        signatures.push(signature);
        rates.push(f64::from(calls) / took.as_secs_f64());
    }
    let mut health = health_under_load(&gateway, &callers, setting.round).await?;
    let ratio = median(&mut ratios);
    Ok(vec![
        Figure::new("one call, 32 at a time, in signatures", ratio, "×").at_most(SIGNATURES_PER_CALL).remark(
            format!(
                "{:.2} to {:.2} in {} rounds",
                quantile(&mut ratios, 0.0),
                quantile(&mut ratios, 1.0),
                setting.rounds
            ),
        ),
        Figure::new("  processor time of one call", median(&mut costs), "µs"),
        Figure::new("  processor time of one signature", median(&mut signatures), "µs"),
        Figure::new("  calls", median(&mut rates), "1/s").remark("callers and upstream on the same cores"),
        Figure::new("  a health check meanwhile, median", millis(median(&mut health)), "ms"),
        Figure::new("  a health check meanwhile, 99 %", millis(quantile(&mut health, 0.99)), "ms"),
    ])
}

/// How long health checks take while everybody calls: what Kubernetes' probes would see.
async fn health_under_load(gateway: &Gateway, callers: &Callers, period: Duration) -> Outcome<Vec<Duration>> {
    let mut health = HealthClient::new(gateway.connect().await?);
    let (calls, times) = tokio::join!(callers.call_for(period), check_for(&mut health, period));
    calls?;
    times
}

async fn check_for(health: &mut HealthClient<Channel>, period: Duration) -> Outcome<Vec<Duration>> {
    let end = Instant::now() + period;
    let mut times = Vec::new();
    while Instant::now() < end {
        let began = Instant::now();
        health.check(HealthCheckRequest::default()).await?;
        times.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(times)
}
