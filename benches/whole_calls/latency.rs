//! What the gateway adds to a call that is alone.

use crate::Outcome;
use crate::Setting;
use crate::callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::quiet::Quietest;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use bytes::Bytes;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::reqwest;
use std::net::SocketAddr;
use std::time::Duration;
use std::time::Instant;
use tonic::transport::Channel;

const BESIDES_THE_SIGNATURE_MS: f64 = 0.3;
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_body: 1 << 20 };

/// Calls before the first that counts.
const WARM_UP: usize = 100;

/// Medians of one round, in milliseconds.
struct Round {
    through: f64,
    past: f64,
    signature: f64,
}

/// Added latency = median of a call through the gateway − median of the same POST sent to the upstream by the
/// gateway's own HTTP client from here.
pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let caller = BackupServiceClient::new(gateway.connect().await?);
    let config = reqwest::Config { trust: reqwest::Trust::Plaintext, ..reqwest::Config::default() };
    let direct = reqwest::Client::new(&config)?;
    round(WARM_UP, setting, &caller, &direct, &upstream).await?;
    let calls = setting.latencies / setting.rounds;
    let Quietest { rounds, others } =
        Quietest::of(setting.rounds, &gateway, || round(calls, setting, &caller, &direct, &upstream)).await?;
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let mut added = each(|round| round.through - round.past - round.signature);
    let (least, most) = (quantile(&mut added, 0.0), quantile(&mut added, 1.0));
    Ok(vec![
        Figure::new("added to a call that is alone, less one signature", median(&mut added), "ms")
            .at_most(BESIDES_THE_SIGNATURE_MS)
            .remark(format!(
                "{least:.2} to {most:.2} in {} rounds of {calls}; others took {:.0} % of the machine at most",
                rounds.len(),
                others * 100.0
            )),
        Figure::new("  through the gateway", median(&mut each(|round| round.through)), "ms"),
        Figure::new("  straight to the upstream", median(&mut each(|round| round.past)), "ms"),
        Figure::new("  one signature", median(&mut each(|round| round.signature)), "ms"),
    ])
}

/// Calls, POSTs and signatures take turns.
async fn round(
    calls: usize,
    setting: &Setting,
    caller: &BackupServiceClient<Channel>,
    direct: &reqwest::Client,
    upstream: &Upstream,
) -> Outcome<Round> {
    let mut caller = caller.clone();
    let (mut through, mut past, mut signatures) = (vec![], vec![], vec![]);
    for _ in 0..calls {
        let began = Instant::now();
        callers::call(&mut caller).await?;
        through.push(millis(began.elapsed()));
        let request = post(upstream.address())?;
        let began = Instant::now();
        direct.send(request, LIMITS).await?.into_body()?;
        past.push(millis(began.elapsed()));
        signatures.push(millis(setting.signer.time()?));
    }
    Ok(Round { through: median(&mut through), past: median(&mut past), signature: median(&mut signatures) })
}

fn post(upstream: SocketAddr) -> Outcome<http::Request<Bytes>> {
    let body = serde_json::json!({
        "volumeId": crate::upstream::VOLUME,
        "displayName": "nightly",
        "type": "INCREMENTAL",
        "freeformTags": { "service": "orders", "stage": "production" },
        "definedTags": { "Operations": { "CostCenter": "42", "Owner": "storage" } },
    });
    Ok(http::Request::post(format!("http://{upstream}/20160918/volumeBackups"))
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(serde_json::to_vec(&body)?))?)
}
