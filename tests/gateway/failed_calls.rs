//! Whose fault it is that calls fail, as `/metrics` counts it: calls of each kind, each counted once where it belongs.

use crate::metrics::Page;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::credentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::Provided;
use oci_backup_gateway::oci::Sharing;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::sandbox;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::Error;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::Response;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::reqwest::Trust;
use oci_backup_gateway::transport::retry;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;
use tonic::Request;

const OCI: &str = "oci.oraclecloud.com";
const GATEWAY: &str = "oci-backup-gateway";

const OF_OCI: &str = "HTTP_400 HTTP_401 HTTP_402 HTTP_403 HTTP_404 HTTP_404_NOT_FOUND HTTP_405 HTTP_409 HTTP_412 \
    HTTP_413 HTTP_422 HTTP_429 HTTP_431 HTTP_500 HTTP_501 HTTP_502 HTTP_503 HTTP_504 _OTHER";
const OF_THE_GATEWAY: &str = "BREAKER_OPEN CANCELLED CREDENTIAL_UNAVAILABLE DEADLINE_EXCEEDED DEADLINE_TOO_SHORT DRAINING INTERNAL \
    INVALID_REQUEST MESSAGE_TOO_LARGE OVERLOADED RESPONSE_MISMATCH RETRY_TOKEN_REUSED UPSTREAM_CONNECT UPSTREAM_DNS \
    UPSTREAM_REDIRECT UPSTREAM_RESET UPSTREAM_RESPONSE_UNREADABLE UPSTREAM_TIMEOUT UPSTREAM_TLS";

/// Every series that there is.
pub(crate) fn all() -> Vec<String> {
    let series = |(domain, reasons): (&'static str, &'static str)| {
        reasons.split_whitespace().map(move |reason| failed(domain, reason))
    };
    [(OCI, OF_OCI), (GATEWAY, OF_THE_GATEWAY)].into_iter().flat_map(series).collect()
}

pub(crate) fn failed(domain: &str, reason: &str) -> String {
    format!("gateway_calls_failed_total{{domain=\"{domain}\",reason=\"{reason}\"}}")
}

/// What was counted, and how often.
async fn counted(rig: &Rig) -> BTreeMap<String, f64> {
    let Page { series, .. } = Page::of(rig.server.admin_address()).await;
    series
        .into_iter()
        .filter(|(series, count)| series.starts_with("gateway_calls_failed_total") && *count != 0.0)
        .collect()
}

fn once(domain: &str, reasons: &[&str]) -> BTreeMap<String, f64> {
    reasons.iter().map(|reason| (failed(domain, reason), 1.0)).collect()
}

async fn fails(rig: &Rig, message: impl tonic::IntoRequest<CreateVolumeBackupRequest>) {
    rig.caller.clone().create_volume_backup(message).await.unwrap_err();
}

/// Fails a create by what OCI answers it.
async fn fails_by(rig: &Rig, fault: Fault) {
    rig.break_next(fault);
    fails(rig, create()).await;
}

/// Prometheus sees how much a series has grown, and not that it has come.
#[tokio::test]
async fn whatever_may_fail_a_call_is_0_before_the_first_one() {
    let page = Page::of(Rig::start().await.server.admin_address()).await;
    let there: Vec<_> =
        page.series.iter().filter(|(series, _)| series.starts_with("gateway_calls_failed_total")).collect();
    assert_eq!(there.len(), all().len(), "{there:?}");
    for series in all() {
        assert_eq!(page.value(&series), 0.0, "{series}");
    }
}

