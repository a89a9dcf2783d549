//! Callers who leave, deadlines that end in the midst, and a process that ends: what is in flight comes to its end,
//! nothing new begins, and every answer is true.

use crate::ending::LEEWAY;
use crate::raw;
use crate::rig;
use crate::rig::Gated;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::credentials::Credentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Provided;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::server::Drained;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::retry;
use prost::Message;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic::Request;
use tonic::Status;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

/// Every pause takes ten seconds at most, and half of that in the mean.
fn slow() -> retry::Config {
    let pause = Duration::from_secs(10);
    retry::Config {
        pause,
        pause_for_state: pause,
        pause_for_overload: pause,
        longest_pause: pause,
        ..hasty(5)
    }
}

fn details(status: &Status) -> (String, String, String, ErrorDetails) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    let of = |key: &str| info.metadata[key].clone();
    (info.reason.clone(), of("outcome"), of("attempts"), details)
}

async fn until_sent(rig: &Rig, creates: usize) {
    while rig.creates().len() < creates {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Row 60: in the midst of an attempt, whether the next one would follow after a pause or at once.
#[tokio::test]
async fn a_caller_who_leaves_during_an_attempt_ends_the_call_with_it() {
    for retry in [hasty(5), retry::Config { pause: Duration::ZERO, ..hasty(5) }] {
        let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
        let fault =
            Fault::reset(CutPoint::AfterCommit).stalled(StallPoint::BeforeCommit, Duration::from_millis(300));
        rig.sandbox.inject(FaultRule::new(fault).forever()).unwrap();
        let mut caller = rig.caller.clone();
        let call = tokio::spawn(async move { caller.create_volume_backup(create()).await });
        until_sent(&rig, 1).await;
        call.abort();
        while !rig.mutations.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (creates, commits) = (rig.creates().len(), rig.commits());
        assert_eq!((creates, commits), (1, 1), "the attempt ended by itself, and was the last");
    }
}

/// Row 60: what is left behind takes no longer than one attempt may.
#[tokio::test]
async fn an_attempt_whose_caller_has_left_ends_within_its_own_time() {
    let attempt_timeout = Duration::from_millis(500);
    let rig = Rig::with(Setup { attempt_timeout, retry: hasty(5), ..Setup::default() }).await;
    let began = Instant::now();
    rig.stalled(Duration::from_secs(5)).await.abort();
    while !rig.mutations.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let lasted = began.elapsed();
    assert!((attempt_timeout..attempt_timeout + LEEWAY).contains(&lasted), "{lasted:?}");
    assert_eq!(rig.creates().len(), 1, "no other follows it");
}

/// Row 60: before anything is sent, in the midst of the caller's own message.
#[tokio::test]
async fn a_caller_who_leaves_before_its_message_is_whole_makes_nothing_happen() {
    let rig = Rig::start().await;
    let message = raw::frame(&create().encode_to_vec());
    let (response, mut stream) = raw::begin(rig.server.address(), raw::CREATE_VOLUME_BACKUP, &[]).await;
    stream.send_data(message[..message.len() - 1].to_vec().into(), false).unwrap();
    stream.send_reset(h2::Reason::CANCEL);
    drop(response);
    rig.caller.clone().create_volume_backup(create()).await.expect("another caller");
    assert_eq!(rig.server.drain().await, Drained::Whole, "nothing is left of it");
    assert_eq!(rig.sandbox.ledger().commits.len(), 1, "but for the other one's");
}

/// Row 60: before anything is sent, while the credential is awaited.
#[tokio::test]
async fn a_caller_who_leaves_while_the_credential_is_awaited_makes_nothing_happen() {
    let gated = Arc::new(Gated::new());
    let credentials: Option<Arc<dyn ProvideCredentials>> = Some(Arc::clone(&gated) as _);
    let rig = Rig::with(Setup { credentials, retry: hasty(5), ..Setup::default() }).await;
    rig.sandbox.inject(FaultRule::new(Fault::reset(CutPoint::AfterCommit)).method("POST").forever()).unwrap();
    let mut caller = rig.caller.clone();
    let call = tokio::spawn(async move { caller.create_volume_backup(create()).await });
    while rig.mutations.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    call.abort();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(rig.creates().is_empty(), "nothing has been sent so far");
    gated.gate.add_permits(1);
    let opened = Instant::now();
    while !rig.mutations.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(opened.elapsed() < LEEWAY, "{:?}", opened.elapsed());
    assert!(rig.creates().is_empty(), "nobody waited for it any more");
}

/// A source that has no other credential to give, and takes its time to say so.
#[derive(Debug)]
struct NoOther(Arc<dyn ProvideCredentials>);

impl ProvideCredentials for NoOther {
    fn provide(&self) -> Provided<'_> {
        self.0.provide()
    }

    fn renew<'a>(&'a self, _refused: &'a Arc<Credentials>) -> BoxFuture<'a, Option<Arc<Credentials>>> {
        Box::pin(std::future::pending())
    }
}

/// What OCI answered is known while another credential is awaited.
#[tokio::test]
async fn a_refusal_is_told_by_the_deadline_while_another_credential_is_awaited() {
    let credentials: Option<Arc<dyn ProvideCredentials>> =
        Some(Arc::new(NoOther(rig::credentials(&rig::IDENTITY))));
    let rig = Rig::with(Setup { credentials, ..Setup::default() }).await;
    rig.break_next(Fault::status(401, "NotAuthenticated", "no"));
    let mut request = Request::new(create());
    request.set_timeout(Duration::from_secs(1));
    let began = Instant::now();
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1) + LEEWAY, "{:?}", began.elapsed());
    let (code, outcome, attempts, _) = details(&status);
    assert_eq!(
        (code.as_str(), outcome.as_str(), attempts.as_str()),
        ("DEADLINE_EXCEEDED", "NOT_STARTED", "1")
    );
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["http_status"], "401");
    assert_eq!(rig.creates().len(), 1);
}

