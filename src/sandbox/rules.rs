//! The rules in force: which are consistent, which applies to a request, which are used up.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};

use super::fault::{
    AnswerChange, Chance, Commit, CutPoint, Fault, FaultRule, HeaderChange, StallPoint, Times, Wire,
};
use super::request::RawRequest;

/// Why a rule makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidRule(String);

#[derive(Default)]
pub(super) struct Rules(Mutex<State>);

#[derive(Default)]
struct State {
    active: Vec<Active>,
    /// How often each retry token came while there was a rule with a chance.
    came: HashMap<Box<str>, u64>,
}

struct Active {
    rule: Arc<FaultRule>,
    label: Arc<str>,
    skip: u64,
    times: Times,
}

/// A fault that applies now.
pub(super) struct Drawn {
    rule: Arc<FaultRule>,
    /// What it is, in short, for the ledger.
    pub(super) label: Arc<str>,
}

impl Drawn {
    pub(super) fn fault(&self) -> &Fault {
        &self.rule.fault
    }
}

impl Rules {
    /// All or none of them.
    pub(super) fn add(&self, rules: Vec<FaultRule>) -> Result<(), InvalidRule> {
        rules.iter().try_for_each(check)?;
        let active = rules.into_iter().map(|rule| Active {
            label: rule.fault.label().into(),
            skip: rule.skip,
            times: rule.times,
            rule: Arc::new(rule),
        });
        self.state().active.extend(active);
        Ok(())
    }

    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// The fault of a connection that was just accepted.
    pub(super) fn draw_at_accept(&self) -> Option<Drawn> {
        self.state().draw("", |rule| rule.fault.is_at_accept())
    }

    /// The fault of a request.
    pub(super) fn draw_for(&self, request: &RawRequest) -> Option<Drawn> {
        let token = request.text("opc-retry-token").unwrap_or_default();
        self.state().draw(token, |rule| !rule.fault.is_at_accept() && fits(rule, request))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn draw(&mut self, token: &str, fits: impl Fn(&FaultRule) -> bool) -> Option<Drawn> {
        let nth = self.count(token);
        let picked = |rule: &FaultRule| rule.chance.is_none_or(|chance| chance.picks(token, nth));
        let mut drawn = None;
        let fitting = self.active.iter_mut().filter(|candidate| fits(&candidate.rule));
        for candidate in fitting.filter(|candidate| picked(&candidate.rule)) {
            if candidate.skip > 0 {
                candidate.skip -= 1;
                continue;
            }
            match &mut candidate.times {
                Times::Count(0) => continue,
                Times::Count(left) => *left -= 1,
                Times::Forever => {}
            }
            drawn = Some(Drawn { rule: Arc::clone(&candidate.rule), label: Arc::clone(&candidate.label) });
            break;
        }
        // A long run adds rules by the thousand; what is used up must not be asked again.
        self.active.retain(|candidate| candidate.times != Times::Count(0));
        drawn
    }

    /// How often the token came before.
    fn count(&mut self, token: &str) -> u64 {
        if self.active.iter().all(|candidate| candidate.rule.chance.is_none()) {
            return 0;
        }
        let came = self.came.entry(token.into()).or_default();
        *came += 1;
        *came - 1
    }
}

impl Chance {
    fn picks(self, token: &str, nth: u64) -> bool {
        // Its keys are fixed: the same in every run of one build.
        let mut hasher = DefaultHasher::new();
        (self.seed, token, nth).hash(&mut hasher);
        hasher.finish() % 100 < u64::from(self.percent)
    }
}

fn fits(rule: &FaultRule, request: &RawRequest) -> bool {
    rule.method.as_deref().is_none_or(|method| method == request.method.as_str())
        && rule.path.as_deref().is_none_or(|path| path == request.path())
        && rule.path_prefix.as_deref().is_none_or(|prefix| request.path().starts_with(prefix))
        && rule.retry_token.as_deref().is_none_or(|token| request.text("opc-retry-token") == Some(token))
}

impl Fault {
    /// Whether it strikes a connection rather than a request.
    fn is_at_accept(&self) -> bool {
        self.stalls_at(StallPoint::Accept).is_some() || self.cuts_at(CutPoint::Accept).is_some()
    }

    pub(super) fn commits(&self) -> Commit {
        let fails = self.answer.as_ref().and_then(|answer| answer.status).is_some_and(|status| status >= 300);
        match self.commit {
            Some(commit) => commit,
            None if fails || self.cuts_at(CutPoint::BeforeCommit).is_some() => Commit::Never,
            None => Commit::Before,
        }
    }

