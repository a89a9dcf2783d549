//! The caller's deadline bounds the answer; nothing cuts off a create that is on its way.

use crate::raw;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::clock;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server;
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic::Request;
use tonic_types::StatusExt;

fn within<T>(message: T, grpc_timeout: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-timeout", grpc_timeout.parse().unwrap());
    request
}

#[tokio::test]
async fn a_deadline_is_answered_in_time_and_the_create_ends_by_itself() {
    let rig = Rig::start().await;
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(1500)));
    let began = Instant::now();
    let message = create();
    let token = message.retry_token.clone().unwrap();
    let status = rig.caller.clone().create_volume_backup(within(message.clone(), "700m")).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(700), "{:?}", began.elapsed());
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!((info.reason.as_str(), info.metadata["outcome"].as_str()), ("DEADLINE_EXCEEDED", "UNKNOWN"));
    assert_eq!(status.metadata().get("opc-retry-token").unwrap(), token.as_str());
    assert_eq!(rig.sandbox.ledger().commits.len(), 0, "OCI has not even begun");
    rig.mutations.end();
    rig.mutations.ended().await;
    assert_eq!(rig.sandbox.ledger().commits_per_token[&token], 1);
    let again = rig.caller.clone().create_volume_backup(message).await.unwrap().into_inner();
    assert_eq!(again.volume_backup.unwrap().id, rig.sandbox.ledger().commits[0].id);
}

#[tokio::test]
async fn a_caller_who_leaves_cuts_off_nothing() {
    let rig = Rig::start().await;
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(500)));
    let mut caller = rig.caller.clone();
    let call = tokio::spawn(async move { caller.create_volume_backup(create()).await });
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call.abort();
    rig.mutations.end();
    rig.mutations.ended().await;
    assert_eq!(rig.sandbox.ledger().commits.len(), 1);
}

#[tokio::test]
async fn an_attempt_has_its_own_bound() {
    let attempt_timeout = Duration::from_millis(300);
    let rig = Rig::with(Setup { attempt_timeout, retry: hasty(1), ..Setup::default() }).await;
    rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(5)));
    let began = Instant::now();
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "UPSTREAM_TIMEOUT");
}

#[tokio::test]
async fn what_is_left_decides_whether_an_attempt_may_start() {
    let rig = Rig::start().await;
    let message = raw::frame(&create().encode_to_vec());
    for timeout in ["0m", "1n", "50m", "250m"] {
        let headers = [("grpc-timeout", timeout)];
        let answer =
            raw::call(rig.server.address(), raw::CREATE_VOLUME_BACKUP, &headers, message.clone()).await;
        assert_eq!(answer.status.code(), Code::DeadlineExceeded, "{timeout}: {answer:?}");
        assert!(answer.headers.contains_key("opc-request-id"), "{timeout}");
        let info = answer.status.get_error_details().error_info().unwrap().clone();
        assert_eq!(info.metadata["outcome"], "NOT_STARTED", "{timeout}");
    }
    assert!(rig.creates().is_empty());
    assert!(rig.caller.clone().create_volume_backup(within(create(), "5S")).await.is_ok());
}

#[tokio::test]
async fn a_malformed_timeout_is_refused_and_an_endless_one_is_cut() {
    let time = Duration::from_secs(1);
    let deadlines = server::deadline::Config { default: time, max: time, message: time };
    let server = server::Config { deadlines, ..Setup::default().server };
    let rig = Rig::with(Setup { server, ..Setup::default() }).await;
    for timeout in ["5", "S", "5s", "-5S", "123456789S", "5 S"] {
        let status = rig.caller.clone().create_volume_backup(within(create(), timeout)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{timeout}: {status:?}");
        assert!(status.message().contains("grpc-timeout"), "{}", status.message());
    }
    for request in [within(create(), "99999999H"), Request::new(create())] {
        rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(3)));
        let began = Instant::now();
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded);
        assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_put_right_by_ocis_date_once() {
    let ten_minutes = Duration::from_secs(600);
    let rig = Rig::with(Setup { sandbox_now: clock(ten_minutes), ..Setup::default() }).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut caller = rig.caller.clone();
        calls.spawn(async move { caller.create_volume_backup(create()).await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert!((rig.clock.offset_ms() + 600_000).abs() < 2_000, "{}", rig.clock.offset_ms());
    let before = rig.creates().len();
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
    assert_eq!(rig.creates().len(), before + 1, "from then on the date is right");
    assert_eq!(rig.sandbox.ledger().commits.len(), 9);
}

/// Both clocks go on by six minutes with every attempt, and OCI takes no date that is older than five.
#[tokio::test]
async fn attempts_differ_by_their_date_alone() {
    let (attempts, system) = (Arc::new(AtomicU32::new(0)), Clock::system());
    let after = move |attempts: u32| system.now() + Duration::from_secs(360) * attempts;
    let sandbox_now = {
        let (attempts, after) = (Arc::clone(&attempts), after.clone());
        Arc::new(move || after(attempts.load(Ordering::Relaxed)))
    };
    let clock = Clock::with_source(Arc::new(move || after(attempts.fetch_add(1, Ordering::Relaxed) + 1)));
    let rig = Rig::with(Setup { clock, sandbox_now, retry: hasty(5), ..Setup::default() }).await;
    (0..2).for_each(|_| rig.break_next(Fault::reset(CutPoint::BeforeCommit)));
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
    let creates = rig.creates();
    assert!(creates.iter().all(|create| create.refusal.is_none()), "{creates:?}");
    let dates: BTreeSet<_> = creates.iter().map(|create| &create.date).collect();
    let rest: BTreeSet<_> = creates
        .iter()
        .map(|create| (&create.path, &create.retry_token, &create.opc_request_id, &create.body_sha256))
        .collect();
    assert_eq!((dates.len(), rest.len()), (3, 1), "{creates:?}");
}

#[tokio::test]
async fn an_unbelievable_date_corrects_nothing() {
    let rig = Rig::start().await;
    for date in ["Fri, 01 Jan 2099 00:00:00 GMT", "yesterday", ""] {
        rig.break_next(Fault::status(401, "NotAuthenticated", "no").header("date", date));
        let before = rig.creates().len();
        let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{date:?}");
        assert_eq!(rig.creates().len(), before + 1, "{date:?}: one attempt");
        assert_eq!(rig.clock.offset_ms(), 0, "{date:?}");
    }
}