/// Row 60: between two attempts.
#[tokio::test]
async fn a_caller_who_leaves_during_a_pause_ends_the_call_at_once() {
    let rig = Rig::with(Setup { retry: slow(), ..Setup::default() }).await;
    // No pause is short by chance.
    let fault = Fault::status(503, "ServiceUnavailable", "no").header("retry-after", "10");
    rig.sandbox.inject(FaultRule::new(fault).forever()).unwrap();
    let mut caller = rig.caller.clone();
    let call = tokio::spawn(async move { caller.create_volume_backup(create()).await });
    until_sent(&rig, 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    call.abort();
    let began = Instant::now();
    while !rig.mutations.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    assert_eq!(rig.creates().len(), 1);
}

/// How long it takes an attempt to fail.
const FAILS_AFTER: Duration = Duration::from_millis(300);

/// Within 50 ms of that failure, and some leeway for the machine.
#[track_caller]
fn assert_at_once(took: Duration) {
    let bound = FAILS_AFTER + Duration::from_millis(50) + LEEWAY;
    assert!((FAILS_AFTER..bound).contains(&took), "{took:?}");
}

/// Row 61: where the gateway's own pause would be too long.
#[tokio::test]
async fn a_pause_of_the_gateways_own_that_the_deadline_does_not_allow_is_not_begun() {
    // Jitter makes hardly any pause of these short enough.
    let pause = Duration::from_secs(1 << 30);
    let retry = retry::Config { pause, pause_for_overload: pause, longest_pause: pause, ..hasty(5) };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    for (fault, outcome) in [
        (Fault::status(503, "ServiceUnavailable", "down"), "UNKNOWN"),
        (Fault::status(500, "InternalServerError", "down"), "UNKNOWN"),
        (Fault::status(429, "TooManyRequests", "slow down"), "NOT_STARTED"),
    ] {
        let request = create();
        let fault = fault.stalled(StallPoint::BeforeCommit, FAILS_AFTER);
        rig.break_all(request.retry_token.as_ref().unwrap(), fault);
        let mut request = Request::new(request);
        request.set_timeout(Duration::from_secs(10));
        let began = Instant::now();
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        assert_at_once(began.elapsed());
        let (reason, told, attempts, details) = details(&status);
        assert_ne!(reason, "DEADLINE_EXCEEDED", "{status:?}");
        assert_eq!((told.as_str(), attempts.as_str()), (outcome, "1"), "{status:?}");
        assert!(details.retry_info().is_some(), "{status:?}");
    }
}

/// Row 61: where OCI's wish is too long.
#[tokio::test]
async fn a_pause_that_the_deadline_does_not_allow_is_not_begun() {
    let rig = Rig::start().await;
    let request = create();
    let answer = Fault::status(429, "TooManyRequests", "slow down").header("retry-after", "2");
    let answer = answer.stalled(StallPoint::BeforeCommit, FAILS_AFTER);
    rig.break_all(request.retry_token.as_ref().unwrap(), answer);
    let mut request = Request::new(request);
    request.set_timeout(Duration::from_secs(2));
    let began = Instant::now();
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    assert_at_once(began.elapsed());
    let (reason, outcome, attempts, details) = details(&status);
    assert_eq!((status.code(), reason.as_str()), (Code::ResourceExhausted, "TOO_MANY_REQUESTS"));
    assert_eq!((outcome.as_str(), attempts.as_str()), ("NOT_STARTED", "1"));
    assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_secs(2)));
}

