//! Answers of OCI, and of what stands in its place, that are errors, nonsense, or far too much.

use crate::ending::Ending;
use crate::ending::LEEWAY;
use crate::ending::pushback;
use crate::ending::within;
use crate::logs;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Framing;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::sandbox::Wire;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::budget;
use oci_backup_gateway::transport::retry;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::Status;
use tonic::transport::Channel;

const SECOND: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(100);

fn throttled(retry_after: &str) -> Fault {
    Fault::status(429, "TooManyRequests", "slow down").header("retry-after", retry_after)
}

fn incorrect_state() -> Fault {
    Fault::status(409, "IncorrectState", "not yet")
}

/// A gzip of 64 KiB of spaces.
const GZIP_BOMB: &str = "H4sIAAAAAAACA+3BgQAAAACAIJX9KRepCgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAGqUGSy0AAABAA==";

/// Answers that are bad once, and how many attempts they cost.
fn bad_answers() -> Vec<(&'static str, Fault, usize)> {
    let error = |status| Fault::status(status, "InternalError", "try again");
    let wire = Fault::wire;
    let cut = Wire::Truncate { framing: Framing::ContentLength };
    let no_id = AnswerChange { remove: vec!["id".to_owned()], ..AnswerChange::default() };
    let gzip = AnswerChange { body_base64: Some(GZIP_BOMB.to_owned()), ..AnswerChange::default() };
    vec![
        // Rows 20 and 21.
        ("500, made", error(500).committed(), 2),
        ("500, not made", error(500), 2),
        ("502, made", error(502).committed(), 2),
        ("504, made", error(504).committed(), 2),
        // Row 38.
        ("a page", Fault::body("text/html", "<html>Please sign in to the proxy</html>"), 2),
        // Row 39.
        ("no JSON", Fault::body("application/json", "{\"id\": oops}"), 2),
        ("cut short by length", wire(Wire::Truncate { framing: Framing::ContentLength }), 2),
        ("cut short in a chunk", wire(Wire::Truncate { framing: Framing::Chunked }), 2),
        ("cut short without a length", wire(Wire::Truncate { framing: Framing::Close }), 2),
        ("hung up in the midst", Fault::hang_up(CutPoint::MidAnswer), 2),
        ("a conflict whose code is cut off", Fault { wire: Some(cut), ..incorrect_state() }, 2),
        // Row 41.
        ("no id", Fault::answer(no_id), 2),
        // Row 44.
        ("1,000 x 100 Continue", wire(Wire::Interim { count: 1000 }), 1),
        ("90 headers more", wire(Wire::BulkyHead { headers: 90, bytes: 10 }), 1),
        ("500 headers more", wire(Wire::BulkyHead { headers: 500, bytes: 10 }), 2),
        ("a header of 2 MB", wire(Wire::BulkyHead { headers: 1, bytes: 2 << 20 }), 2),
        ("two lengths", wire(Wire::TwoLengths {}), 2),
        // Row 45.
        ("512 MiB", wire(Wire::GiantBody { bytes: 512 << 20 }), 2),
        ("256 KiB", wire(Wire::GiantBody { bytes: 256 << 10 }), 1),
        ("256 KiB and a byte", wire(Wire::GiantBody { bytes: (256 << 10) + 1 }), 2),
        ("a bomb", Fault::answer(gzip).header("content-encoding", "gzip"), 2),
        ("100,000 lists", Fault::body("application/json", &"[".repeat(100_000)), 2),
        ("20,000 objects", Fault::body("application/json", &"{\"id\":".repeat(20_000)), 2),
    ]
}

/// Rows 20, 21, 38, 39, 41, 44 and 45.
#[tokio::test]
async fn an_answer_that_is_bad_once_is_asked_for_again_and_nothing_is_made_twice() {
    let rig = Rig::start().await;
    for (name, fault, attempts) in bad_answers() {
        rig.break_next(fault);
        let ending = rig.create().await;
        rig.assert_once(name, &ending, SECOND);
        assert_eq!(rig.attempts(&ending.token), attempts, "{name}");
    }
}

/// Row 40.
#[tokio::test]
async fn json_under_another_name_is_taken_and_logged() {
    let rig = Rig::start().await;
    for (content_type, is_logged) in [
        ("text/plain", true),
        ("", true),
        ("application/json; charset=utf-8", false),
        ("Application/JSON", false),
    ] {
        let change = AnswerChange { content_type: Some(content_type.to_owned()), ..AnswerChange::default() };
        rig.break_next(Fault::answer(change));
        let ending = rig.create().await;
        rig.assert_once(content_type, &ending, SECOND);
        assert_eq!(rig.attempts(&ending.token), 1, "{content_type}");
        let answer = ending.ended.unwrap();
        let id = answer.metadata().get("opc-request-id").unwrap().to_str().unwrap();
        let lines = logs::lines("an answer of OCI's came under another type than JSON's", id);
        assert_eq!(lines.len(), usize::from(is_logged), "{content_type}: {lines:?}");
    }
}

