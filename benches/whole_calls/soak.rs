//! A million calls: does anything grow? Only on request (`-- soak`): it takes about ten minutes.

use crate::Outcome;
use crate::Setting;
use crate::callers::Callers;
use crate::figures::Figure;
use crate::gateway::Gateway;
use crate::memory::mebibytes;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use std::time::Duration;

const CALLERS: usize = 32;
const CONNECTIONS: usize = 4;
const CALLS: u32 = 1_000_000;
/// Less, with `--quick`.
const FEW_CALLS: u32 = 50_000;
/// What caches and allocators take for themselves in the first tenth is no growth.
const WARM_UP: f64 = 0.1;
const GROWTH_MIB: f64 = 4.0;
/// Of a hundred requests one meets trouble, of six kinds in turn, and is repeated.
const FAILING: usize = 100;

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    upstream.fail_each(FAILING);
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let callers = Callers::connect(&gateway, CALLERS, CONNECTIONS).await?;
    let calls = if setting.is_quick() { FEW_CALLS } else { CALLS };
    let mut made = 0;
    while f64::from(made) < f64::from(calls) * WARM_UP {
        made += callers.call_for(Duration::from_secs(1)).await?;
    }
    let (resident, descriptors) = (mebibytes(gateway.resident()?), gateway.descriptors()?);
    while made < calls {
        made += callers.call_for(Duration::from_secs(5)).await?;
    }
    let grown = mebibytes(gateway.resident()?) - resident;
    let opened = f64::from(gateway.descriptors()?) - f64::from(descriptors);
    Ok(vec![
        Figure::new("resident memory grown over a soak", grown, "MiB").at_most(GROWTH_MIB).remark(format!(
            "{made} calls, the first tenth as a warm-up; {} requests at the upstream, one in {FAILING} in trouble",
            upstream.asked()
        )),
        Figure::new("descriptors opened over it", opened, "").at_most(8.0).remark(format!("{descriptors} before")),
    ])
}