/// OCI's codes are as many as it likes: its statuses are counted, those of the table by name. Only what OCI has no
/// operation for is told from the other 404s: that is the endpoint, and not a volume.
#[tokio::test]
async fn what_oci_answers_is_counted_by_its_status_and_not_by_its_code() {
    let rig = Rig::with(Setup { retry: hasty(1), ..Setup::default() }).await;
    let mut expected = BTreeMap::new();
    let named = [400, 401, 402, 403, 404, 405, 409, 412, 413, 422, 429, 431, 500, 501, 502, 503, 504];
    for status in named {
        fails_by(&rig, Fault::status(status, "SomethingNew", "")).await;
        expected.insert(failed(OCI, &format!("HTTP_{status}")), 1.0);
    }
    for status in [418, 505, 599, 600] {
        fails_by(&rig, Fault::status(status, "SomethingNew", "")).await;
    }
    expected.insert(failed(OCI, "_OTHER"), 4.0);
    fails_by(&rig, Fault::status(404, "NotAuthorizedOrNotFound", "")).await;
    expected.insert(failed(OCI, "HTTP_404"), 2.0);
    fails_by(&rig, Fault::status(404, "NotFound", "")).await;
    expected.insert(failed(OCI, "HTTP_404_NOT_FOUND"), 1.0);
    assert_eq!(counted(&rig).await, expected);
}

#[tokio::test]
async fn what_is_no_answer_that_can_be_used_is_counted_by_why() {
    let status = |status| Fault::answer(AnswerChange { status: Some(status), ..AnswerChange::default() });
    let attempt_timeout = Duration::from_millis(500);
    let rig = Rig::with(Setup { attempt_timeout, retry: hasty(1), ..Setup::default() }).await;
    fails_by(&rig, Fault::reset(CutPoint::AfterCommit)).await;
    fails_by(&rig, Fault::stall(StallPoint::AfterCommit, Duration::from_secs(3))).await;
    fails_by(&rig, Fault::body("text/html", "<html>hello</html>")).await;
    fails_by(&rig, status(204)).await;
    fails_by(&rig, status(302).header("location", "http://127.0.0.1:1/")).await;
    let expected = [
        "UPSTREAM_RESET",
        "UPSTREAM_TIMEOUT",
        "UPSTREAM_RESPONSE_UNREADABLE",
        "RESPONSE_MISMATCH",
        "UPSTREAM_REDIRECT",
    ];
    assert_eq!(counted(&rig).await, once(GATEWAY, &expected));
}

#[tokio::test]
async fn no_way_to_oci_is_counted_by_where_it_ends() {
    let transport = sandbox::Transport::Tls;
    let stranger = Rig::with(Setup { transport, ..Setup::default() }).await;
    let authority = stranger.sandbox.certificate_authority_pem().unwrap().as_bytes().to_vec();
    let nowhere = |endpoint: &str| Setup { endpoint: Some(endpoint.to_owned()), ..Setup::default() };
    for (setup, reason) in [
        (nowhere("http://127.0.0.1:1"), "UPSTREAM_CONNECT"),
        (Setup { transport, ..nowhere("https://no-such-host.invalid") }, "UPSTREAM_DNS"),
        (Setup { transport, trust: Some(Trust::Bundle(authority)), ..Setup::default() }, "UPSTREAM_TLS"),
    ] {
        let rig = Rig::with(Setup { retry: hasty(1), ..setup }).await;
        fails(&rig, create()).await;
        assert_eq!(counted(&rig).await, once(GATEWAY, &[reason]));
    }
}

/// What the callers do, and what there is no room for.
#[tokio::test]
async fn what_is_refused_without_oci_is_counted_by_why() {
    let mut setup = Setup { retry: hasty(1), sharing: Sharing::On, ..Setup::default() };
    setup.server.max_in_flight = 2;
    let rig = Rig::with(setup).await;
    fails(&rig, CreateVolumeBackupRequest::default()).await;
    fails(&rig, CreateVolumeBackupRequest { display_name: Some("x".repeat(70_000)), ..create() }).await;
    let mut hurried = Request::new(create());
    hurried.set_timeout(Duration::from_millis(200));
    fails(&rig, hurried).await;
    let message = create();
    rig.break_all(
        message.retry_token.as_deref().unwrap(),
        Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(4)),
    );
    let mut caller = rig.caller.clone();
    let again = message.clone();
    let first = tokio::spawn(async move { caller.create_volume_backup(again).await });
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fails(&rig, CreateVolumeBackupRequest { display_name: Some("another".to_owned()), ..message }).await;
    let second = rig.stalled(Duration::from_millis(300)).await;
    fails(&rig, create()).await;
    second.await.unwrap().unwrap();
    first.abort();
    let (series, began) = (failed(GATEWAY, "CANCELLED"), Instant::now());
    while !counted(&rig).await.contains_key(&series) && began.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let expected = [
        "INVALID_REQUEST",
        "MESSAGE_TOO_LARGE",
        "DEADLINE_TOO_SHORT",
        "RETRY_TOKEN_REUSED",
        "OVERLOADED",
        "CANCELLED",
    ];
    assert_eq!(counted(&rig).await, once(GATEWAY, &expected));
}

