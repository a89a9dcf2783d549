//! The error table of the contract, row by row over the wire.

use crate::raw;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Framing;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::sandbox::Transport;
use oci_backup_gateway::sandbox::Wire;
use oci_backup_gateway::transport::reqwest::Trust;
use serde_json::json;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::Code;
use tonic::Status;
use tonic_types::ErrorDetails;
use tonic_types::StatusExt;

const OCI: &str = "oci.oraclecloud.com";
const GATEWAY: &str = "oci-backup-gateway";

/// What a caller with a token of its own is told.
struct Row {
    name: &'static str,
    fault: Fault,
    code: Code,
    domain: &'static str,
    reason: &'static str,
    outcome: &'static str,
    details: &'static [Detail],
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Detail {
    RetryInfo,
    Quota,
    Resource,
}
use Detail::Quota;
use Detail::Resource;
use Detail::RetryInfo;

const NONE: &[Detail] = &[];

/// Time for some attempts, where only the deadline ends them.
const A_WHILE: Duration = Duration::from_millis(700);
const LONG: Duration = Duration::from_secs(10);

impl Row {
    /// The table's last column, with two attempts at most where the deadline does not decide. What is worth trying
    /// again is tried again here first.
    fn attempts(&self) -> RangeInclusive<usize> {
        match (self.waits_for_a_state(), self.details.contains(&RetryInfo)) {
            (true, _) => 3..=usize::MAX,
            (false, true) => 2..=2,
            (false, false) => 1..=1,
        }
    }

