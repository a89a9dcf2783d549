//! What a run has shown, for people.

use crate::checker;
use crate::history::Answer;
use crate::history::History;
use crate::history::Outcome;
use crate::run::Plan;
use crate::storm::Damage;
use std::fmt;
use std::time::Duration;

/// A run that is over.
pub(crate) struct Report {
    pub(crate) plan: Plan,
    pub(crate) took: Duration,
    /// Requests that reached OCI.
    pub(crate) attempts: usize,
    pub(crate) damage: Damage,
    /// Creates that had to wait until all was quiet.
    pub(crate) settled_late: usize,
    /// The share of the machine that other processes took.
    pub(crate) others: f64,
    pub(crate) history: History,
}

impl Report {
    /// Calls that were answered so.
    pub(crate) fn calls(&self, so: impl Fn(&Answer) -> bool) -> usize {
        self.history.calls.iter().filter(|call| so(&call.answer)).count()
    }

    /// Errors with this outcome.
    pub(crate) fn failed(&self, outcome: Outcome) -> usize {
        self.calls(|answer| matches!(answer, Answer::Failed(failure) if failure.outcome == Some(outcome)))
    }

    /// What the gateways' own retries add.
    pub(crate) fn requests_per_call(&self) -> f64 {
        let count = |count: usize| f64::from(u32::try_from(count).unwrap());
        count(self.attempts) / count(self.history.calls.len())
    }

    pub(crate) fn lost(&self) -> usize {
        self.calls(|answer| matches!(answer, Answer::Lost(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, took, attempts, damage, settled_late, others, history } = self;
        let Plan { seed, creates, callers, gateways, kills } = plan;
        writeln!(formatter, "PROVE_SEED={seed}: {creates} creates by {callers} callers in {took:.1?}")?;
        writeln!(formatter, "gateways: {gateways}; killed {kills} times")?;
        writeln!(formatter, "backups: {}", history.commits.len())?;
        writeln!(
            formatter,
            "calls: {}, requests that OCI read: {attempts}, {:.2} for each",
            history.calls.len(),
            self.requests_per_call()
        )?;
        writeln!(
            formatter,
            "answers: {} OK, {} UNKNOWN, {} STARTED, {} NOT_STARTED, {} without a word of the gateway's",
            self.calls(|answer| matches!(answer, Answer::Made(_))),
            self.failed(Outcome::Unknown),
            self.failed(Outcome::Started),
            self.failed(Outcome::NotStarted),
            self.lost(),
        )?;
        writeln!(formatter, "creates that were open when all was quiet: {settled_late}")?;
        let (late, of) = checker::late(&history.calls);
        writeln!(formatter, "calls that were a little late: {late} of {of} while the machine was ours")?;
        writeln!(formatter, "others took {:.0} % of the machine in all", others * 100.0)?;
        write!(formatter, "{damage}")
    }
}
