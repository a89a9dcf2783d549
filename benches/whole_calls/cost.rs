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
use crate::health;
use crate::quiet::Quietest;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use std::time::Duration;
use std::time::Instant;
use tonic_health::pb::health_client::HealthClient;

const CALLERS: usize = 32;
/// A service keeps one connection for all its calls, as gRPC channels do.
const CONNECTIONS: usize = 1;
const SIGNATURES_PER_CALL: f64 = 1.25;

/// What one round found: microseconds of processor time, and calls per second.
struct Round {
    call: f64,
    signature: f64,
    rate: f64,
}

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let callers = Callers::connect(&gateway, CALLERS, CONNECTIONS).await?;
    callers.call_for(setting.round / 2).await?;
    let Quietest { rounds, others } =
        Quietest::of(setting.rounds, &[&gateway], || round(setting, &gateway, &callers)).await?;
    let mut health = health_under_load(&gateway, &callers, setting.round).await?;
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let mut ratios = each(|round| round.call / round.signature);
    let (least, most) = (quantile(&mut ratios, 0.0), quantile(&mut ratios, 1.0));
    Ok(vec![
        Figure::new("one call, 32 at a time, in signatures", median(&mut ratios), "×")
            .at_most(SIGNATURES_PER_CALL)
            .remark(format!(
                "{least:.2} to {most:.2} in {} rounds; others took {:.0} % of the machine at most",
                rounds.len(),
                others * 100.0
            )),
        Figure::new("  processor time of one call", median(&mut each(|round| round.call)), "µs"),
        Figure::new("  processor time of one signature", median(&mut each(|round| round.signature)), "µs"),
        Figure::new("  calls", median(&mut each(|round| round.rate)), "1/s")
            .remark("callers and upstream on the same cores"),
        Figure::new("  a health check meanwhile, median", millis(median(&mut health)), "ms"),
        Figure::new("  a health check meanwhile, 99 %", millis(quantile(&mut health, 0.99)), "ms"),
    ])
}

/// Calls, and signatures beside them: what changes on the machine changes both sides of the ratio alike.
async fn round(setting: &Setting, gateway: &Gateway, callers: &Callers) -> Outcome<Round> {
    let signer = setting.signer.clone();
    let period = setting.round;
    let (told, signature) = tokio::sync::oneshot::channel();
    // A thread of its own, which may be sent from processor to processor.
    std::thread::spawn(move || told.send(signer.processor_time(period)));
    let (used, began, logged) = (gateway.processor_time()?, Instant::now(), gateway.logged());
    let calls = callers.call_for(setting.round).await?;
    let (used, took) = (gateway.processor_time()? - used, began.elapsed());
    let signature = signature.await??;
    // The last lines may still be on their way.
    if gateway.logged() - logged < u64::from(calls - calls / 50) {
        return Err("calls were not logged".into());
    }
    Ok(Round {
        call: micros(used) / f64::from(calls),
        signature: micros(signature),
        rate: f64::from(calls) / took.as_secs_f64(),
    })
}

/// How long health checks take while everybody calls: what Kubernetes' probes would see.
async fn health_under_load(gateway: &Gateway, callers: &Callers, period: Duration) -> Outcome<Vec<Duration>> {
    let mut health = HealthClient::new(gateway.connect().await?);
    let (calls, times) =
        tokio::join!(callers.call_for(period), health::checks(&mut health, Instant::now() + period));
    calls?;
    times
}