/// Row 62, and what the last attempt said stays in the answer.
#[tokio::test]
async fn a_deadline_in_the_midst_is_met_and_the_same_call_settles_it() {
    let rig = Rig::with(Setup { retry: hasty(5), ..Setup::default() }).await;
    let message = create();
    rig.break_next(Fault::status(503, "ServiceUnavailable", "in a moment").uncommitted());
    rig.break_next(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(2)));
    let mut request = Request::new(message.clone());
    request.set_timeout(Duration::from_secs(1));
    let began = Instant::now();
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_millis(1050), "{:?}", began.elapsed());
    let (reason, outcome, attempts, details) = details(&status);
    assert_eq!((status.code(), reason.as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert_eq!((outcome.as_str(), attempts.as_str()), ("UNKNOWN", "2"));
    let last = &details.error_info().unwrap().metadata;
    assert_eq!((last["http_status"].as_str(), last["oci_code"].as_str()), ("503", "ServiceUnavailable"));
    let made = rig.caller.clone().create_volume_backup(message).await.unwrap().into_inner();
    assert_eq!(made.volume_backup.unwrap().id, rig.sandbox.ledger().commits[0].id);
    assert_eq!(rig.commits(), 1);
}

/// Row 69.
#[tokio::test]
async fn without_a_token_all_attempts_carry_the_one_that_the_gateway_made() {
    let rig = Rig::with(Setup { retry: hasty(5), ..Setup::default() }).await;
    (0..3).for_each(|_| rig.break_next(Fault::reset(CutPoint::AfterCommit)));
    let request = CreateVolumeBackupRequest { retry_token: None, ..create() };
    let made = rig.caller.clone().create_volume_backup(request).await.unwrap();
    let told = made.metadata().get("opc-retry-token").unwrap().to_str().unwrap().to_owned();
    let sent: Vec<_> = rig.creates().into_iter().map(|create| create.retry_token.unwrap()).collect();
    assert_eq!(sent, vec![told; 4]);
    assert_eq!(rig.commits(), 1);
}

/// Row 71: in the midst of a pause, and what the answer lets the caller do.
#[tokio::test]
async fn a_drain_ends_pauses_with_an_answer_that_another_replica_can_serve() {
    for retry_token in [create().retry_token, None] {
        let rig = Rig::with(Setup { retry: slow(), ..Setup::default() }).await;
        rig.sandbox.inject(FaultRule::new(Fault::reset(CutPoint::AfterCommit)).forever()).unwrap();
        let request = CreateVolumeBackupRequest { retry_token, ..create() };
        let (mut caller, own) = (rig.caller.clone(), request.retry_token.is_some());
        let call = tokio::spawn(async move { caller.create_volume_backup(request).await });
        until_sent(&rig, 1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Rig { server, sandbox, .. } = rig;
        let began = Instant::now();
        assert_eq!(server.drain().await, Drained::Whole);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let status = call.await.unwrap().unwrap_err();
        let (reason, outcome, _attempts, details) = details(&status);
        assert_eq!((reason.as_str(), outcome.as_str()), ("DRAINING", "UNKNOWN"), "{status:?}");
        let pushback: i64 =
            status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        match own {
            true => assert!(status.code() == Code::Unavailable && pushback > 0, "{status:?}"),
            false => assert!(status.code() == Code::Unknown && pushback == -1, "{status:?}"),
        }
        assert!(details.retry_info().is_some());
        assert_eq!(sandbox.ledger().commits.len(), 1);
    }
}
