//! What `/metrics` says: every series by its name, type and labels, after calls that are known.

use crate::failed_calls;
use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::create_boot;
use crate::rig::hasty;
use oci_backup_gateway::oci::Sharing;
use oci_backup_gateway::pb;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::budget;
use oci_backup_gateway::transport::retry;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tonic::Code;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

/// A page that was read.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    /// Families and their types.
    types: BTreeMap<String, String>,
    /// Series with their labels, and their values.
    pub(crate) series: BTreeMap<String, f64>,
}

impl Page {
    pub(crate) async fn of(admin: SocketAddr) -> Self {
        let (status, _headers, text) = rig::page(admin, "/metrics").await;
        assert_eq!(status, "HTTP/1.1 200 OK", "{text}");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let series = series.map(|line| line.rsplit_once(' ').unwrap());
        Self {
            types: types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect(),
            series: series.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect(),
            text,
        }
    }

    /// The value of a series that is there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        *self.series.get(series).unwrap_or_else(|| panic!("{series} is not in {}", self.text))
    }

    /// Every series but the buckets, with what differs from run to run taken out.
    fn shape(&self) -> BTreeSet<String> {
        let port = |text: &str| match text.split_once("server_port=\"") {
            None => text.to_owned(),
            Some((before, rest)) => format!("{before}server_port=\"PORT{}", &rest[rest.find('"').unwrap()..]),
        };
        let build = |text: String| match text.split_once('{') {
            Some(("gateway_build_info", _)) => "gateway_build_info".to_owned(),
            _ => text,
        };
        let bare = self.series.keys().filter(|series| !series.contains("_bucket{"));
        bare.map(|series| build(port(series))).collect()
    }
}

async fn page(rig: &Rig) -> Page {
    Page::of(rig.server.admin_address()).await
}