    fn waits_for_a_state(&self) -> bool {
        self.code == Code::Aborted && self.details.contains(&RetryInfo)
    }
}

/// A row of OCI's errors: status, code → gRPC code, reason, details. Nothing was made unless it is a 5xx.
fn oci(
    status: u16,
    oci_code: &'static str,
    code: Code,
    reason: &'static str,
    details: &'static [Detail],
) -> Row {
    let outcome = if status >= 500 && status != 501 { "UNKNOWN" } else { "NOT_STARTED" };
    let fault = Fault::status(status, oci_code, "OCI's own words");
    Row { name: oci_code, fault, code, domain: OCI, reason, outcome, details }
}

fn gateway(
    name: &'static str,
    fault: Fault,
    code: Code,
    reason: &'static str,
    outcome: &'static str,
    details: &'static [Detail],
) -> Row {
    Row { name, fault, code, domain: GATEWAY, reason, outcome, details }
}

/// An answer without a word of OCI's, as proxies and load balancers send.
fn bare(
    name: &'static str,
    status: u16,
    code: Code,
    reason: &'static str,
    details: &'static [Detail],
) -> Row {
    let html = AnswerChange {
        status: Some(status),
        content_type: Some("text/html".to_owned()),
        body: Some("<html>secret of the proxy</html>".to_owned()),
        ..AnswerChange::default()
    };
    Row { name, fault: Fault::answer(html), ..oci(status, "", code, reason, details) }
}

fn status(status: u16) -> Fault {
    Fault::answer(AnswerChange { status: Some(status), ..AnswerChange::default() })
}

fn table() -> Vec<Row> {
    of_oci().into_iter().chain(of_the_gateway()).collect()
}

#[rustfmt::skip]
fn of_oci() -> Vec<Row> {
    use Code::*;
    vec![
        oci(400, "CannotParseRequest", InvalidArgument, "CANNOT_PARSE_REQUEST", NONE),
        oci(400, "InvalidParameter", InvalidArgument, "INVALID_PARAMETER", NONE),
        oci(400, "MissingParameter", InvalidArgument, "MISSING_PARAMETER", NONE),
        oci(404, "InvalidParameter", InvalidArgument, "INVALID_PARAMETER", NONE),
        oci(413, "PayloadTooLarge", InvalidArgument, "PAYLOAD_TOO_LARGE", NONE),
        oci(422, "UnprocessableEntity", InvalidArgument, "UNPROCESSABLE_ENTITY", NONE),
        oci(431, "RequestHeaderFieldsTooLarge", InvalidArgument, "REQUEST_HEADER_FIELDS_TOO_LARGE", NONE),
        oci(400, "LimitExceeded", ResourceExhausted, "LIMIT_EXCEEDED", &[Quota]),
        oci(400, "QuotaExceeded", ResourceExhausted, "QUOTA_EXCEEDED", &[Quota]),
        oci(400, "RelatedResourceNotAuthorizedOrNotFound", NotFound, "RELATED_RESOURCE_NOT_AUTHORIZED_OR_NOT_FOUND", &[Resource]),
        oci(404, "NotAuthorizedOrNotFound", NotFound, "NOT_AUTHORIZED_OR_NOT_FOUND", &[Resource]),
        oci(400, "SomethingNew", InvalidArgument, "SOMETHING_NEW", NONE),
        bare("400 of a proxy", 400, InvalidArgument, "HTTP_400", NONE),
        oci(401, "NotAuthenticated", Unauthenticated, "NOT_AUTHENTICATED", NONE),
        bare("401 of a proxy", 401, Unauthenticated, "HTTP_401", NONE),
        oci(402, "SignUpRequired", PermissionDenied, "SIGN_UP_REQUIRED", NONE),
        oci(403, "NotAuthorized", PermissionDenied, "NOT_AUTHORIZED", NONE),
        oci(404, "NotFound", Unimplemented, "NOT_FOUND", NONE),
        oci(405, "MethodNotAllowed", Unimplemented, "METHOD_NOT_ALLOWED", NONE),
        oci(501, "MethodNotImplemented", Unimplemented, "METHOD_NOT_IMPLEMENTED", NONE),
        oci(404, "NamespaceNotFound", NotFound, "NAMESPACE_NOT_FOUND", NONE),
        bare("404 of a proxy", 404, NotFound, "HTTP_404", NONE),
        oci(409, "IncorrectState", Aborted, "INCORRECT_STATE", &[RetryInfo]),
        oci(409, "LockConflict", Aborted, "LOCK_CONFLICT", &[RetryInfo]),
        oci(409, "Conflict", Aborted, "CONFLICT", &[RetryInfo]),
        oci(409, "ExternalServerIncorrectState", Aborted, "EXTERNAL_SERVER_INCORRECT_STATE", &[RetryInfo]),
        oci(409, "InvalidatedRetryToken", FailedPrecondition, "INVALIDATED_RETRY_TOKEN", NONE),
        oci(409, "ResourceLocked", FailedPrecondition, "RESOURCE_LOCKED", NONE),
        oci(409, "NotAuthorizedOrResourceAlreadyExists", AlreadyExists, "NOT_AUTHORIZED_OR_RESOURCE_ALREADY_EXISTS", NONE),
        oci(409, "ResourceAlreadyExists", AlreadyExists, "RESOURCE_ALREADY_EXISTS", NONE),
        oci(409, "SomethingNew", Aborted, "SOMETHING_NEW", NONE),
        oci(412, "NoEtagMatch", Aborted, "NO_ETAG_MATCH", NONE),
        oci(429, "TooManyRequests", ResourceExhausted, "TOO_MANY_REQUESTS", &[RetryInfo]),
        oci(500, "InternalServerError", Unavailable, "INTERNAL_SERVER_ERROR", &[RetryInfo]),
        bare("502 of a proxy", 502, Unavailable, "HTTP_502", &[RetryInfo]),
        oci(503, "ServiceUnavailable", Unavailable, "SERVICE_UNAVAILABLE", &[RetryInfo]),
        oci(504, "GatewayTimeout", Unavailable, "GATEWAY_TIMEOUT", &[RetryInfo]),
        oci(599, "Unheard", Unavailable, "UNHEARD", &[RetryInfo]),
        oci(418, "Teapot", Unknown, "TEAPOT", NONE),
        oci(600, "Beyond", Unknown, "BEYOND", NONE),
        oci(400, "not a code, no", InvalidArgument, "HTTP_400", NONE),
    ]
}

#[rustfmt::skip]
fn of_the_gateway() -> Vec<Row> {
    use Code::*;
    vec![
        gateway("reset before the commit", Fault::reset(CutPoint::BeforeCommit), Unavailable, "UPSTREAM_RESET", "UNKNOWN", &[RetryInfo]),
        gateway("reset after the commit", Fault::reset(CutPoint::AfterCommit), Unavailable, "UPSTREAM_RESET", "UNKNOWN", &[RetryInfo]),
        gateway("hung up without an answer", Fault::hang_up(CutPoint::AfterCommit), Unavailable, "UPSTREAM_RESET", "UNKNOWN", &[RetryInfo]),
        gateway("no answer in time", Fault::stall(StallPoint::AfterCommit, Duration::from_secs(3)), Unavailable, "UPSTREAM_TIMEOUT", "UNKNOWN", &[RetryInfo]),
        gateway("200 with HTML", Fault::body("text/html", "<html>hello</html>"), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 with half a JSON", Fault::body("application/json", "{\"id\": \"ocid1."), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 with a list", Fault::body("application/json", "[1]"), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 with nothing", Fault::body("application/json", ""), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 cut short by length", Fault::wire(Wire::Truncate { framing: Framing::ContentLength }), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 cut short in a chunk", Fault::wire(Wire::Truncate { framing: Framing::Chunked }), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 cut short without a length", Fault::wire(Wire::Truncate { framing: Framing::Close }), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 that is far too long", Fault::wire(Wire::GiantBody { bytes: 1 << 20 }), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "UNKNOWN", &[RetryInfo]),
        gateway("200 without an id", Fault::patch(json!({"id": null})), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "STARTED", &[RetryInfo]),
        gateway("200 with a field of the wrong type", Fault::patch(json!({"sizeInGBs": "many"})), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "STARTED", &[RetryInfo]),
        gateway("200 with a time that is none", Fault::patch(json!({"timeCreated": "yesterday"})), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "STARTED", &[RetryInfo]),
        gateway("200 with an empty id", Fault::patch(json!({"id": ""})), Unknown, "UPSTREAM_RESPONSE_UNREADABLE", "STARTED", &[RetryInfo]),
        gateway("204 for a create", status(204), Unknown, "RESPONSE_MISMATCH", "UNKNOWN", NONE),
        gateway("200 for another volume", Fault::patch(json!({"volumeId": "ocid1.volume.oc1.iad.other"})), Unknown, "RESPONSE_MISMATCH", "UNKNOWN", NONE),
        gateway("302", status(302).header("location", "http://127.0.0.1:1/"), Internal, "UPSTREAM_REDIRECT", "NOT_STARTED", NONE),
        gateway("307", status(307).header("location", "http://127.0.0.1:1/"), Internal, "UPSTREAM_REDIRECT", "NOT_STARTED", NONE),
    ]
}

#[tokio::test]
async fn every_row_of_the_error_table_holds_over_the_wire() {
    let attempt_timeout = Duration::from_millis(500);
    let rig = Rig::with(Setup { attempt_timeout, retry: hasty(2), ..Setup::default() }).await;
    for row in table() {
        let name = format!("{} {}", row.name, row.reason);
        let before = rig.creates().len();
        let mut request = tonic::Request::new(create());
        let (token, volume) =
            (request.get_ref().retry_token.clone().unwrap(), request.get_ref().volume_id.clone());
        rig.break_all(&token, row.fault.clone());
        request.set_timeout(if row.waits_for_a_state() { A_WHILE } else { LONG });
        let status = rig.caller.clone().create_volume_backup(request).await.expect_err(&name);
        assert_eq!(status.code(), row.code, "{name}: {status:?}");
        let attempts = rig.creates().len() - before;
        assert!(row.attempts().contains(&attempts), "{name}: {attempts} attempts");
        let details = status.get_error_details();
        check_info(&name, &row, &details, attempts);
        check_details(&name, &row, &details, &volume);
        assert_eq!(text(&status, "opc-retry-token"), token, "{name}");
        assert_eq!(text(&status, "grpc-retry-pushback-ms"), "-1", "{name}");
        assert_eq!(details.request_info().unwrap().request_id, text(&status, "opc-request-id"), "{name}");
        assert!(size(&status) <= 4096, "{name}: {} bytes", size(&status));
        assert!(!status.message().contains("secret of the proxy"), "{name}: {}", status.message());
        if row.domain == OCI && !row.reason.starts_with("HTTP_") {
            assert!(status.message().contains("OCI's own words"), "{name}: {}", status.message());
        }
    }
}

fn check_info(name: &str, row: &Row, details: &ErrorDetails, attempts: usize) {
    let info = details.error_info().expect(name);
    assert_eq!((info.domain.as_str(), info.reason.as_str()), (row.domain, row.reason), "{name}");
    let metadata = |key: &str| info.metadata.get(key).map_or("", String::as_str);
    assert_eq!(metadata("operation"), "CreateVolumeBackup", "{name}");
    assert_eq!(metadata("region"), "us-ashburn-1", "{name}");
    assert_eq!(metadata("attempts"), attempts.to_string(), "{name}");
    assert_eq!(metadata("outcome"), row.outcome, "{name}");
    if row.domain == OCI {
        let status = row.fault.answer.as_ref().and_then(|answer| answer.status).unwrap().to_string();
        assert_eq!(metadata("http_status"), status, "{name}");
        let code = row.fault.answer.as_ref().and_then(|answer| answer.code.clone()).unwrap_or_default();
        assert_eq!(metadata("oci_code"), code, "{name}");
    }
}

fn check_details(name: &str, row: &Row, details: &ErrorDetails, volume: &str) {
    assert_eq!(details.retry_info().is_some(), row.details.contains(&RetryInfo), "{name}");
    assert_eq!(details.quota_failure().is_some(), row.details.contains(&Quota), "{name}");
    assert_eq!(details.resource_info().is_some(), row.details.contains(&Resource), "{name}");
    if let Some(resource) = details.resource_info() {
        assert_eq!((resource.resource_type.as_str(), resource.resource_name.as_str()), ("volume", volume));
    }
}

fn text(status: &Status, key: &str) -> String {
    status.metadata().get(key).unwrap_or_else(|| panic!("no {key}")).to_str().unwrap().to_owned()
}

/// What the status takes on the wire, headers' own names included.
fn size(status: &Status) -> usize {
    let mut headers = http::HeaderMap::new();
    status.add_header(&mut headers).unwrap();
    headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

#[tokio::test]
async fn without_a_token_of_its_own_a_caller_is_told_to_settle_what_may_exist() {
    let attempt_timeout = Duration::from_millis(500);
    let rig = Rig::with(Setup { attempt_timeout, retry: hasty(1), ..Setup::default() }).await;
    for row in table() {
        let name = format!("{} {}", row.name, row.reason);
        rig.sandbox.inject(FaultRule::new(row.fault.clone()).forever()).unwrap();
        let mut request = tonic::Request::new(CreateVolumeBackupRequest { retry_token: None, ..create() });
        request.set_timeout(if row.waits_for_a_state() { A_WHILE } else { LONG });
        let status = rig.caller.clone().create_volume_backup(request).await.expect_err(&name);
        let code = if row.outcome == "NOT_STARTED" { row.code } else { Code::Unknown };
        assert_eq!(status.code(), code, "{name}");
        assert_eq!(text(&status, "grpc-retry-pushback-ms"), "-1", "{name}");
        let sent = rig.creates().last().unwrap().retry_token.clone().unwrap();
        assert_eq!(text(&status, "opc-retry-token"), sent, "{name}");
        rig.sandbox.clear_faults();
    }
}

#[tokio::test]
async fn where_nothing_was_sent_anybody_may_try_again() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, reason) in [
        (format!("http://{free}"), "UPSTREAM_CONNECT"),
        ("https://no-such-host.invalid".to_owned(), "UPSTREAM_DNS"),
    ] {
        let trust = endpoint.starts_with("http:").then_some(Trust::Plaintext);
        let rig = Rig::with(Setup { endpoint: Some(endpoint), trust, ..Setup::default() }).await;
        for retry_token in [None, create().retry_token] {
            let request = CreateVolumeBackupRequest { retry_token, ..create() };
            let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
            assert_eq!(status.code(), Code::Unavailable, "{reason}: {status:?}");
            let details = status.get_error_details();
            let info = details.error_info().unwrap();
            assert_eq!((info.domain.as_str(), info.reason.as_str()), (GATEWAY, reason));
            assert_eq!(info.metadata["outcome"], "NOT_STARTED");
            assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
            assert!(text(&status, "grpc-retry-pushback-ms").parse::<u32>().unwrap() > 0);
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_a_matter_of_configuration() {
    let stranger = Rig::with(Setup { transport: Transport::Tls, ..Setup::default() }).await;
    let authority = stranger.sandbox.certificate_authority_pem().unwrap().as_bytes().to_vec();
    let rig = Rig::with(Setup {
        transport: Transport::Tls,
        trust: Some(Trust::Bundle(authority)),
        ..Setup::default()
    })
    .await;
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.metadata["outcome"].as_str()), ("UPSTREAM_TLS", "NOT_STARTED"));
    assert!(details.retry_info().is_none());
    assert_eq!(text(&status, "grpc-retry-pushback-ms"), "-1");
    // And with the right authority both sides agree.
    assert!(stranger.caller.clone().create_volume_backup(create()).await.is_ok());
}

#[tokio::test]
async fn a_refused_credential_is_the_operators_affair_and_the_message_says_so() {
    let someone = Identity::generate().unwrap();
    let rig = Rig::with(Setup { identity: someone, ..Setup::default() }).await;
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("gateway's own credential"), "{}", status.message());
    assert_eq!(rig.creates().len(), 1, "the clock is right: signing again would change nothing");
}

