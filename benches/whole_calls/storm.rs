//! Five times as many callers as there is room for, each of whom comes back as soon as it is answered: what a health
//! check takes meanwhile.

use crate::Outcome;
use crate::Setting;
use crate::callers::create;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::health;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use std::thread;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

const ROOM: usize = 64;
const CALLERS: usize = 5 * ROOM;
const CONNECTIONS: usize = 10;
const HEALTH_MS: f64 = 50.0;

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let room = ROOM.to_string();
    let gateway = Gateway::start_with(&setting.config_file, upstream.address(), &["--max-in-flight", &room])?;
    gateway.serving().await?;
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        channels.push(gateway.connect().await?);
    }
    let (period, url) = (setting.round * 3, format!("http://{}", gateway.address()));
    let end = Instant::now() + period;
    // On a thread of its own: the callers' tasks are none of its business.
    let health = thread::spawn(move || check_until(url, end));
    let callers = channels.into_iter().cycle().take(CALLERS);
    let mut storm: JoinSet<Outcome<(u32, u32)>> = callers.map(|channel| insist(channel, end)).collect();
    let (mut served, mut refused) = (0, 0);
    while let Some(ended) = storm.join_next().await {
        let (some, others) = ended??;
        (served, refused) = (served + some, refused + others);
    }
    let mut health = health.join().map_err(|_panic| "the health checks failed")??;
    let rate = |calls: u32| f64::from(calls) / period.as_secs_f64();
    Ok(vec![
        Figure::new(
            "a health check, five times as many call as may, 99 %",
            millis(quantile(&mut health, 0.99)),
            "ms",
        )
        .at_most(HEALTH_MS),
        Figure::new("  median", millis(median(&mut health)), "ms"),
        Figure::new("  calls served", rate(served), "1/s"),
        Figure::new("  calls refused", rate(refused), "1/s"),
    ])
}

/// Calls, and calls again; returns how often it was served, and how often refused.
async fn insist(channel: Channel, end: Instant) -> Outcome<(u32, u32)> {
    let mut caller = BackupServiceClient::new(channel);
    let (mut served, mut refused) = (0, 0);
    while Instant::now() < end {
        match caller.create_volume_backup(create()).await {
            Ok(_answer) => served += 1,
            Err(status) if status.code() == Code::ResourceExhausted => refused += 1,
            Err(status) => return Err(status.into()),
        }
    }
    Ok((served, refused))
}

#[tokio::main(flavor = "current_thread")]
async fn check_until(url: String, end: Instant) -> Outcome<Vec<Duration>> {
    let mut health = HealthClient::new(Channel::from_shared(url)?.tcp_nodelay(true).connect().await?);
    health::checks(&mut health, end).await
}
