//! What the gateway adds to a call that is alone.

use crate::Outcome;
use crate::Setting;
use crate::callers;
use crate::figures::Figure;
use crate::figures::median;
use crate::figures::millis;
use crate::figures::quantile;
use crate::gateway::Gateway;
use crate::processor;
use crate::quiet::Quietest;
use crate::upstream::Pace;
use crate::upstream::Upstream;
use crate::wire::Grpc;
use crate::wire::Rest;
use std::time::Instant;

const BESIDES_THE_SIGNATURE_MS: f64 = 0.3;

/// Calls before the first that counts.
const WARM_UP: usize = 100;

/// Processors, by number.
#[derive(Clone, Copy)]
struct Sides {
    gateway: usize,
    caller: usize,
}

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
    let mut sides = sides()?.into_iter().cycle();
    let mut round = |calls| {
        let sides = sides.next().ok_or("no processor")?;
        gateway.keep(sides.gateway)?;
        tokio::task::block_in_place(|| round(calls, setting, sides, &mut through, &mut past))
    };
    round(WARM_UP)?;
    let calls = setting.latencies / setting.rounds;
    let rounds = Quietest::of(setting.rounds, &[&gateway], || std::future::ready(round(calls))).await?;
    Ok(figures(rounds).into())
}

/// Who is where, in one round and the next. Two processors of one virtual machine can differ by a fifth, since each has
/// neighbours of its own; the gateway's signature and the one that is taken off have to be made on the same.
fn sides() -> Outcome<[Sides; 2]> {
    let processors = processor::all()?;
    let (one, other) = match processors.as_slice() {
        [] => return Err("no processor".into()),
        [only] => (*only, *only),
        [one, .., other] => (*one, *other),
    };
    Ok([Sides { gateway: one, caller: other }, Sides { gateway: other, caller: one }])
}

fn figures(quietest: Quietest<Round>) -> [Figure; 4] {
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
        Figure::new("added to a call that is alone, less one signature", median(&mut added), "ms")
            .at_most(BESIDES_THE_SIGNATURE_MS)
            .remark(remark),
        Figure::new("  through the gateway", median(&mut each(|round| round.through)), "ms"),
        Figure::new("  straight to the upstream", median(&mut each(|round| round.past)), "ms"),
        Figure::new("  one signature", median(&mut each(|round| round.signature)), "ms"),
    ]
}

/// Calls, POSTs and signatures take turns.
fn round(calls: usize, setting: &Setting, sides: Sides, grpc: &mut Grpc, rest: &mut Rest) -> Outcome<Round> {
    let (mut through, mut past, mut signatures) = (vec![], vec![], vec![]);
    let _free = processor::free_in_the_end()?;
    for _ in 0..calls {
        processor::keep_this_thread(sides.caller)?;
        let began = Instant::now();
        grpc.call()?;
        through.push(millis(began.elapsed()));
        let began = Instant::now();
        rest.send()?;
        past.push(millis(began.elapsed()));
        processor::keep_this_thread(sides.gateway)?;
        signatures.push(millis(setting.signer.time()?));
    }
    Ok(Round { through: median(&mut through), past: median(&mut past), signature: median(&mut signatures) })
}
