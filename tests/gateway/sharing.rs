//! Calls that come together with one token: one backup, and each caller's own answer.

use crate::rig::Created;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::caller;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::oci::Sharing;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::transport::retry;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic_types::StatusExt;

async fn sharing(sharing: Sharing) -> Rig {
    Rig::with(Setup { sharing, retry: hasty(5), ..Setup::default() }).await
}

fn call(rig: &Rig, request: &CreateVolumeBackupRequest, timeout: Duration) -> JoinHandle<Created> {
    let mut caller = rig.caller.clone();
    let mut request = tonic::Request::new(request.clone());
    request.set_timeout(timeout);
    tokio::spawn(async move { caller.create_volume_backup(request).await })
}

fn id(created: Created) -> String {
    created.unwrap().into_inner().volume_backup.unwrap().id
}

async fn until_sent(rig: &Rig) {
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const LONG: Duration = Duration::from_secs(10);

/// Row 64.
#[tokio::test]
async fn a_hundred_callers_with_one_token_get_one_backup_by_one_request() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(500));
    rig.break_all(request.retry_token.as_ref().unwrap(), stall);
    let calls: Vec<_> = (0..100).map(|_| call(&rig, &request, LONG)).collect();
    let mut ids = BTreeSet::new();
    for call in calls {
        ids.insert(id(call.await.unwrap()));
    }
    assert_eq!((ids.len(), rig.commits(), rig.creates().len()), (1, 1, 1));
}

/// Row 64, where nothing but the token keeps the backup from being made twice, as between replicas.
#[tokio::test]
async fn callers_with_one_token_get_one_backup_without_sharing_too() {
    let rig = sharing(Sharing::Off).await;
    let request = create();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let calls: Vec<_> = (0..20).map(|_| call(&rig, &request, LONG)).collect();
    let mut ids = BTreeSet::new();
    for call in calls {
        ids.insert(id(call.await.unwrap()));
    }
    assert_eq!((ids.len(), rig.commits()), (1, 1));
    assert!(rig.creates().len() >= 20, "each asked for itself");
}

/// Row 65.
#[tokio::test]
async fn callers_of_different_replicas_with_one_token_get_one_backup() {
    let rig = sharing(Sharing::On).await;
    let replicas = [rig.replica(Sharing::On).await, rig.replica(Sharing::On).await];
    let request = create();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let began = Instant::now();
    let mut calls = vec![call(&rig, &request, LONG)];
    until_sent(&rig).await;
    for replica in &replicas {
        let mut caller = caller(replica.address()).await;
        let mut request = tonic::Request::new(request.clone());
        request.set_timeout(LONG);
        calls.push(tokio::spawn(async move { caller.create_volume_backup(request).await }));
    }
    let mut ids = BTreeSet::new();
    for call in calls {
        ids.insert(id(call.await.unwrap()));
    }
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    assert_eq!((ids.len(), rig.commits()), (1, 1));
}

/// Row 66.
#[tokio::test]
async fn another_request_under_a_token_in_use_is_refused() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let first = call(&rig, &request, LONG);
    until_sent(&rig).await;
    let other = CreateVolumeBackupRequest { display_name: Some("another".to_owned()), ..request };
    let refused = call(&rig, &other, LONG).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let info = refused.get_error_details().error_info().unwrap().clone();
    assert_eq!(info.reason, "RETRY_TOKEN_REUSED");
    assert_eq!((info.metadata["outcome"].as_str(), info.metadata["attempts"].as_str()), ("NOT_STARTED", "0"));
    assert_eq!(refused.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    first.await.unwrap().unwrap();
    // Where the gateway does not know any more, OCI answers.
    let refused = call(&rig, &other, LONG).await.unwrap().unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    assert_eq!(rig.commits(), 1);
}