    pub(super) fn stalls_at(&self, point: StallPoint) -> Option<Duration> {
        self.stall.filter(|stall| stall.at == point).map(|stall| Duration::from_millis(stall.ms))
    }

    pub(super) fn cuts_at(&self, point: CutPoint) -> Option<Wire> {
        self.wire.filter(|wire| matches!(wire, Wire::Reset { at } | Wire::HangUp { at } if *at == point))
    }

    fn label(&self) -> String {
        let stall = self.stall.map(|_| "stall".to_owned());
        let answer = self.answer.as_ref().map(|answer| match answer.status {
            Some(status) => format!("status {status}"),
            None => "answer".to_owned(),
        });
        let wire = self.wire.map(|wire| wire.name().to_owned());
        [stall, answer, wire].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn check(rule: &FaultRule) -> Result<(), InvalidRule> {
    let refuse = |why: &str| Err(InvalidRule(why.to_owned()));
    let fault = &rule.fault;
    if rule.chance.is_some_and(|chance| chance.percent > 100) {
        return refuse("chance: percent must be at most 100");
    }
    let at_accept = fault.is_at_accept();
    let chooses = rule.method.is_some()
        || rule.path.is_some()
        || rule.path_prefix.is_some()
        || rule.retry_token.is_some();
    if at_accept && chooses {
        return refuse(
            "at accept nothing is known of a request: the rule cannot choose by method, path or token",
        );
    }
    let whole_at_accept = fault.answer.is_none()
        && fault.commit.is_none()
        && fault.stall.is_none_or(|stall| stall.at == StallPoint::Accept)
        && (fault.wire.is_none() || fault.cuts_at(CutPoint::Accept).is_some());
    if at_accept && !whole_at_accept {
        return refuse("a fault at accept has no other part: the connection has no request yet");
    }
    let answers = fault.answer.as_ref().is_some_and(AnswerChange::stands_alone);
    let unanswered =
        fault.cuts_at(CutPoint::BeforeCommit).is_some() || fault.cuts_at(CutPoint::AfterCommit).is_some();
    if fault.commits() == Commit::Never && !answers && !unanswered {
        return refuse("a fault that never commits must say what to answer: status or body");
    }
    if fault.commit == Some(Commit::Before) && fault.cuts_at(CutPoint::BeforeCommit).is_some() {
        return refuse("a cut before the commit cannot come after it");
    }
    fault.answer.as_ref().map_or(Ok(()), check_answer)
}

fn check_answer(answer: &AnswerChange) -> Result<(), InvalidRule> {
    let bodies = [
        answer.body.is_some(),
        answer.body_base64.is_some(),
        answer.patch.is_some() || !answer.remove.is_empty(),
    ];
    if bodies.into_iter().filter(|given| *given).count() > 1 {
        return Err(InvalidRule(
            "only one of body, body_base64 and patch with remove can be given".to_owned(),
        ));
    }
    if answer.status.is_some_and(|status| !(200..=999).contains(&status)) {
        return Err(InvalidRule("status must be 200 to 999".to_owned()));
    }
    if answer.body_base64.as_ref().is_some_and(|body| STANDARD.decode(body).is_err()) {
        return Err(InvalidRule("body_base64 is not base64".to_owned()));
    }
    if answer.content_type.as_ref().is_some_and(|value| HeaderValue::from_str(value).is_err()) {
        return Err(InvalidRule("content_type cannot be sent".to_owned()));
    }
    for (name, change) in &answer.headers {
        let values = match change {
            HeaderChange::Set(value) => std::slice::from_ref(value),
            HeaderChange::SetAll(values) => values.as_slice(),
            HeaderChange::Remove(()) => &[],
        };
        let sendable = values.iter().all(|value| HeaderValue::from_str(value).is_ok());
        // The framing belongs to `wire`; a header that contradicts it would only break this server.
        let framing =
            ["content-length", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own));
        if framing || !sendable || HeaderName::from_bytes(name.as_bytes()).is_err() {
            return Err(InvalidRule(format!("header {name:?} cannot be sent so")));
        }
    }
    Ok(())
}

impl AnswerChange {
    /// Whether there is something to answer even when nothing was carried out.
    fn stands_alone(&self) -> bool {
        self.status.is_some() || self.body.is_some() || self.body_base64.is_some()
    }
}
