//! Holds what callers were told against what OCI did (the rules are Jepsen's). Pure: a history in, violations out.

use crate::history::Answer;
use crate::history::Call;
use crate::history::Commit;
use crate::history::Gateways;
use crate::history::History;
use crate::history::Outcome;
use crate::history::Share;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;

/// 99.9 % of calls end this soon after their deadline …
const SOON: Duration = Duration::from_millis(50);
/// … that is, all but one of so many …
const ALL_BUT_ONE_OF: usize = 1000;
/// … and none ends later than this.
const NEVER_LATER: Duration = Duration::from_millis(500);

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// One token, more than one backup.
    MadeTwice { token: String, ids: Vec<String> },
    /// A backup that nobody asked for: under no token, or under one that no caller has.
    Unwanted { id: String },
    /// A backup made by a request that belongs to no call.
    Stranger { id: String },
    /// Wanted, and not made although all is quiet again.
    Lost { token: String },
    /// Made, but no call was ever told which it is.
    NeverSettled { token: String },
    /// OK with a backup that OCI had not made under this token by then.
    FalseOk { request_id: String, id: String },
    /// `NOT_STARTED` by a call that made it.
    FalseNotStarted { request_id: String },
    /// `STARTED` where nothing had been made by then.
    FalseStarted { request_id: String },
    /// An error that does not say what became of the create.
    NoOutcome { request_id: String },
    /// A connection that broke although nobody had killed the gateway.
    NoAnswer { request_id: String, why: String },
    /// Far beyond its deadline.
    FarTooLate { request_id: String, by: Duration },
    /// Too many calls that were a little late.
    OftenLate { calls: usize, of: usize },
}

/// All violations; none is what a run has to end with.
pub(crate) fn check(history: &History) -> Vec<Violation> {
    let world = World::new(history);
    let mut found: Vec<Violation> = Vec::new();
    found.extend(history.commits.iter().flat_map(|commit| world.of_commit(commit)));
    found.extend(history.wanted.iter().flat_map(|token| world.of_token(token)));
    found.extend(history.calls.iter().flat_map(|call| world.of_call(call, history.gateways)));
    found.extend(often_late(&history.calls));
    found
}

/// How many calls ended later than almost all have to, and of how many that can be said.
pub(crate) fn late(calls: &[Call]) -> (usize, usize) {
    let judged: Vec<&Call> = calls.iter().filter(|call| call.machine == Share::Ours).collect();
    let late = judged.iter().filter(|call| call.late_by() > SOON || call.answer == Answer::CutOff);
    (late.count(), judged.len())
}

fn often_late(calls: &[Call]) -> Option<Violation> {
    let (calls, of) = late(calls);
    // So few that one alone would be too many say nothing.
    (calls > (of / ALL_BUT_ONE_OF).max(1)).then_some(Violation::OftenLate { calls, of })
}

/// The history, by what is asked of it.
struct World<'a> {
    wanted: HashSet<&'a str>,
    callers_ids: HashSet<&'a str>,
    made: HashMap<&'a str, Vec<&'a Commit>>,
    by_request: HashSet<&'a str>,
    settled: HashSet<&'a str>,
}

impl<'a> World<'a> {
    fn new(history: &'a History) -> Self {
        let mut made: HashMap<&str, Vec<&Commit>> = HashMap::new();
        for commit in &history.commits {
            made.entry(commit.token.as_deref().unwrap_or_default()).or_default().push(commit);
        }
        let told = history.calls.iter().filter(|call| matches!(call.answer, Answer::Made(_)));
        Self {
            wanted: history.wanted.iter().map(String::as_str).collect(),
            callers_ids: history.calls.iter().map(|call| call.request_id.as_str()).collect(),
            made,
            by_request: history.commits.iter().filter_map(|commit| commit.request_id.as_deref()).collect(),
            settled: told.map(|call| call.token.as_str()).collect(),
        }
    }