/// Row 68.
#[tokio::test]
async fn the_first_caller_may_leave_and_the_others_still_get_their_backup() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    let down = Fault::status(503, "ServiceUnavailable", "in a moment").uncommitted();
    rig.break_next(down.stalled(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let first = call(&rig, &request, LONG);
    until_sent(&rig).await;
    let other = call(&rig, &request, LONG);
    tokio::time::sleep(Duration::from_millis(100)).await;
    first.abort();
    let made = id(other.await.unwrap());
    assert_eq!((rig.commits(), rig.sandbox.ledger().commits[0].id.as_str()), (1, made.as_str()));
}

#[tokio::test]
async fn each_caller_has_its_own_deadline() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(900)));
    let began = Instant::now();
    let patient = call(&rig, &request, LONG);
    until_sent(&rig).await;
    let hasty = call(&rig, &request, Duration::from_millis(500)).await.unwrap().unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(800), "{:?}", began.elapsed());
    let info = hasty.get_error_details().error_info().unwrap().clone();
    assert_eq!((hasty.code(), info.metadata["outcome"].as_str()), (Code::DeadlineExceeded, "UNKNOWN"));
    let made = id(patient.await.unwrap());
    assert_eq!(id(call(&rig, &request, LONG).await.unwrap()), made, "the same call settles it");
    assert_eq!(rig.commits(), 1);
}

/// A caller who comes while an attempt of somebody who left is in flight gets that attempt's backup.
#[tokio::test]
async fn an_abandoned_attempt_is_taken_over() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    rig.break_next(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(400)));
    let first = call(&rig, &request, LONG);
    until_sent(&rig).await;
    first.abort();
    tokio::time::sleep(Duration::from_millis(100)).await;
    id(call(&rig, &request, LONG).await.unwrap());
    assert_eq!((rig.commits(), rig.creates().len()), (1, 1));
}

/// All who share hear the same failure, and a later call is a new one.
#[tokio::test]
async fn a_shared_failure_is_everybodys_and_ends_the_sharing() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    let token = request.retry_token.clone().unwrap();
    let fault =
        Fault::reset(CutPoint::AfterCommit).stalled(StallPoint::AfterCommit, Duration::from_millis(50));
    rig.sandbox.inject(FaultRule::new(fault).retry_token(&token).times(5)).unwrap();
    let calls: Vec<_> = (0..3).map(|_| call(&rig, &request, LONG)).collect();
    let mut failures = 0;
    for call in calls {
        let status = call.await.unwrap().unwrap_err();
        let info = status.get_error_details().error_info().unwrap().clone();
        assert_eq!((info.reason.as_str(), info.metadata["outcome"].as_str()), ("UPSTREAM_RESET", "UNKNOWN"));
        assert_eq!(info.metadata["attempts"], "5");
        failures += 1;
    }
    assert_eq!((failures, rig.creates().len()), (3, 5));
    id(call(&rig, &request, LONG).await.unwrap());
    assert_eq!(rig.commits(), 1);
}

/// Row 61, where a more patient caller has left: nobody pauses for one who is gone.
#[tokio::test]
async fn a_deadline_of_somebody_who_left_counts_no_more() {
    let rig = sharing(Sharing::On).await;
    let request = create();
    let waits = Fault::status(429, "TooManyRequests", "slow down").header("retry-after", "3");
    rig.break_next(waits.stalled(StallPoint::BeforeCommit, Duration::from_millis(300)));
    let patient = call(&rig, &request, LONG);
    until_sent(&rig).await;
    let began = Instant::now();
    let hasty = call(&rig, &request, Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(100)).await;
    patient.abort();
    let status = hasty.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

/// A caller whose time is up is not told that nothing was made while others make it go on.
#[tokio::test]
async fn who_is_left_behind_is_not_told_that_nothing_was_made() {
    let pause = Duration::from_secs(2);
    let retry = retry::Config { pause_for_state: pause, longest_pause: pause, ..hasty(5) };
    let rig = Rig::with(Setup { sharing: Sharing::On, retry, ..Setup::default() }).await;
    let request = create();
    let waits = Fault::status(409, "IncorrectState", "in a moment").header("retry-after", "1");
    rig.break_next(waits);
    let patient = call(&rig, &request, LONG);
    until_sent(&rig).await;
    let hasty = call(&rig, &request, Duration::from_millis(600)).await.unwrap().unwrap_err();
    let info = hasty.get_error_details().error_info().unwrap().clone();
    assert_eq!((hasty.code(), info.metadata["outcome"].as_str()), (Code::DeadlineExceeded, "UNKNOWN"));
    id(patient.await.unwrap());
    assert_eq!(rig.commits(), 1);
}