#[tokio::test]
async fn not_found_says_that_oci_does_not_tell_and_names_a_foreign_region() {
    let rig = Rig::start().await;
    let request = |volume_id: &str| CreateVolumeBackupRequest { volume_id: volume_id.to_owned(), ..create() };
    let message = async |id: &str| {
        let status = rig.caller.clone().create_volume_backup(request(id)).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
        status.message().to_owned()
    };
    let here = message("ocid1.volume.oc1.iad.missing").await;
    assert!(here.contains("not allowed") && !here.contains("its region"), "{here}");
    let there = message("ocid1.volume.oc1.phx.missing").await;
    assert!(there.contains("its region is us-phoenix-1"), "{there}");
}

#[tokio::test]
async fn a_gateway_that_does_not_know_its_region_calls_no_volume_foreign() {
    let rig = Rig::with(Setup { region: String::new(), ..Setup::default() }).await;
    let request =
        CreateVolumeBackupRequest { volume_id: "ocid1.volume.oc1.phx.missing".to_owned(), ..create() };
    let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(!status.message().contains("its region"), "{}", status.message());
}

#[tokio::test]
async fn a_retry_after_of_ocis_reaches_the_application() {
    let rig = Rig::start().await;
    rig.break_next(Fault::status(429, "TooManyRequests", "slow down").header("retry-after", "3600"));
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    let delay = status.get_error_details().retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(delay, Duration::from_secs(3600));
}