/// Row 22: the end is told, and whoever calls again when OCI is well gets the one backup.
#[tokio::test]
async fn errors_without_end_are_told_and_the_same_call_settles_what_they_left() {
    let rig = Rig::with(Setup { retry: hasty(3), ..Setup::default() }).await;
    for status in [500, 502, 503, 504] {
        let fault = Fault::status(status, "Down", "down");
        for (fault, made) in [(fault.clone(), 0), (fault.committed(), 1)] {
            let message = create();
            let token = message.retry_token.clone().unwrap();
            rig.break_all(&token, fault);
            let ending = rig.carry_out(message.clone()).await;
            assert_eq!((ending.status().code(), ending.pushback()), (Code::Unavailable, -1), "{status}");
            assert_eq!((ending.info("outcome"), ending.info("attempts")), ("UNKNOWN".into(), "3".into()));
            assert!(ending.retry_delay().is_some(), "{status}");
            assert_eq!((rig.attempts(&token), rig.made(&token).len()), (3, made), "{status}");
            rig.sandbox.clear_faults();
            rig.assert_once("settled", &rig.carry_out(message).await, SECOND);
        }
    }
}

/// Row 22: with pauses as they are, and a deadline that ends them.
#[tokio::test]
async fn errors_without_end_are_told_by_the_deadline() {
    let deadline = SECOND;
    let wide = hasty(u32::MAX);
    let retry = retry::Config {
        attempts: wide.attempts,
        budget: wide.budget,
        breaker: wide.breaker,
        ..retry::Config::default()
    };
    let rig = Rig::with(Setup { retry, server: within(deadline), ..Setup::default() }).await;
    let call = async |status: u16| {
        let message = create();
        let token = message.retry_token.clone().unwrap();
        rig.break_all(&token, Fault::status(status, "Down", "down"));
        (status, rig.carry_out(message).await)
    };
    let (a, b, c, d) = tokio::join!(call(500), call(502), call(503), call(504));
    for (status, ending) in [a, b, c, d] {
        rig.assert_none("down", &ending, Code::Unavailable, &ending.info("reason"));
        assert!(ending.took <= deadline, "{status}: {ending:?}");
        assert_ne!(ending.info("reason"), "DEADLINE_EXCEEDED", "{status}");
    }
}

/// Rows 17 and 18.
#[tokio::test]
async fn a_wish_of_ocis_to_wait_is_followed_if_time_allows_and_nonsense_is_no_wish() {
    let retry = retry::Config { pause_for_overload: MOMENT, ..retry::Config::default() };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    let far = ["3600", "99999999", "Tue, 01 Jan 2999 00:00:00 GMT"];
    let near = ["1"];
    let nonsense =
        ["Sat, 01 Jan 2000 00:00:00 GMT", "-1", "0", "soon", "1e30", "99999999999999999999999", ""];
    let call = async |wish: &'static str| {
        let message = create();
        let rule = FaultRule::new(throttled(wish)).retry_token(message.retry_token.as_deref().unwrap());
        rig.sandbox.inject(rule).unwrap();
        rig.carry_out(message).await
    };
    for wish in far {
        let ending = call(wish).await;
        rig.assert_none(wish, &ending, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
        assert!(ending.took < LEEWAY, "{wish}: {ending:?}");
        assert_eq!((rig.attempts(&ending.token), ending.pushback()), (1, -1), "{wish}");
        let delay = ending.retry_delay().unwrap();
        assert!((3600 * SECOND..=86_400 * SECOND).contains(&delay), "{wish}: {delay:?}");
    }
    for wish in near.into_iter().chain(nonsense) {
        let ending = call(wish).await;
        rig.assert_once(wish, &ending, if wish == "1" { 3 * SECOND } else { 2 * MOMENT });
        assert_eq!(rig.attempts(&ending.token), 2, "{wish}");
        assert!(wish != "1" || ending.took >= SECOND, "{wish}: {ending:?}");
    }
}

