//! Resident memory, at rest and with a thousand calls in flight.

use crate::Outcome;
use crate::Setting;
use crate::callers::Callers;
use crate::figures::Figure;
use crate::gateway::Gateway;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use std::time::Duration;

const CALLS: usize = 1000;
/// A connection carries 128 calls at most.
const CONNECTIONS: usize = 10;
const AT_REST_MIB: f64 = 20.0;
const IN_FLIGHT_MIB: f64 = 64.0;

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Held).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at_rest = mebibytes(gateway.resident()?);
    let callers = Callers::connect(&gateway, CALLS, CONNECTIONS).await?;
    let mut calling = callers.call_once();
    let all_arrived = async {
        while upstream.asked() < CALLS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(8), all_arrived).await?;
    let in_flight = mebibytes(gateway.resident()?);
    upstream.release();
    while let Some(answer) = calling.join_next().await {
        answer??;
    }
    Ok(vec![
        Figure::new("resident memory at rest", at_rest, "MiB").at_most(AT_REST_MIB),
        Figure::new("resident memory, 1,000 calls in flight", in_flight, "MiB").at_most(IN_FLIGHT_MIB),
        Figure::new("  right after them", mebibytes(gateway.resident()?), "MiB"),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a memory size, to be shown")]
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