#[tokio::test]
async fn the_longest_errors_fit_and_are_cut_between_characters() {
    let rig = Rig::start().await;
    let code = "L".to_owned() + &"o".repeat(500);
    for unit in ["ä→🦀 ", " ", "\"", "%", "a", "<>"] {
        let long = unit.repeat(2000);
        rig.break_next(Fault::status(409, &code, &long).header("opc-request-id", &"r".repeat(250)));
        let mut request = create();
        request.volume_id = format!("ocid1.volume.oc1.iad.{}", "v".repeat(230));
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        assert!(size(&status) <= 4096, "{unit:?}: {} bytes", size(&status));
        assert!(status.message().contains(unit.trim()), "{unit:?}: {}", status.message());
        assert!(status.get_error_details().error_info().is_some());
    }
    let path = format!("/ocibackup.v1.BackupService/{}", "A".repeat(8000));
    let answer = raw::call(rig.server.address(), &path, &[], raw::frame(&[])).await;
    assert_eq!(answer.status.code(), Code::Unimplemented);
    let whole: usize = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    assert!(whole <= 4200, "{whole} bytes");
}

/// A TLS server that reads a whole request and then breaks the session.
async fn broken_after_the_request(listener: TcpListener, acceptor: TlsAcceptor) {
    let (stream, _peer) = listener.accept().await.unwrap();
    let mut session = acceptor.accept(stream).await.unwrap();
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = session.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..count]);
    }
    session.into_inner().0.write_all(b"no record of TLS at all, whatever the version\r\n").await.unwrap();
}