/// Row 19: each call is told so, and all of them together repeat no more than the budget pays for.
#[tokio::test(flavor = "multi_thread")]
async fn throttling_without_end_is_told_and_the_budget_bounds_what_is_repeated() {
    const CALLS: usize = 60;
    let retry = retry::Config { budget: budget::Config::default(), ..hasty(5) };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    rig.sandbox.inject(FaultRule::new(Fault::status(429, "TooManyRequests", "no")).forever()).unwrap();
    let calls = (0..CALLS).map(|_| {
        let mut caller = rig.caller.clone();
        async move { caller.create_volume_backup(create()).await.unwrap_err() }
    });
    let began = Instant::now();
    for status in calls.collect::<JoinSet<Status>>().join_all().await {
        assert_eq!((status.code(), pushback(&status)), (Code::ResourceExhausted, -1), "{status:?}");
    }
    assert!(began.elapsed() < 3 * SECOND, "{:?}", began.elapsed());
    let paid = budget::Config::default();
    let retries = usize::try_from(paid.capacity / paid.retry).unwrap();
    assert_eq!((rig.creates().len(), rig.commits()), (CALLS + retries, 0));
}

/// Row 30.
#[tokio::test]
async fn a_state_that_changes_is_waited_for() {
    let rig = Rig::start().await;
    for name in ["IncorrectState", "LockConflict", "Conflict", "ExternalServerIncorrectState"] {
        rig.break_next(Fault::status(409, name, "not yet"));
        let ending = rig.create().await;
        rig.assert_once(name, &ending, SECOND);
        assert_eq!(rig.attempts(&ending.token), 2, "{name}");
    }
}

/// Rows 31 and 33.
#[tokio::test]
async fn a_state_that_does_not_change_is_told_before_the_deadline() {
    let deadline = Duration::from_millis(1500);
    let rig = Rig::with(Setup { server: within(deadline), ..Setup::default() }).await;
    for (fault, reason) in
        [(incorrect_state(), "INCORRECT_STATE"), (Fault::status(409, "Conflict", "one runs"), "CONFLICT")]
    {
        let message = create();
        rig.break_all(message.retry_token.as_deref().unwrap(), fault);
        let ending = rig.carry_out(message).await;
        rig.assert_none(reason, &ending, Code::Aborted, reason);
        assert_eq!((ending.info("outcome"), ending.pushback()), ("NOT_STARTED".into(), -1), "{reason}");
        assert!(ending.retry_delay().is_some() && ending.took < deadline, "{reason}: {ending:?}");
        assert!((2..=8).contains(&rig.attempts(&ending.token)), "{reason}");
    }
}

/// Row 33: OCI makes one backup of a volume at a time, and the second call waits for its turn.
#[tokio::test]
async fn a_second_backup_of_a_volume_waits_for_the_first() {
    let rig = Rig::start().await;
    let first = create();
    let second = CreateVolumeBackupRequest { volume_id: first.volume_id.clone(), ..create() };
    rig.assert_once("the first", &rig.carry_out(first).await, SECOND);
    let ending = rig.carry_out(second).await;
    rig.assert_once("the second", &ending, 2 * SECOND);
    assert!(rig.attempts(&ending.token) >= 2);
}

/// Row 32: two replicas, one token. The second meets the first's request in OCI, waits, and gets its backup.
#[tokio::test]
async fn a_call_whose_token_another_replica_has_in_flight_gets_the_same_backup() {
    let rig = Rig::start().await;
    let replica = Rig::with(Setup { endpoint: Some(rig.sandbox.endpoint()), ..Setup::default() }).await;
    let message = create();
    let pause = Duration::from_millis(400);
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, pause));
    let later = async {
        while rig.creates().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        replica.carry_out(message.clone()).await
    };
    let (here, there) = tokio::join!(rig.carry_out(message.clone()), later);
    rig.assert_once("here", &here, pause + MOMENT);
    rig.assert_once("there", &there, 5 * SECOND);
    let met = rig.creates().iter().filter(|attempt| attempt.status == Some(409)).count();
    assert!(met >= 1 && rig.creates().len() == met + 2, "{:?}", rig.creates());
}

/// Row 34: what is in progress may be our own.
#[tokio::test]
async fn a_conflict_after_an_attempt_of_unknown_end_is_waited_out() {
    let rig = Rig::start().await;
    for first in [Fault::reset(CutPoint::AfterCommit), Fault::status(500, "InternalError", "?").committed()] {
        rig.break_next(first);
        rig.break_next(Fault::status(409, "Conflict", "a backup is in progress"));
        let ending = rig.create().await;
        rig.assert_once("a conflict", &ending, 2 * SECOND);
        assert_eq!(rig.attempts(&ending.token), 3);
    }
}

