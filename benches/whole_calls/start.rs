//! From `exec` to the first health check that says SERVING.

use crate::Outcome;
use crate::Setting;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use std::time::Instant;

const READY_WITHIN_MS: f64 = 50.0;

pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let mut times = Vec::new();
    for _ in 0..setting.starts {
        let began = Instant::now();
        let gateway = Gateway::start(&setting.config_file, upstream.address())?;
        gateway.serving().await?;
        times.push(millis(began.elapsed()));
    }
    let (least, most) = (quantile(&mut times, 0.0), quantile(&mut times, 1.0));
    Ok(vec![
        Figure::new("from start to SERVING", median(&mut times), "ms")
            .at_most(READY_WITHIN_MS)
            .remark(format!("{least:.1} to {most:.1} in {} starts", setting.starts)),
    ])
}