fn calls(method: &str, code: &str) -> String {
    let method = format!("rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"");
    let error = match code {
        "UNAVAILABLE" | "UNIMPLEMENTED" | "UNKNOWN" => format!("error_type=\"{code}\","),
        _ => String::new(),
    };
    format!("rpc_server_call_duration_seconds_count{{{error}{method},rpc_system_name=\"grpc\"}}")
}

const CREATE: &str = "ocibackup.v1.BackupService/CreateVolumeBackup";

/// A call of what is no RPC.
async fn call_nothing(rig: &Rig, path: &'static str) {
    let mut caller = Grpc::new(rig::channel(rig.server.address()).await);
    caller.ready().await.unwrap();
    let codec = ProstCodec::<pb::CreateVolumeBackupRequest, pb::CreateVolumeBackupResponse>::default();
    let path = http::uri::PathAndQuery::from_static(path);
    let status = caller.unary(tonic::Request::new(create()), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

/// Every family, but those of a credential that expires.
const TYPES: [(&str, &str); 27] = [
    ("gateway_build_info", "gauge"),
    ("gateway_calls_failed_total", "counter"),
    ("gateway_calls_in_flight", "gauge"),
    ("gateway_calls_limit", "gauge"),
    ("gateway_calls_shed_total", "counter"),
    ("gateway_calls_total", "counter"),
    ("gateway_clock_offset_seconds", "gauge"),
    ("gateway_connections", "gauge"),
    ("gateway_connections_limit", "gauge"),
    ("gateway_connections_refused_total", "counter"),
    ("gateway_credential_refresh_failures_total", "counter"),
    ("gateway_credential_refused", "gauge"),
    ("gateway_draining", "gauge"),
    ("gateway_log_lines_dropped_total", "counter"),
    ("gateway_mutations_in_flight", "gauge"),
    ("gateway_panics_total", "counter"),
    ("gateway_ready", "gauge"),
    ("gateway_signing_duration_seconds", "histogram"),
    ("gateway_signing_wait_duration_seconds", "histogram"),
    ("gateway_upstream_attempts", "histogram"),
    ("gateway_upstream_breaker_refusals_total", "counter"),
    ("gateway_upstream_breaker_state", "gauge"),
    ("gateway_upstream_retries_refused_total", "counter"),
    ("gateway_upstream_retries_total", "counter"),
    ("gateway_upstream_retry_budget", "gauge"),
    ("http_client_request_duration_seconds", "histogram"),
    ("rpc_server_call_duration_seconds", "histogram"),
];

/// One call of each kind.
async fn known_calls() -> Rig {
    let rig = Rig::with(Setup { retry: hasty(5), sharing: Sharing::On, ..Setup::default() }).await;
    let mut caller = rig.caller.clone();
    caller.create_volume_backup(create()).await.unwrap();
    caller.create_boot_volume_backup(create_boot()).await.unwrap();
    rig.break_next(Fault::status(429, "TooManyRequests", "slow down"));
    caller.create_volume_backup(create()).await.unwrap();
    rig.break_next(Fault::status(404, "NotAuthorizedOrNotFound", "none"));
    assert_eq!(caller.create_volume_backup(create()).await.unwrap_err().code(), Code::NotFound);
    let empty = pb::CreateVolumeBackupRequest::default();
    assert_eq!(caller.create_volume_backup(empty).await.unwrap_err().code(), Code::InvalidArgument);
    call_nothing(&rig, "/made.up.Service/ByACaller").await;
    rig
}

/// The series that they make.
fn series_of_known_calls() -> BTreeSet<String> {
    // Those that have labels or buckets follow.
    let labelled =
        ["gateway_calls_failed_total", "gateway_upstream_breaker_state", "gateway_upstream_retries_total"];
    let bare = TYPES.iter().filter(|(name, kind)| *kind != "histogram" && !labelled.contains(name));
    let mut shape: BTreeSet<String> = bare.map(|(name, _)| (*name).to_owned()).collect();
    let mut add = |series: &str| assert!(shape.insert(series.to_owned()), "{series}");
    failed_calls::all().iter().for_each(|series| add(series));
    add("gateway_upstream_retries_total{reason=\"throttled\"}");
    for state in ["closed", "open", "half_open"] {
        add(&format!("gateway_upstream_breaker_state{{state=\"{state}\"}}"));
    }
    let mut histogram = |name: &str, labels: &str| {
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        add(&format!("{name}_sum{labels}"));
        add(&format!("{name}_count{labels}"));
    };
    histogram("gateway_signing_duration_seconds", "");
    histogram("gateway_signing_wait_duration_seconds", "");
    for operation in ["CreateVolumeBackup", "CreateBootVolumeBackup"] {
        histogram("gateway_upstream_attempts", &format!("gateway_operation=\"{operation}\""));
    }
    let request = |error: &str, operation: &str, status: u16| {
        format!(
            "{error}gateway_operation=\"{operation}\",http_request_method=\"POST\",\
            http_response_status_code=\"{status}\",server_address=\"127.0.0.1\",server_port=\"PORT\""
        )
    };
    for labels in [
        request("", "CreateVolumeBackup", 200),
        request("", "CreateBootVolumeBackup", 200),
        request("error_type=\"404\",", "CreateVolumeBackup", 404),
        request("error_type=\"429\",", "CreateVolumeBackup", 429),
    ] {
        histogram("http_client_request_duration_seconds", &labels);
    }
    let boot = "ocibackup.v1.BackupService/CreateBootVolumeBackup";
    for (method, code) in [
        (CREATE, "OK"),
        (CREATE, "NOT_FOUND"),
        (CREATE, "INVALID_ARGUMENT"),
        (boot, "OK"),
        ("_OTHER", "UNIMPLEMENTED"),
    ] {
        add(&calls(method, code));
        add(&calls(method, code).replace("_count{", "_sum{"));
    }
    shape
}

/// A series of its own for each label that a call can have; and nothing that is not in the table.
#[tokio::test]
async fn every_series_has_its_name_its_type_and_its_labels() {
    let page = page(&known_calls().await).await;
    let types = page.types.iter().map(|(name, kind)| (name.as_str(), kind.as_str()));
    assert_eq!(types.collect::<Vec<_>>(), TYPES);
    assert_eq!(page.shape(), series_of_known_calls());
    for (series, value) in [
        (calls(CREATE, "OK").as_str(), 2.0),
        (&calls(CREATE, "NOT_FOUND"), 1.0),
        (&calls("_OTHER", "UNIMPLEMENTED"), 1.0),
        ("gateway_calls_total", 5.0),
        (&failed_calls::failed("oci.oraclecloud.com", "HTTP_404"), 1.0),
        // Of the RPC; what is no RPC is nobody's failure.
        (&failed_calls::failed("oci-backup-gateway", "INVALID_REQUEST"), 1.0),
        ("gateway_upstream_attempts_count{gateway_operation=\"CreateVolumeBackup\"}", 3.0),
        ("gateway_upstream_attempts_sum{gateway_operation=\"CreateVolumeBackup\"}", 4.0),
        ("gateway_upstream_attempts_bucket{gateway_operation=\"CreateVolumeBackup\",le=\"1\"}", 2.0),
        ("gateway_upstream_retries_total{reason=\"throttled\"}", 1.0),
        ("gateway_signing_duration_seconds_count", 5.0),
        ("gateway_signing_wait_duration_seconds_count", 5.0),
        ("gateway_calls_limit", 1024.0),
        ("gateway_calls_in_flight", 0.0),
        ("gateway_upstream_breaker_state{state=\"closed\"}", 1.0),
        ("gateway_upstream_breaker_state{state=\"open\"}", 0.0),
    ] {
        assert_eq!(page.value(series), value, "{series}");
    }
}

/// Durations are in seconds, and boundaries tell quick from slow: a signature among signatures, a call among calls.
#[tokio::test]
async fn durations_are_in_seconds_with_boundaries_that_tell_them_apart() {
    let rig = Rig::start().await;
    rig.stalled(Duration::from_millis(300)).await.await.unwrap().unwrap();
    let page = page(&rig).await;
    let sum = page.value(&calls(CREATE, "OK").replace("_count{", "_sum{"));
    assert!((0.3..5.0).contains(&sum), "{sum}");
    let request =
        page.series.iter().find(|(series, _)| series.starts_with("http_client_request_duration_seconds_sum"));
    assert!((0.3..=sum).contains(request.unwrap().1), "{request:?}");
    let signing = page.value("gateway_signing_duration_seconds_sum");
    assert!((0.00005..0.2).contains(&signing), "{signing}");
    let boundaries = |family: &str| {
        let buckets = page.text.lines().filter(|line| line.starts_with(&format!("{family}_bucket{{")));
        let bounds =
            buckets.map(|line| line.split_once("le=\"").unwrap().1.split_once('"').unwrap().0.to_owned());
        bounds.collect::<Vec<_>>().join(" ")
    };
    let calls = "0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10 +Inf";
    assert_eq!(boundaries("rpc_server_call_duration_seconds"), calls);
    assert_eq!(boundaries("http_client_request_duration_seconds"), calls);
    let signing = "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 +Inf";
    assert_eq!(boundaries("gateway_signing_duration_seconds"), signing);
    assert_eq!(boundaries("gateway_signing_wait_duration_seconds"), signing);
    assert_eq!(boundaries("gateway_upstream_attempts"), "0 1 2 3 4 5 10 20 +Inf");
}

/// Whatever callers send, and whatever OCI answers, no label is made of it.
#[tokio::test]
async fn no_label_has_anything_of_a_callers_or_an_ocid() {
    let rig = Rig::with(Setup { retry: hasty(2), ..Setup::default() }).await;
    let mut caller = rig.caller.clone();
    let mut named = create();
    named.display_name = Some("a-canary".to_owned());
    let (volume, token) = (named.volume_id.clone(), named.retry_token.clone().unwrap());
    let answer = caller.create_volume_backup(named.clone()).await.unwrap();
    let request_id = answer.metadata().get("opc-request-id").unwrap().to_str().unwrap().to_owned();
    rig.sandbox
        .inject(FaultRule::new(Fault::status(400, "a-canary-code", "a-canary")).method("POST"))
        .unwrap();
    caller.create_volume_backup(create()).await.unwrap_err();
    call_nothing(&rig, "/a-canary.Service/Call").await;
    let text = page(&rig).await.text;
    for secret in ["ocid1.", "canary", &volume, &token, &request_id] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(text.lines().count() > 100, "{text}");
}

#[tokio::test]
async fn calls_in_flight_are_seen_and_those_too_many_are_counted() {
    let mut setup = Setup::default();
    setup.server.max_in_flight = 1;
    let rig = Rig::with(setup).await;
    let stalled = rig.stalled(Duration::from_millis(500)).await;
    let refused = rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let page = page(&rig).await;
    for (series, value) in [
        ("gateway_calls_in_flight", 1.0),
        ("gateway_calls_limit", 1.0),
        ("gateway_calls_shed_total", 1.0),
        ("gateway_mutations_in_flight", 1.0),
        (&calls(CREATE, "RESOURCE_EXHAUSTED"), 1.0),
    ] {
        assert_eq!(page.value(series), value, "{series}");
    }
    stalled.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_caller_who_leaves_is_counted_as_one() {
    let rig = Rig::start().await;
    let stalled = rig.stalled(Duration::from_millis(300)).await;
    stalled.abort();
    let series = calls(CREATE, "CANCELLED");
    while !page(&rig).await.series.contains_key(&series) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_budget_and_the_breaker_say_how_much_is_left_and_whom_they_refused() {
    let retry = retry::Config {
        budget: budget::Config { capacity: 20, ..budget::Config::default() },
        breaker: breaker::Config { attempts: 4, ..breaker::Config::default() },
        ..hasty(5)
    };
    let rig = Rig::with(Setup { retry, ..Setup::default() }).await;
    assert_eq!(page(&rig).await.value("gateway_upstream_retry_budget"), 20.0);
    rig.sandbox.inject(FaultRule::new(Fault::status(500, "InternalError", "down")).forever()).unwrap();
    for _ in 0..4 {
        rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    }
    let page = page(&rig).await;
    // The first call pays 14 for its second attempt; there is not as much left for a third, nor for another call's second.
    for (series, value) in [
        ("gateway_upstream_retries_total{reason=\"ambiguous\"}", 1.0),
        ("gateway_upstream_retries_refused_total", 3.0),
        ("gateway_upstream_retry_budget", 6.0),
        ("gateway_upstream_breaker_state{state=\"open\"}", 1.0),
        ("gateway_upstream_breaker_state{state=\"closed\"}", 0.0),
        ("gateway_upstream_breaker_state{state=\"half_open\"}", 0.0),
        ("gateway_upstream_breaker_refusals_total", 1.0),
        ("gateway_upstream_attempts_bucket{gateway_operation=\"CreateVolumeBackup\",le=\"0\"}", 1.0),
        (&calls(CREATE, "UNAVAILABLE"), 4.0),
    ] {
        assert_eq!(page.value(series), value, "{series}");
    }
}

/// What is no answer has a word instead of a status.
#[tokio::test]
async fn requests_that_had_no_answer_are_told_apart() {
    for (endpoint, error) in [("http://127.0.0.1:1", "connect"), ("http://localhost:1", "connect")] {
        let endpoint = Some(endpoint.to_owned());
        let rig = Rig::with(Setup { endpoint, retry: hasty(1), ..Setup::default() }).await;
        rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
        let page = page(&rig).await;
        let found =
            page.series.keys().find(|it| it.starts_with("http_client_request_duration_seconds_count{"));
        let found = found.unwrap();
        assert!(found.contains(&format!("{{error_type=\"{error}\",")), "{found}");
        assert!(!found.contains("status_code") && found.contains("server_port=\"1\""), "{found}");
    }
    for (fault, error) in [
        (Fault::body("application/json", "[]"), "error_type=\"unusable_answer\""),
        (Fault::reset(CutPoint::AfterCommit), "error_type=\"reset\""),
    ] {
        let rig = Rig::with(Setup { retry: hasty(1), ..Setup::default() }).await;
        rig.break_next(fault);
        rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
        let page = page(&rig).await;
        assert!(page.text.contains(error), "{error}: {}", page.text);
    }
}

#[tokio::test]
async fn readiness_and_the_drain_are_shown() {
    let rig = Rig::start().await;
    while page(&rig).await.value("gateway_ready") != 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let admin = rig.server.admin_address();
    let stalled = rig.stalled(Duration::from_millis(800)).await;
    let drain = tokio::spawn(rig.server.drain());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let page = Page::of(admin).await;
    for (series, value) in
        [("gateway_ready", 0.0), ("gateway_draining", 1.0), ("gateway_mutations_in_flight", 1.0)]
    {
        assert_eq!(page.value(series), value, "{series}");
    }
    stalled.await.unwrap().unwrap();
    drop(rig.caller);
    drain.await.unwrap();
}

/// OCI's clock, as far as the gateway had to correct its own.
#[tokio::test]
async fn the_clocks_offset_is_shown() {
    let behind = Duration::from_secs(3600);
    let rig = Rig::with(Setup { sandbox_now: rig::clock(behind), ..Setup::default() }).await;
    rig.caller.clone().create_volume_backup(create()).await.unwrap();
    let offset = page(&rig).await.value("gateway_clock_offset_seconds");
    assert!((-3602.0..=-3598.0).contains(&offset), "{offset}");
    assert_eq!(page(&rig).await.value("gateway_upstream_retries_total{reason=\"corrected\"}"), 1.0);
}

/// Probes are many, and say nothing about how callers fare.
#[tokio::test]
async fn health_and_reflection_are_no_calls() {
    let rig = Rig::start().await;
    let channel = rig::channel(rig.server.address()).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    let page = page(&rig).await;
    assert!(!page.text.contains("rpc_server_call_duration"), "{}", page.text);
}