/// Row 35: never another attempt, and never another token.
#[tokio::test]
async fn an_invalidated_token_is_the_end_and_no_other_takes_its_place() {
    let rig = Rig::start().await;
    let invalid = || Fault::status(409, "InvalidatedRetryToken", "gone");
    let own = || create().retry_token;
    for (name, before, retry_token, outcome) in [
        ("at once", None, own(), "NOT_STARTED"),
        ("after a reset", Some(Fault::reset(CutPoint::AfterCommit)), own(), "UNKNOWN"),
        ("without a token of the caller's", None, None, "NOT_STARTED"),
    ] {
        let (seen, faults) = (rig.creates().len(), before.into_iter().chain([invalid()]));
        let attempts = faults.map(|fault| rig.break_next(fault)).count();
        let ending = rig.carry_out(CreateVolumeBackupRequest { retry_token, ..create() }).await;
        assert_eq!((ending.status().code(), ending.pushback()), (Code::FailedPrecondition, -1), "{name}");
        assert_eq!((ending.info("outcome"), ending.retry_delay()), (outcome.into(), None), "{name}");
        let sent = rig.creates().split_off(seen);
        assert_eq!(sent.len(), attempts, "{name}");
        assert!(sent.iter().all(|attempt| attempt.retry_token == sent[0].retry_token), "{name}: {sent:?}");
        assert!(ending.took < SECOND + LEEWAY, "{name}: {ending:?}");
    }
}

/// Row 37: a signed request goes nowhere else.
#[tokio::test]
async fn a_redirect_is_told_and_its_target_hears_nothing() {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/20160918/volumeBackups", target.local_addr().unwrap());
    let rig = Rig::start().await;
    for status in [300, 301, 302, 303, 305, 307, 308] {
        let redirect = AnswerChange { status: Some(status), ..AnswerChange::default() };
        rig.break_next(Fault::answer(redirect).header("location", &location));
        let ending = rig.create().await;
        rig.assert_none("a redirect", &ending, Code::Internal, "UPSTREAM_REDIRECT");
        assert_eq!((rig.attempts(&ending.token), ending.pushback()), (1, -1), "{status}");
    }
    let called = tokio::time::timeout(Duration::from_millis(50), target.accept()).await;
    assert!(called.is_err(), "{called:?}");
}

/// A caller whose library makes four attempts, as gRPC's own do: it waits as long as it is told, if it has the time,
/// and makes no other where it is told that there is no use.
async fn stubborn(mut caller: BackupServiceClient<Channel>) -> (usize, Ending) {
    let (message, began, patience) = (create(), Instant::now(), 10 * SECOND);
    let token = message.retry_token.clone().unwrap();
    let mut calls = 0;
    loop {
        let ended = caller.create_volume_backup(message.clone()).await;
        let ending = Ending { token: token.clone(), ended, took: began.elapsed() };
        calls += 1;
        let pause = u64::try_from(ending.pushback()).map(Duration::from_millis);
        match pause {
            Ok(pause) if calls < 4 && ending.took + pause < patience => tokio::time::sleep(pause).await,
            _ => return (calls, ending),
        }
    }
}

/// Rows 23 and 70, in small: 100 callers a second, each of them with retries of its own, and an OCI that fails all of
/// them. With the default budget and breaker, and by the budget alone.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_reaches_oci_as_hardly_more_requests_than_there_are_calls() {
    const CALLS: usize = 400;
    let no_breaker = breaker::Config { attempts: u32::MAX, ..breaker::Config::default() };
    let by_budget = retry::Config { breaker: no_breaker, ..retry::Config::default() };
    let storms = [("both", retry::Config::default(), CALLS / 4), ("the budget", by_budget, CALLS * 11 / 10)];
    let storms = storms.map(|(name, retry, most)| async move {
        let rig = Rig::with(Setup { retry, server: within(10 * SECOND), ..Setup::default() }).await;
        rig.sandbox.inject(FaultRule::new(Fault::status(503, "Down", "down")).forever()).unwrap();
        let mut calls = JoinSet::new();
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..CALLS {
            beat.tick().await;
            calls.spawn(stubborn(rig.caller.clone()));
        }
        let ended = calls.join_all().await;
        assert!(ended.iter().all(|(calls, _)| *calls == 1), "{name}: nobody is invited to add to it");
        assert!(ended.iter().all(|(_, ending)| ending.status().code() == Code::Unavailable), "{name}");
        assert!(ended.iter().all(|(_, ending)| ending.took < 10 * SECOND), "{name}");
        let paused =
            ended.iter().filter(|(_, ending)| !["0", "1"].contains(&&*ending.info("attempts"))).count();
        assert!(paused <= 20, "{name}: {paused} calls paused, all others were told at once");
        let sent = rig.creates().len();
        assert!((20..=most).contains(&sent), "{name}: {sent} requests");
        assert_eq!(rig.commits(), 0, "{name}");
        println!("{name}: {CALLS} calls, {sent} requests, {paused} calls with more than one attempt");
        rig
    });
    let [both, by_budget] = storms;
    let (_both, rig) = tokio::join!(both, by_budget);
    rig.sandbox.clear_faults();
    rig.assert_once("when it is over", &rig.create().await, SECOND);
}
