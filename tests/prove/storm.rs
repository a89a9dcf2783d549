//! What goes wrong at OCI during a run, at the three points where a create can be cut, and what is counted of it.

use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Framing;
use oci_backup_gateway::sandbox::Ledger;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::sandbox::Wire;
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

/// Longer than an attempt may take here.
const STALL: Duration = Duration::from_secs(1);

/// The rules of a run: the seed says which request meets which fault.
pub(crate) fn rules(seed: u64) -> Vec<FaultRule> {
    // Of connections; the others are of requests.
    let at_accept = FaultRule::new(Fault::reset(CutPoint::Accept)).chance(5, seed);
    let mut left = 100;
    let of_requests = shares().into_iter().zip(1..).map(|((percent, fault), number)| {
        // Asked only by those that the rules before it have let pass.
        let of_those = (percent * 100).div_ceil(left);
        left -= percent;
        FaultRule::new(fault).chance(u8::try_from(of_those).unwrap(), seed.wrapping_add(number))
    });
    [at_accept].into_iter().chain(of_requests).map(FaultRule::forever).collect()
}

/// Of a hundred requests so many meet this.
fn shares() -> Vec<(u32, Fault)> {
    let truncated = |framing| Fault::wire(Wire::Truncate { framing });
    let nameless = AnswerChange { remove: vec!["id".to_owned()], ..AnswerChange::default() };
    vec![
        // Before it is acted on.
        (11, Fault::reset(CutPoint::BeforeCommit)),
        (7, Fault::hang_up(CutPoint::BeforeCommit)),
        // After the commit, before the answer.
        (11, Fault::reset(CutPoint::AfterCommit)),
        (7, Fault::hang_up(CutPoint::AfterCommit)),
        // In mid-answer.
        (5, Fault::reset(CutPoint::MidAnswer)),
        (5, truncated(Framing::ContentLength)),
        (4, truncated(Framing::Chunked)),
        (4, truncated(Framing::Close)),
        // Not cut, but no better.
        (2, Fault::status(503, "ServiceUnavailable", "not done")),
        (2, Fault::status(500, "InternalServerError", "done all the same").committed()),
        (1, Fault::status(429, "TooManyRequests", "not done")),
        (2, Fault::answer(nameless)),
        (1, Fault::stall(StallPoint::BeforeCommit, STALL)),
        (1, Fault::stall(StallPoint::AfterCommit, STALL)),
    ]
}

/// How often what struck.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    /// Connections reset before anything was read.
    pub(crate) unread: u64,
    /// Requests by their faults.
    pub(crate) by_fault: BTreeMap<String, u64>,
    /// Creates that were cut at least once at one of the three points; those never read are not among them.
    pub(crate) creates: usize,
}

/// The three points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Before,
    After,
    MidAnswer,
}

impl Cut {
    /// Where a fault of this name cuts; `None` if nowhere.
    fn of(fault: &str) -> Option<Self> {
        if fault.ends_with("before commit") {
            Some(Self::Before)
        } else if fault.ends_with("after commit") {
            Some(Self::After)
        } else if fault.ends_with("mid answer") || fault.starts_with("truncate") {
            Some(Self::MidAnswer)
        } else {
            None
        }
    }
}

impl Damage {
    pub(crate) fn of(ledger: &Ledger) -> Self {
        let mut by_fault = BTreeMap::new();
        let mut creates = HashSet::new();
        for attempt in &ledger.attempts {
            let Some(fault) = &attempt.fault else { continue };
            *by_fault.entry(fault.clone()).or_default() += 1;
            if Cut::of(fault).is_some() {
                creates.insert(&attempt.retry_token);
            }
        }
        Self { unread: ledger.connections.cut, by_fault, creates: creates.len() }
    }

    pub(crate) fn cuts(&self, at: Cut) -> u64 {
        let there = self.by_fault.iter().filter(|(fault, _)| Cut::of(fault) == Some(at));
        there.map(|(_, times)| times).sum()
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unread, by_fault, creates } = self;
        let [before, after, mid_answer] = [Cut::Before, Cut::After, Cut::MidAnswer].map(|at| self.cuts(at));
        writeln!(formatter, "creates cut at least once: {creates}")?;
        writeln!(
            formatter,
            "cuts: {unread} unread, {before} before the commit, {after} after it, {mid_answer} in mid-answer"
        )?;
        write!(formatter, "faults: {by_fault:?}")
    }
}