#[tokio::test]
async fn a_tls_fault_after_the_request_is_no_failure_to_send() {
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(broken_after_the_request(listener, TlsAcceptor::from(Arc::new(config))));
    let trust = Some(Trust::Bundle(certificate.pem().into_bytes()));
    let setup = Setup { endpoint: Some(endpoint), trust, retry: hasty(1), ..Setup::default() };
    let rig = Rig::with(setup).await;
    let status = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    let info = status.get_error_details().error_info().unwrap().clone();
    assert_eq!((info.reason.as_str(), info.metadata["outcome"].as_str()), ("UPSTREAM_RESET", "UNKNOWN"));
}

#[tokio::test]
async fn a_time_without_end_is_a_time_and_one_that_nobody_can_say_is_absent() {
    let rig = Rig::start().await;
    for (time, seconds) in
        [("9999-12-31T23:59:59Z", Some(253_402_300_799)), ("-000100-01-01T00:00:00Z", None)]
    {
        rig.break_next(Fault::patch(json!({"timeRetentionExpiresAt": time})));
        let answer = rig.caller.clone().create_volume_backup(create()).await.unwrap().into_inner();
        let expires = answer.volume_backup.unwrap().time_retention_expires_at;
        assert_eq!(expires.map(|time| time.seconds), seconds, "{time}");
    }
}