#[tokio::test]
async fn a_call_that_the_open_breaker_ends_is_counted_as_that() {
    let breaker = breaker::Config { attempts: 4, ..breaker::Config::default() };
    let rig = Rig::with(Setup { retry: retry::Config { breaker, ..hasty(1) }, ..Setup::default() }).await;
    for _ in 0..4 {
        fails_by(&rig, Fault::status(503, "ServiceUnavailable", "")).await;
    }
    fails(&rig, create()).await;
    let expected = [(failed(OCI, "HTTP_503"), 4.0), (failed(GATEWAY, "BREAKER_OPEN"), 1.0)];
    assert_eq!(counted(&rig).await, BTreeMap::from(expected));
}

/// OCI had failed the attempt, but who gives up is the gateway.
#[tokio::test]
async fn a_call_that_the_end_cuts_short_is_counted_as_that() {
    let long = Duration::from_secs(20);
    let retry = retry::Config { pause: long, longest_pause: long, ..hasty(5) };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    let (mut caller, message) = (rig.caller.clone(), create());
    rig.break_all(message.retry_token.as_deref().unwrap(), Fault::reset(CutPoint::AfterCommit));
    let waiting = tokio::spawn(async move { caller.create_volume_backup(message).await });
    while rig.creates().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Holds the drain, and so the page, until it has been read.
    let stalled = rig.stalled(Duration::from_millis(800)).await;
    let admin = rig.server.admin_address();
    let drain = tokio::spawn(rig.server.drain());
    waiting.await.unwrap().unwrap_err();
    let page = Page::of(admin).await;
    assert_eq!(page.value(&failed(GATEWAY, "DRAINING")), 1.0);
    assert_eq!(page.value(&failed(GATEWAY, "UPSTREAM_RESET")), 0.0);
    stalled.await.unwrap().unwrap();
    drop(rig.caller);
    drain.await.unwrap();
}

/// A source that has nothing.
#[derive(Debug)]
struct Empty;

impl ProvideCredentials for Empty {
    fn provide(&self) -> Provided<'_> {
        let cause = Arc::new(std::io::Error::other("nothing"));
        Provided::now(Err(credentials::Error::Unavailable(cause)))
    }
}

/// A fault of ours.
struct Broken;

impl HttpService for Broken {
    fn send(
        &self,
        _request: http::Request<bytes::Bytes>,
        _limits: Limits,
    ) -> BoxFuture<'_, Result<Response, Error>> {
        panic!("a fault that a test has planted")
    }
}

/// Neither is told by a code: UNAVAILABLE may be OCI's, and so may UNKNOWN, which a fault is for who has no token.
#[tokio::test]
async fn what_the_gateway_lacks_and_its_faults_are_its_own() {
    let rig = Rig::with(Setup { credentials: Some(Arc::new(Empty)), ..Setup::default() }).await;
    fails(&rig, create()).await;
    assert_eq!(counted(&rig).await, once(GATEWAY, &["CREDENTIAL_UNAVAILABLE"]));
    let rig = Rig::with(Setup { http: Some(Arc::new(Broken)), ..Setup::default() }).await;
    fails(&rig, CreateVolumeBackupRequest { retry_token: None, ..create() }).await;
    assert_eq!(counted(&rig).await, once(GATEWAY, &["INTERNAL"]));
}
