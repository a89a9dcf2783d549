//! What the gateway adds to a call that is alone.

use crate::Outcome;
use crate::Setting;
use crate::callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::gateway::Gateway;
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

const BESIDES_THE_SIGNATURE_MS: f64 = 0.3;
const LIMITS: Limits = Limits { timeout: Duration::from_secs(10), max_body: 1 << 20 };

/// Added latency = median of a call through the gateway − median of the same POST sent to the upstream by the
/// gateway's own HTTP client from here. Calls, POSTs and signatures take turns.
pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let mut caller = BackupServiceClient::new(gateway.connect().await?);
    let config = reqwest::Config { trust: reqwest::Trust::Plaintext, ..reqwest::Config::default() };
    let direct = reqwest::Client::new(&config)?;
    let (mut through, mut past, mut signatures) = (vec![], vec![], vec![]);
    for turn in 0..setting.latencies + WARM_UP {
        let began = Instant::now();
        callers::call(&mut caller).await?;
        let called = began.elapsed();
        let request = post(upstream.address())?;
        let began = Instant::now();
        direct.send(request, LIMITS).await?.into_body()?;
        let posted = began.elapsed();
        let signature = setting.signer.time()?;
        if turn >= WARM_UP {
            through.push(millis(called));
            past.push(millis(posted));
            signatures.push(millis(signature));
        }
    }
    let (through, past, signature) = (median(&mut through), median(&mut past), median(&mut signatures));
    let added = through - past;
    Ok(vec![
        Figure::new("added to a call that is alone, less one signature", added - signature, "ms")
            .at_most(BESIDES_THE_SIGNATURE_MS)
            .remark(format!("median of {} calls", setting.latencies)),
        Figure::new("  through the gateway", through, "ms"),
        Figure::new("  straight to the upstream", past, "ms"),
        Figure::new("  one signature", signature, "ms"),
    ])
}

const WARM_UP: usize = 100;

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