    fn made(&self, token: &str) -> &[&'a Commit] {
        self.made.get(token).map_or(&[], Vec::as_slice)
    }

    /// What had been made under the call's token when it was answered.
    fn made_by_the_end_of(&self, call: &Call) -> impl Iterator<Item = &&'a Commit> {
        self.made(&call.token).iter().filter(|commit| commit.at <= call.end)
    }

    fn of_commit(&self, commit: &Commit) -> Vec<Violation> {
        let id = || commit.id.clone();
        let known =
            |ids: &HashSet<&str>, key: &Option<String>| key.as_deref().is_some_and(|key| ids.contains(key));
        let unwanted = !known(&self.wanted, &commit.token);
        let stranger = !known(&self.callers_ids, &commit.request_id);
        let unwanted = unwanted.then(|| Violation::Unwanted { id: id() });
        unwanted.into_iter().chain(stranger.then(|| Violation::Stranger { id: id() })).collect()
    }

    fn of_token(&self, token: &str) -> Option<Violation> {
        let token_ = || token.to_owned();
        match self.made(token) {
            [] => Some(Violation::Lost { token: token_() }),
            [_] if !self.settled.contains(token) => Some(Violation::NeverSettled { token: token_() }),
            [_] => None,
            commits => {
                let ids = commits.iter().map(|commit| commit.id.clone()).collect();
                Some(Violation::MadeTwice { token: token_(), ids })
            }
        }
    }

    fn of_call(&self, call: &Call, gateways: Gateways) -> Vec<Violation> {
        let by = call.late_by();
        let too_late = (by > NEVER_LATER && call.machine == Share::Ours)
            .then(|| Violation::FarTooLate { request_id: call.request_id.clone(), by });
        self.of_answer(call, gateways).into_iter().chain(too_late).collect()
    }

    fn of_answer(&self, call: &Call, gateways: Gateways) -> Option<Violation> {
        let request_id = call.request_id.clone();
        match &call.answer {
            Answer::Made(id) => {
                let truly = self.made_by_the_end_of(call).any(|commit| commit.id == *id);
                (!truly).then(|| Violation::FalseOk { request_id, id: id.clone() })
            }
            Answer::Lost(_) if gateways == Gateways::Killed => None,
            Answer::Lost(why) => Some(Violation::NoAnswer { request_id, why: why.clone() }),
            Answer::CutOff if call.took() >= call.deadline => None,
            Answer::CutOff => Some(Violation::NoOutcome { request_id }),
            Answer::Failed(failure) => match failure.outcome {
                Some(Outcome::NotStarted) => {
                    let made = self.by_request.contains(request_id.as_str());
                    made.then_some(Violation::FalseNotStarted { request_id })
                }
                Some(Outcome::Started) => {
                    let made = self.made_by_the_end_of(call).next().is_some();
                    (!made).then_some(Violation::FalseStarted { request_id })
                }
                Some(Outcome::Unknown) => None,
                None => Some(Violation::NoOutcome { request_id }),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Failure;
    use tonic::Code;

    const SECOND: Duration = Duration::from_secs(1);

    /// Numbers name calls and tokens alike: call 1 is made with token 1.
    fn call(number: u32, answer: Answer) -> Call {
        Call {
            token: format!("token-{number}"),
            request_id: format!("call-{number}"),
            start: SECOND,
            end: 2 * SECOND,
            deadline: SECOND,
            machine: Share::Ours,
            answer,
        }
    }

    fn again(number: u32, answer: Answer) -> Call {
        Call { request_id: format!("call-{number}-again"), ..call(number, answer) }
    }

    fn ok(number: u32) -> Answer {
        Answer::Made(format!("backup-{number}"))
    }

    fn failed(outcome: Option<Outcome>) -> Answer {
        let reason = "UPSTREAM_RESET".to_owned();
        Answer::Failed(Failure { code: Code::Unavailable, reason, outcome, attempts: 1, retry_after: None })
    }

    fn commit(number: u32) -> Commit {
        Commit {
            token: Some(format!("token-{number}")),
            request_id: Some(format!("call-{number}")),
            id: format!("backup-{number}"),
            at: SECOND,
        }
    }

    /// A history of one token, number 1.
    fn one(calls: Vec<Call>, commits: Vec<Commit>) -> History {
        History { wanted: vec!["token-1".to_owned()], calls, commits, gateways: Gateways::LeftAlone }
    }

    fn violations(calls: Vec<Call>, commits: Vec<Commit>) -> Vec<Violation> {
        check(&one(calls, commits))
    }

    fn request_id() -> String {
        "call-1".to_owned()
    }

    #[test]
    fn a_history_in_which_all_is_well_has_no_violation() {
        for outcome in [Outcome::Unknown, Outcome::Started] {
            let calls = vec![call(1, failed(Some(outcome))), again(1, ok(1))];
            assert_eq!(violations(calls, vec![commit(1)]), []);
        }
        let by_the_second = Commit { request_id: Some("call-1-again".to_owned()), ..commit(1) };
        for outcome in [Outcome::Unknown, Outcome::NotStarted] {
            let calls = vec![call(1, failed(Some(outcome))), again(1, ok(1))];
            assert_eq!(violations(calls, vec![by_the_second.clone()]), []);
        }
    }

    #[test]
    fn a_second_backup_under_one_token_is_found() {
        let second = Commit { id: "backup-2".to_owned(), ..commit(1) };
        let found = violations(vec![call(1, ok(1))], vec![commit(1), second]);
        let ids = vec!["backup-1".to_owned(), "backup-2".to_owned()];
        assert_eq!(found, [Violation::MadeTwice { token: "token-1".to_owned(), ids }]);
    }

    #[test]
    fn a_backup_that_was_never_made_is_found() {
        let lost = Violation::Lost { token: "token-1".to_owned() };
        for calls in [vec![call(1, failed(Some(Outcome::Unknown)))], vec![]] {
            assert_eq!(violations(calls, vec![]), std::slice::from_ref(&lost));
        }
    }

    #[test]
    fn a_backup_that_nobody_was_told_of_is_found() {
        let found = violations(vec![call(1, failed(Some(Outcome::Unknown)))], vec![commit(1)]);
        assert_eq!(found, [Violation::NeverSettled { token: "token-1".to_owned() }]);
    }

    #[test]
    fn a_backup_that_nobody_wanted_is_found() {
        for token in [None, Some("token-2".to_owned())] {
            let unwanted = Commit { token, id: "backup-2".to_owned(), ..commit(1) };
            let found = violations(vec![call(1, ok(1))], vec![commit(1), unwanted]);
            assert_eq!(found, [Violation::Unwanted { id: "backup-2".to_owned() }]);
        }
    }

    #[test]
    fn a_backup_that_no_call_made_is_found() {
        for request_id in [None, Some("call-2".to_owned())] {
            let found = violations(vec![call(1, ok(1))], vec![Commit { request_id, ..commit(1) }]);
            assert_eq!(found, [Violation::Stranger { id: "backup-1".to_owned() }]);
        }
    }

    #[test]
    fn an_ok_with_another_backup_or_with_none_is_found() {
        let false_ok = |id: &str| Violation::FalseOk { request_id: request_id(), id: id.to_owned() };
        let calls = vec![call(1, ok(2)), again(1, ok(1))];
        assert_eq!(violations(calls, vec![commit(1)]), [false_ok("backup-2")]);
        let lost = Violation::Lost { token: "token-1".to_owned() };
        assert_eq!(violations(vec![call(1, ok(1))], vec![]), [lost, false_ok("backup-1")]);
    }

    #[test]
    fn a_not_started_by_the_call_that_made_it_is_found() {
        let calls = vec![call(1, failed(Some(Outcome::NotStarted))), again(1, ok(1))];
        let found = violations(calls, vec![commit(1)]);
        assert_eq!(found, [Violation::FalseNotStarted { request_id: request_id() }]);
    }

    #[test]
    fn a_started_where_nothing_was_made_is_found() {
        let found = violations(vec![call(1, failed(Some(Outcome::Started)))], vec![]);
        assert!(found.contains(&Violation::FalseStarted { request_id: request_id() }), "{found:?}");
    }

    #[test]
    fn a_started_or_an_ok_before_a_later_call_made_it_is_found() {
        let later = || Commit { request_id: Some("call-1-again".to_owned()), at: 3 * SECOND, ..commit(1) };
        let calls =
            |first| vec![call(1, first), Call { end: 4 * SECOND, deadline: 3 * SECOND, ..again(1, ok(1)) }];
        let found = violations(calls(failed(Some(Outcome::Started))), vec![later()]);
        assert_eq!(found, [Violation::FalseStarted { request_id: request_id() }]);
        let found = violations(calls(ok(1)), vec![later()]);
        assert_eq!(found, [Violation::FalseOk { request_id: request_id(), id: "backup-1".to_owned() }]);
        for honest in [Outcome::NotStarted, Outcome::Unknown] {
            assert_eq!(violations(calls(failed(Some(honest))), vec![later()]), []);
        }
    }

    #[test]
    fn an_error_without_an_outcome_is_found() {
        let found = violations(vec![call(1, failed(None)), again(1, ok(1))], vec![commit(1)]);
        assert_eq!(found, [Violation::NoOutcome { request_id: request_id() }]);
    }

    #[test]
    fn a_broken_connection_is_excused_only_where_gateways_are_killed() {
        let calls = vec![call(1, Answer::Lost("reset".to_owned())), again(1, ok(1))];
        let mut history = one(calls, vec![commit(1)]);
        let why = "reset".to_owned();
        assert_eq!(check(&history), [Violation::NoAnswer { request_id: request_id(), why }]);
        history.gateways = Gateways::Killed;
        assert_eq!(check(&history), []);
    }

    /// As many calls as it takes for one of them to be late.
    fn thousand(late: usize, by: Duration) -> History {
        let calls = (0..1000).map(|number| Call {
            request_id: if number == 0 { request_id() } else { format!("call-1-{number}") },
            end: if number < late { 2 * SECOND + by } else { 2 * SECOND },
            ..call(1, ok(1))
        });
        one(calls.collect(), vec![commit(1)])
    }

    #[test]
    fn one_call_of_a_thousand_may_be_a_little_late_and_not_two() {
        let a_little = Duration::from_millis(51);
        assert_eq!(check(&thousand(1, a_little)), []);
        assert_eq!(check(&thousand(2, a_little)), [Violation::OftenLate { calls: 2, of: 1000 }]);
        assert_eq!(check(&thousand(1000, Duration::from_millis(50))), []);
    }

    #[test]
    fn a_call_far_beyond_its_deadline_is_found() {
        let by = Duration::from_millis(501);
        assert_eq!(check(&thousand(1, by)), [Violation::FarTooLate { request_id: request_id(), by }]);
    }

    #[test]
    fn nobody_is_late_on_a_machine_that_others_have() {
        let mut history = thousand(2, Duration::from_millis(501));
        history.calls.iter_mut().for_each(|call| call.machine = Share::Others);
        assert_eq!(check(&history), []);
    }

    #[test]
    fn a_call_that_was_cut_off_is_a_late_one_at_its_deadline_and_a_fault_before() {
        let mut history = thousand(0, Duration::ZERO);
        history.calls[0].answer = Answer::CutOff;
        assert_eq!(check(&history), []);
        history.calls[1].answer = Answer::CutOff;
        assert_eq!(check(&history), [Violation::OftenLate { calls: 2, of: 1000 }]);
        history.calls[1].answer = ok(1);
        history.calls[0].end = history.calls[0].start;
        assert_eq!(check(&history), [Violation::NoOutcome { request_id: request_id() }]);
    }
}
