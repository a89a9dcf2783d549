//! Rounds that others did not disturb. A busy neighbour costs the gateway cache and the caller patience, and
//! the signature, which lives in a few kilobytes, much less; a ratio of the two would be about the neighbour.

use crate::Outcome;
use crate::gateway::Gateway;
use crate::processor;
use std::future::Future;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// The share of the machine that others may take in a round that counts.
const OTHERS_AT_MOST: f64 = 0.05;
/// How many rounds may be tried for each that counts.
const PATIENCE: usize = 4;

/// The quietest of the rounds that were tried.
pub(crate) struct Quietest<T> {
    pub(crate) rounds: Vec<T>,
    /// The greatest share of the machine that others took in one of them.
    pub(crate) others: f64,
}

impl<T> Quietest<T> {
    /// Makes rounds until `enough` of them were quiet, or patience ends; then the quietest count.
    pub(crate) async fn of<F>(
        enough: usize,
        gateways: &[&Gateway],
        mut round: impl FnMut() -> F,
    ) -> Outcome<Self>
    where
        F: Future<Output = Outcome<T>>,
    {
        let mut tried: Vec<(f64, T)> = Vec::new();
        let quiet = |tried: &[(f64, T)]| tried.iter().filter(|(others, _)| *others <= OTHERS_AT_MOST).count();
        while quiet(&tried) < enough && tried.len() < enough * PATIENCE {
            let before = Usage::now(gateways)?;
            let result = round().await?;
            tried.push((before.others_since(gateways)?, result));
        }
        tried.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        tried.truncate(enough);
        let others = tried.last().map_or(0.0, |(others, _)| *others);
        Ok(Self { rounds: tried.into_iter().map(|(_, result)| result).collect(), others })
    }
}

struct Usage {
    at: Instant,
    machine: Duration,
    ours: Duration,
}

impl Usage {
    fn now(gateways: &[&Gateway]) -> Outcome<Self> {
        let own = processor::of_process(std::process::id());
        let ours =
            gateways.iter().map(|gateway| gateway.processor_time()).chain([own]).sum::<Outcome<_>>()?;
        Ok(Self { at: Instant::now(), machine: processor::of_machine()?, ours })
    }

    /// The share of the machine that neither the gateways nor this process took.
    fn others_since(&self, gateways: &[&Gateway]) -> Outcome<f64> {
        let now = Self::now(gateways)?;
        let others = (now.machine - self.machine).saturating_sub(now.ours - self.ours);
        let cores = u32::try_from(thread::available_parallelism()?.get())?;
        Ok(others.as_secs_f64() / (now.at - self.at).as_secs_f64() / f64::from(cores))
    }
}
