//! What the gateway adds to a call that is alone: on processors that stay awake, as promised, and on those that sleep
//! between two steps of a call.

use crate::Outcome;
use crate::Setting;
use crate::awake::Awake;
use crate::callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::quiet::Quietest;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use crate::wire::Grpc;
use crate::wire::Rest;
use std::time::Instant;

const BESIDES_THE_SIGNATURE_MS: f64 = 0.3;

/// Calls before the first that counts.
const WARM_UP: usize = 100;

/// Medians of one round, in milliseconds.
struct Round {
    through: f64,
    past: f64,
    signature: f64,
}

/// Added latency = median of a call through the gateway − median of the same POST sent straight to the upstream,
/// both by a client that costs nothing itself.
pub(crate) async fn measure(setting: &Setting) -> Outcome<Vec<Figure>> {
    let upstream = Upstream::start(Pace::Instant).await?;
    let gateway = Gateway::start(&setting.config_file, upstream.address())?;
    gateway.serving().await?;
    let mut through = Grpc::connect(gateway.address(), &callers::create())?;
    let mut past = Rest::connect(upstream.address())?;
    let mut round = |calls| tokio::task::block_in_place(|| round(calls, setting, &mut through, &mut past));
    round(WARM_UP)?;
    let calls = setting.latencies / setting.rounds;
    let asleep = Quietest::of(setting.rounds, &gateway, || std::future::ready(round(calls))).await?;
    let awake = Awake::start()?;
    round(WARM_UP)?;
    let kept_awake = Quietest::of(setting.rounds, &gateway, || std::future::ready(round(calls))).await?;
    drop(awake);
    let [promised, parts @ ..] = figures(kept_awake, "added to a call that is alone, less one signature");
    let asleep = figures(asleep, "the same where processors sleep in between");
    let promised = promised.at_most(BESIDES_THE_SIGNATURE_MS);
    Ok([promised].into_iter().chain(parts).chain(asleep).collect())
}

fn figures(quietest: Quietest<Round>, what: &str) -> [Figure; 4] {
    let Quietest { rounds, others } = quietest;
    let each = |figure: fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<_>>();
    let mut added = each(|round| round.through - round.past - round.signature);
    let (least, most) = (quantile(&mut added, 0.0), quantile(&mut added, 1.0));
    let remark = format!(
        "{least:.2} to {most:.2} in {} rounds; others took {:.0} % of the machine at most",
        rounds.len(),
        others * 100.0
    );
    [
        Figure::new(what, median(&mut added), "ms").remark(remark),
        Figure::new("  through the gateway", median(&mut each(|round| round.through)), "ms"),
        Figure::new("  straight to the upstream", median(&mut each(|round| round.past)), "ms"),
        Figure::new("  one signature", median(&mut each(|round| round.signature)), "ms"),
    ]
}

/// Calls, POSTs and signatures take turns.
fn round(calls: usize, setting: &Setting, grpc: &mut Grpc, rest: &mut Rest) -> Outcome<Round> {
    let (mut through, mut past, mut signatures) = (vec![], vec![], vec![]);
    for _ in 0..calls {
        let began = Instant::now();
        grpc.call()?;
        through.push(millis(began.elapsed()));
        let began = Instant::now();
        rest.send()?;
        past.push(millis(began.elapsed()));
        signatures.push(millis(setting.signer.time()?));
    }
    Ok(Round { through: median(&mut through), past: median(&mut past), signature: median(&mut signatures) })
}