#[tokio::test]
async fn tags_nested_beyond_what_protobuf_can_say_arrive_as_text() {
    let rig = Rig::start().await;
    let nested = (0..60).fold(json!(1), |inner, _| json!({ "k": inner }));
    rig.break_next(Fault::patch(json!({"definedTags": {"space": {"key": nested}}})));
    let answer = rig.caller.clone().create_volume_backup(create()).await.unwrap().into_inner();
    assert_eq!(answer.volume_backup.unwrap().defined_tags["space"].fields.len(), 1);
}

#[tokio::test]
async fn an_answer_with_surprises_is_an_answer() {
    let rig = Rig::start().await;
    rig.break_next(Fault::patch(json!({
        "lifecycleState": "TURNED_INTO_A_PUMPKIN", "type": "DIFFERENTIAL", "sourceType": "DREAMT",
        "kmsKeyId": null, "sizeInGBs": "50", "uniqueSizeInGBs": 0, "sizeInMBs": null,
        "timeCreated": "1969-12-31T23:59:59.250Z", "expirationTime": null, "brandNew": {"a": [1]},
        "freeformTags": null, "retentionPeriod": {"retentionTimeUnit": "EONS", "retentionTimeAmount": 3},
    })));
    let answer = rig.caller.clone().create_volume_backup(create()).await.unwrap().into_inner();
    let backup = answer.volume_backup.unwrap();
    use oci_backup_gateway::pb;
    assert_eq!(backup.lifecycle_state(), pb::LifecycleState::UnknownValue);
    assert_eq!(backup.r#type(), pb::BackupType::UnknownValue);
    assert_eq!(backup.source_type(), pb::SourceType::UnknownValue);
    assert_eq!(backup.size_in_gbs, Some(50));
    assert_eq!(backup.unique_size_in_gbs, Some(0), "zero is not absent");
    assert_eq!((backup.kms_key_id, backup.expiration_time), (None, None), "null is absent");
    let created = backup.time_created.unwrap();
    assert_eq!((created.seconds, created.nanos), (-1, 250_000_000), "before 1970, nanoseconds count forward");
    let retention = backup.retention_period.unwrap();
    assert_eq!(retention.retention_time_unit(), pb::RetentionTimeUnit::UnknownValue);
    assert_eq!(retention.retention_time_amount, Some(3));
}
