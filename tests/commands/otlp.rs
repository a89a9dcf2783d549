//! What leaves the process by OpenTelemetry's protocol: nothing unless asked for, and then the whole story of a call.

use crate::certificates::Authority;
use crate::collector::Collector;
use crate::collector::Requests;
use crate::collector::Span;
use crate::network;
use crate::process::Program;
use crate::process::program;
use crate::serve::channel;
use crate::serve::create;
use crate::serve::in_flight;
use crate::upstream::Upstream;
use crate::upstream::any_port;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::StallPoint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const VOLUME: &str = "ocid1.volume.oc1.iad.traced";

fn serve(upstream: &Upstream) -> Program {
    upstream.sign_in(program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"))
}

/// Exports soon, to there.
fn exporting(program: Program, protocol: &str, collector: SocketAddr) -> Program {
    program
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_BLRP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100")
}

/// An OCI that is too busy at first, and the heads of the requests that it got.
async fn busy_at_first() -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind(any_port()).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let body = serde_json::json!({
        "id": "ocid1.volumebackup.oc1.iad.made", "volumeId": VOLUME, "compartmentId": "ocid1.compartment.oc1..a",
        "displayName": "x", "lifecycleState": "CREATING", "type": "FULL", "timeCreated": "2026-01-01T00:00:00Z",
    });
    let answers = [(429, serde_json::json!({"code": "TooManyRequests", "message": "busy"})), (200, body)];
    let serving = tokio::spawn(async move {
        let mut heads = Vec::new();
        for (status, body) in answers {
            let (mut stream, raw) = loop {
                let (mut stream, _peer) = listener.accept().await.unwrap();
                let (mut raw, mut buffer) = (Vec::new(), [0; 4096]);
                // Readiness asks without a body, and learns nothing here.
                while !raw.ends_with(b"}") && !raw.starts_with(b"GET ") {
                    let count = stream.read(&mut buffer).await.unwrap();
                    assert!(count > 0, "the request ended early");
                    raw.extend_from_slice(&buffer[..count]);
                }
                if raw.ends_with(b"}") {
                    break (stream, raw);
                }
            };
            let (length, head) =
                (body.to_string().len(), "content-type: application/json\r\nconnection: close");
            let answer = format!("HTTP/1.1 {status} X\r\n{head}\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            heads.push(String::from_utf8(raw).unwrap());
        }
        heads
    });
    (endpoint, serving)
}

async fn traced_create(gateway: SocketAddr) {
    let mut request = tonic::Request::new(pb::CreateVolumeBackupRequest {
        volume_id: VOLUME.to_owned(),
        ..pb::CreateVolumeBackupRequest::default()
    });
    for (key, value) in [
        ("traceparent", format!("00-{TRACE}-{CALLER}-01")),
        ("tracestate", "vendor=mine".to_owned()),
        ("baggage", "canary=1".to_owned()),
    ] {
        request.metadata_mut().insert(key, value.parse().unwrap());
    }
    BackupServiceClient::new(channel(gateway).await).create_volume_backup(request).await.unwrap();
}

/// The server's span, and those of its attempts in their order.
fn sorted(mut spans: Vec<Span>) -> (Span, [Span; 2]) {
    let is_server = |span: &Span| span.kind == 2;
    let server = spans.remove(spans.iter().position(is_server).unwrap());
    spans.sort_by_key(|span| span.attributes.get("http.request.resend_count").cloned());
    (server, spans.try_into().unwrap())
}

fn attribute<'a>(span: &'a Span, key: &str) -> &'a str {
    span.attributes.get(key).unwrap_or_else(|| panic!("no {key} in {span:?}"))
}

/// One trace from the caller's span through ours to what OCI is sent, over both ways to speak OTLP.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_from_its_caller_to_oci() {
    for protocol in ["grpc", "http/protobuf"] {
        let (collector, address) = Collector::over(protocol).await;
        let upstream = Upstream::start().await;
        let (endpoint, heads) = busy_at_first().await;
        let program = exporting(serve(&upstream), protocol, address).env("OCI_CLI_ENDPOINT", &endpoint);
        let program = program.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        let mut serve = program.start();
        traced_create(serve.address()).await;
        let (server, [first, second]) = sorted(collector.spans(3).await);
        let heads = heads.await.unwrap();

        assert_eq!(server.name, "ocibackup.v1.BackupService/CreateVolumeBackup");
        assert_eq!((server.trace_id.as_str(), server.parent.as_str()), (TRACE, CALLER));
        assert_eq!(attribute(&server, "rpc.system.name"), "grpc");
        assert_eq!(attribute(&server, "rpc.method"), server.name);
        assert_eq!(attribute(&server, "rpc.response.status_code"), "OK");
        assert!(!server.is_error && !server.attributes.contains_key("error.type"), "{server:?}");
        for (attempt, head, status) in [(&first, &heads[0], "429"), (&second, &heads[1], "200")] {
            assert_eq!((attempt.name.as_str(), attempt.kind), ("POST", 3), "{attempt:?}");
            assert_eq!((&attempt.trace_id, &attempt.parent), (&server.trace_id, &server.span_id));
            assert_eq!(attribute(attempt, "http.request.method"), "POST");
            assert_eq!(attribute(attempt, "http.response.status_code"), status);
            assert_eq!(attribute(attempt, "url.full"), format!("{endpoint}/20160918/volumeBackups"));
            assert_eq!(attribute(attempt, "gateway.operation"), "CreateVolumeBackup");
            let signing: f64 = attribute(attempt, "gateway.signing.duration").parse().unwrap();
            assert!((0.0..1.0).contains(&signing), "{signing}");
            attribute(attempt, "gateway.signing.wait.duration");
            let sent = format!("\r\ntraceparent: 00-{TRACE}-{}-01\r\n", attempt.span_id);
            assert!(head.contains(&sent) && head.contains("\r\ntracestate: vendor=mine\r\n"), "{head}");
            assert!(!head.contains("canary"), "baggage is the callers' own: {head}");
        }
        assert!(!first.attributes.contains_key("http.request.resend_count") && first.is_error, "{first:?}");
        assert_eq!(attribute(&first, "error.type"), "429");
        assert_eq!(attribute(&second, "http.request.resend_count"), "1");
        for (key, value) in [
            ("service.name", "oci-backup-gateway"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("deployment.environment.name", "test"),
        ] {
            assert_eq!(server.resource.get(key).map(String::as_str), Some(value), "{key}");
        }
        let line = serve.logged("call");
        assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &server.span_id.as_str().into()));
        assert_eq!(line["opc_request_id"], Value::from(attribute(&server, "gateway.opc_request_id")));
        collector.metric("rpc.server.call.duration").await;
        let record = collector.record("call").await;
        assert_eq!((record.trace_id.as_str(), &record.span_id), (TRACE, &server.span_id));
        assert_eq!(record.attributes["opc_request_id"], server.attributes["gateway.opc_request_id"]);
        assert_eq!((record.severity, record.resource), (9, server.resource));
        serve.signal("TERM");
        let ended = serve.wait();
        assert_eq!(ended.code, Some(0));
        assert!(!ended.stderr.contains("Logger name"), "{}", ended.stderr);
    }
}

/// Each signal by its own variables, or by those for all.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_behind_mutual_tls_is_told_by_whom_it_lets_in() {
    let authority = Authority::new("authority");
    let pair = authority.good("collector");
    for (protocol, (collector, address)) in [
        ("grpc", Collector::over_mutual_tls(&pair, &authority).await),
        ("http/protobuf", Collector::over_https(&pair, &authority).await),
    ] {
        tells_whom_it_lets_in(&authority, protocol, &collector, address).await;
    }
}

async fn tells_whom_it_lets_in(
    authority: &Authority,
    protocol: &str,
    collector: &Collector,
    address: SocketAddr,
) {
    let (own, stranger) = (authority.good("gateway"), Authority::new("stranger").good("gateway"));
    let upstream = Upstream::start().await;
    let url = format!("https://localhost:{}", address.port());
    let program = exporting(serve(&upstream), protocol, address).env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
    let program = [
        ("CERTIFICATE", "ca.pem", &authority.pem),
        ("CLIENT_CERTIFICATE", "own.pem", &own.certificate),
        ("CLIENT_KEY", "own.key", &own.key),
        ("LOGS_CLIENT_CERTIFICATE", "stranger.pem", &stranger.certificate),
        ("LOGS_CLIENT_KEY", "stranger.key", &stranger.key),
    ]
    .into_iter()
    .fold(program, |program, (variable, file, pem)| {
        program.file(file, pem).env(&format!("OTEL_EXPORTER_OTLP_{variable}"), file)
    });
    let mut serve = program.start();
    refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
    assert_eq!(collector.spans(1).await.len(), 1);
    collector.metric("rpc.server.call.duration").await;
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
    assert!(collector.records_so_far().is_empty(), "a stranger was let in");
}

/// The last spans leave with the process.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_sends_what_is_left_and_probes_make_no_spans() {
    let (collector, address) = Collector::over_grpc().await;
    let upstream = Upstream::start().await;
    let program = exporting(serve(&upstream), "grpc", address).env("OTEL_BSP_SCHEDULE_DELAY", "60000");
    let mut serve = program.env("OTEL_SERVICE_NAME", "backups").start();
    let gateway = serve.address();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel(gateway).await);
    health.check(tonic_health::pb::HealthCheckRequest { service: String::new() }).await.unwrap();
    refused(&mut BackupServiceClient::new(channel(gateway).await)).await;
    serve.logged("call");
    assert!(collector.spans_so_far().is_empty());
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
    let spans = collector.spans(1).await;
    assert_eq!(spans.len(), 1, "{spans:?}");
    assert_eq!(attribute(&spans[0], "rpc.response.status_code"), "INVALID_ARGUMENT");
    assert_eq!(spans[0].resource["service.name"], "backups");
}

/// Asked for by an endpoint, taken back by a word, for all or for one.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_back_is_not_exported() {
    let upstream = Upstream::start().await;
    for (variable, value, expected) in [
        ("OTEL_SDK_DISABLED", "true", [false, false, false]),
        ("OTEL_TRACES_EXPORTER", "none", [false, true, true]),
        ("OTEL_TRACES_SAMPLER", "always_off", [false, true, true]),
        ("OTEL_METRICS_EXPORTER", "none", [true, false, true]),
        ("OTEL_LOGS_EXPORTER", "none", [true, true, false]),
    ] {
        let (collector, address) = Collector::over_grpc().await;
        let mut serve = exporting(serve(&upstream), "grpc", address).env(variable, value).start();
        refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
        serve.logged("call");
        serve.signal("TERM");
        // The end sends what is left, so that all that is to come has.
        assert_eq!(serve.wait().code, Some(0), "{variable}");
        let Requests { traces, metrics, logs } = collector.requests();
        assert_eq!([traces > 0, metrics > 0, logs > 0], expected, "{variable}={value}");
    }
}

#[test]
fn nothing_is_exported_unless_it_is_asked_for() {
    network::alone("otlp::nobody_at_the_default_ports_is_called_without_variables");
}

/// In a network of its own, in which nobody else has or calls those ports.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a network of its own"]
async fn nobody_at_the_default_ports_is_called_without_variables() {
    if !network::is_alone() {
        return;
    }
    let upstream = Upstream::start().await;
    let grpc = TcpListener::bind("127.0.0.1:4317").await.unwrap();
    let http = TcpListener::bind("127.0.0.1:4318").await.unwrap();
    for (asked, protocol, expected) in [
        (None, "grpc", (false, false)),
        (None, "http/protobuf", (false, false)),
        // The same is seen where somebody asks.
        (Some("otlp"), "grpc", (true, false)),
        (Some("otlp"), "http/protobuf", (false, true)),
    ] {
        let program = serve(&upstream).env("OTEL_BSP_SCHEDULE_DELAY", "50");
        let program = program.env("OTEL_METRIC_EXPORT_INTERVAL", "100");
        let program = program.env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol);
        let program =
            asked.into_iter().fold(program, |program, asked| program.env("OTEL_TRACES_EXPORTER", asked));
        let mut serve = program.start();
        refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
        serve.logged("call");
        tokio::time::sleep(Duration::from_millis(300)).await;
        serve.signal("TERM");
        assert_eq!(serve.wait().code, Some(0), "{asked:?}");
        assert_eq!((was_called(&grpc).await, was_called(&http).await), expected, "{asked:?} {protocol}");
    }
}

/// Whether anybody has connected since it was last asked.
async fn was_called(listener: &TcpListener) -> bool {
    let mut was_called = false;
    while tokio::time::timeout(Duration::from_millis(20), listener.accept()).await.is_ok() {
        was_called = true;
    }
    was_called
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_is_compressed_where_that_is_asked_for() {
    let upstream = Upstream::start().await;
    for protocol in ["grpc", "http/protobuf"] {
        let (collector, address) = Collector::over(protocol).await;
        let program = exporting(serve(&upstream), protocol, address);
        let mut serve = program.env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip").start();
        refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
        collector.spans(1).await;
        collector.metric("rpc.server.call.duration").await;
        collector.record("call").await;
        assert_eq!(collector.encodings(), ["gzip"], "{protocol}");
        serve.signal("TERM");
        assert_eq!(serve.wait().code, Some(0));
    }
}

/// A collector over HTTP that takes requests and says nothing is left after the time of the signal, or that of all.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_silent_collector_ends_in_its_time() {
    let silent = TcpListener::bind(any_port()).await.unwrap();
    let upstream = Upstream::start().await;
    let program = exporting(serve(&upstream), "http/protobuf", silent.local_addr().unwrap());
    let program = program.env("OTEL_EXPORTER_OTLP_TIMEOUT", "300").env("OTEL_LOGS_EXPORTER", "none");
    let mut serve = program.env("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "4000").start();
    refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
    let (mut held, mut requests) = (BTreeMap::new(), JoinSet::new());
    while held.len() < 2 {
        tokio::select! {
            taken = silent.accept() => { requests.spawn(hold(taken.unwrap().0)); }
            Some(ended) = requests.join_next() => {
                let (signal, time) = ended.unwrap();
                held.entry(signal).or_insert(time);
            }
        }
    }
    let (traces, metrics) = (held["traces"], held["metrics"]);
    assert!((Duration::from_millis(250)..Duration::from_millis(3500)).contains(&traces), "{held:?}");
    assert!((Duration::from_millis(3900)..Duration::from_millis(9000)).contains(&metrics), "{held:?}");
}

/// Of which signal the request is, and after what time its sender gives up.
async fn hold(mut stream: TcpStream) -> (String, Duration) {
    let (began, mut raw) = (Instant::now(), Vec::new());
    // Whoever leaves may do so with a reset.
    let _ = stream.read_to_end(&mut raw).await;
    let head = String::from_utf8_lossy(&raw);
    let signal = head.strip_prefix("POST /v1/").unwrap().split_whitespace().next().unwrap();
    (signal.to_owned(), began.elapsed())
}

/// Whom a collector sends us to would get what is meant for the collector, secrets in headers included.
#[tokio::test(flavor = "multi_thread")]
async fn no_redirect_of_a_collector_is_followed() {
    let elsewhere = TcpListener::bind(any_port()).await.unwrap();
    let location = format!("http://{}/v1/traces", elsewhere.local_addr().unwrap());
    let asked = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&asked);
    let redirect = async move || {
        noted.store(true, Ordering::Relaxed);
        (http::StatusCode::TEMPORARY_REDIRECT, [(http::header::LOCATION, location)])
    };
    let collector = TcpListener::bind(any_port()).await.unwrap();
    let address = collector.local_addr().unwrap();
    tokio::spawn(axum::serve(collector, axum::Router::new().fallback(redirect)).into_future());
    let upstream = Upstream::start().await;
    let mut serve = exporting(serve(&upstream), "http/protobuf", address)
        .env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary")
        .start();
    refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
    serve.until(|_| asked.load(Ordering::Relaxed).then_some(()));
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
    assert!(!was_called(&elsewhere).await, "the redirect was followed");
}

/// Replicas are told apart at a collector.
#[tokio::test(flavor = "multi_thread")]
async fn each_process_is_an_instance_of_its_own_unless_it_is_told_which_it_is() {
    let (collector, address) = Collector::over_grpc().await;
    let upstream = Upstream::start().await;
    for said in ["", "", "service.instance.id=pod-1"] {
        let program = exporting(serve(&upstream), "grpc", address).env("OTEL_RESOURCE_ATTRIBUTES", said);
        let mut serve = program.start();
        refused(&mut BackupServiceClient::new(channel(serve.address()).await)).await;
        serve.logged("call");
        serve.signal("TERM");
        assert_eq!(serve.wait().code, Some(0));
    }
    let spans = collector.spans(3).await;
    let instances: BTreeSet<_> = spans.iter().map(|span| &span.resource["service.instance.id"]).collect();
    assert_eq!((spans.len(), instances.len()), (3, 3), "{instances:?}");
    for instance in instances.into_iter().filter(|instance| *instance != "pod-1") {
        let lengths: Vec<usize> = instance.split('-').map(str::len).collect();
        assert_eq!((lengths.as_slice(), &instance[14..15]), ([8, 4, 4, 4, 12].as_slice(), "4"), "{instance}");
    }
    assert_eq!(spans[2].resource["service.instance.id"], "pod-1");
}

/// Also of a method that does not exist: what callers make up is no name of a span and no label, but the span has it.
#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_call_says_whom_its_caller_meant_and_where_it_came_from() {
    let (collector, address) = Collector::over_grpc().await;
    let upstream = Upstream::start().await;
    let mut serve = exporting(serve(&upstream), "grpc", address).start();
    let gateway = serve.address();
    let mut caller = tonic::client::Grpc::new(channel(gateway).await);
    for method in ["CreateVolumeBackup", "Imagined"] {
        let path = format!("/ocibackup.v1.BackupService/{method}").parse().unwrap();
        let codec = ProstCodec::<pb::CreateVolumeBackupRequest, pb::CreateVolumeBackupResponse>::default();
        let request = tonic::Request::new(pb::CreateVolumeBackupRequest::default());
        caller.ready().await.unwrap();
        caller.unary(request, path, codec).await.unwrap_err();
    }
    let spans = collector.spans(2).await;
    let peer = serve.logged("call")["peer"].clone();
    for span in &spans {
        let server = [attribute(span, "server.address"), attribute(span, "server.port")];
        assert_eq!(server.join(":"), gateway.to_string());
        let from = [attribute(span, "network.peer.address"), attribute(span, "network.peer.port")];
        assert_eq!(peer, from.join(":"));
    }
    assert!(!spans[0].attributes.contains_key("rpc.method_original"), "{spans:?}");
    assert_eq!((spans[1].name.as_str(), attribute(&spans[1], "rpc.method")), ("grpc", "_OTHER"));
    assert_eq!(attribute(&spans[1], "rpc.method_original"), "ocibackup.v1.BackupService/Imagined");
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
}

/// What nobody waits for any more was sent all the same, and where to is known.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_the_end_cuts_off_is_told_as_that() {
    let (collector, address) = Collector::over_grpc().await;
    let upstream = Upstream::start().await;
    let stall = Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(8));
    upstream.sandbox.inject(FaultRule::new(stall).method("POST")).unwrap();
    let program = exporting(serve(&upstream), "grpc", address).env("GATEWAY_DRAIN_TIMEOUT", "300ms");
    let mut serve = program.start();
    let caller = tokio::spawn(create(serve.address(), VOLUME));
    in_flight(&upstream).await;
    serve.signal("TERM");
    caller.await.unwrap().unwrap_err();
    assert_eq!(serve.wait().code, Some(0));
    let spans = collector.spans(2).await;
    let attempt = spans.iter().find(|span| span.kind == 3).unwrap();
    assert!(attempt.is_error && attribute(attempt, "error.type") == "cancelled", "{attempt:?}");
    assert!(attribute(attempt, "url.full").ends_with("/20160918/volumeBackups"), "{attempt:?}");
    assert_eq!(attribute(attempt, "server.address"), "127.0.0.1");
}

/// As platforms give one list to all that they run.
#[tokio::test(flavor = "multi_thread")]
async fn a_propagator_that_is_unknown_beside_one_that_is_known_is_left_out_with_a_warning() {
    let upstream = Upstream::start().await;
    let mut serve = serve(&upstream).env("OTEL_PROPAGATORS", "tracecontext,baggage,b3").start();
    let line = serve.logged("OTEL_PROPAGATORS: \"b3\" is unknown here and left out");
    assert_eq!(line["level"], "WARN");
    serve.address();
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
}

/// How long a call takes that is answered without OCI.
async fn refused(caller: &mut BackupServiceClient<Channel>) -> Duration {
    let request = pb::CreateVolumeBackupRequest { volume_id: "none".to_owned(), ..Default::default() };
    let began = Instant::now();
    let refused = caller.create_volume_backup(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused:?}");
    began.elapsed()
}

/// A collector that is not there, and one that takes connections and says nothing: of a hundred calls the slowest takes at
/// most 5 ms more than without exports, asked in turn in one run. One round without others' help is enough.
#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_is_down_slows_no_call_and_holds_up_no_end() {
    let silent = TcpListener::bind(any_port()).await.unwrap();
    let silent = silent.local_addr().map(|address| (address, silent)).unwrap();
    let nobody = std::net::TcpListener::bind(any_port()).unwrap().local_addr().unwrap();
    let upstream = Upstream::start().await;
    let mut plain = serve(&upstream).start();
    let mut without = BackupServiceClient::new(channel(plain.address()).await);
    for (protocol, collector) in
        [("grpc", nobody), ("http/protobuf", nobody), ("grpc", silent.0), ("http/protobuf", silent.0)]
    {
        let program = exporting(serve(&upstream), protocol, collector).env("OTEL_BSP_MAX_QUEUE_SIZE", "64");
        let program = program.env("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64");
        let mut down = program.start();
        let mut with = BackupServiceClient::new(channel(down.address()).await);
        let mut rounds = Vec::new();
        loop {
            let (mut slowest, mut usual) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                usual.push(refused(&mut without).await);
                slowest.push(refused(&mut with).await);
            }
            usual.sort();
            slowest.sort();
            rounds.push((slowest[198], usual[198]));
            if slowest[198] <= usual[198] + Duration::from_millis(5) {
                break;
            }
            assert!(rounds.len() < 10, "{protocol}, with and without: {rounds:?}");
        }
        down.signal("TERM");
        let ending = Instant::now();
        let ended = down.wait();
        assert_eq!(ended.code, Some(0));
        assert!(ending.elapsed() < Duration::from_secs(4), "{protocol}: {:?}", ending.elapsed());
        let said: Vec<_> = ended.stderr.lines().filter(|line| line.contains("\"opentelemetry")).collect();
        assert!(said.len() < 12, "once a minute each: {said:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_of_opentelemetry_that_is_wrong_ends_the_start_with_one_line() {
    let upstream = Upstream::start().await;
    for (name, value, words) in [
        ("OTEL_SDK_DISABLED", "yes", "true or false"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "otlp or none"),
        ("OTEL_TRACES_EXPORTER", "otlp,console", "otlp or none"),
        ("OTEL_METRICS_EXPORTER", "statsd", "otlp, prometheus or none"),
        ("OTEL_LOGS_EXPORTER", "console", "otlp or none"),
        ("OTEL_PROPAGATORS", "b3", "tracecontext"),
        ("OTEL_PROPAGATORS", "jaeger,b3", "tracecontext"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "whole number"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "gzip or none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "secret-canary", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api key=canary", "name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=canary%", "percent-encoded"),
        ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=canary%0a", "percent-encoded"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=canary-\u{e9}", "percent-encoded"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nowhere/key.pem", "/nowhere/key.pem"),
        ("OTEL_RESOURCE_ATTRIBUTES", "x", "name=value"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "always_on"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "0 to 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "whole number"),
        ("OTEL_BSP_MAX_CONCURRENT_EXPORTS", "0", "more than 0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc", "whole number"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-1", "whole number"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "1.5", "whole number"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", "whole number"),
    ] {
        let ended = serve(&upstream).env(name, value).run();
        let line = ended.refusal(2);
        assert!(line.starts_with(&format!("{name}: ")) && line.contains(words), "{name}={value}: {line}");
        assert!(!line.contains("canary"), "headers hold secrets: {line}");
    }
}

/// The libraries would say `builder error`, or find out when they export.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_or_a_key_for_the_collector_that_is_no_good_ends_the_start_with_one_line() {
    let (upstream, dir) = (Upstream::start().await, tempfile::tempdir().unwrap());
    let authority = Authority::new("authority");
    let (own, other) = (authority.good("gateway"), authority.good("gateway"));
    let damaged = own.certificate.replacen("MII", "M!I", 1);
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = file("own.crt", &own.certificate);
    let (own_key, other_key) = (file("own.key", &own.key), file("other.key", &other.key));
    let damaged = file("damaged.crt", &damaged);
    for (name, with, words) in [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", vec![&damaged], "is damaged PEM"),
        ("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE", vec![&own_key], "a certificate in PEM is expected"),
        (
            "OTEL_EXPORTER_OTLP_CLIENT_KEY",
            vec![&other_key, &certificate],
            "is not the key of the certificate in",
        ),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", vec![&certificate, &certificate], "a private key in PEM"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", vec![&own_key], "go together"),
    ] {
        let program = serve(&upstream).env(name, with[0]);
        let program = match with.get(1) {
            Some(certificate) => program.env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate),
            None => program,
        };
        let ended = program.run();
        let line = ended.refusal(2);
        assert!(line.starts_with(name) && line.contains(words), "{name}: {line}");
        assert!(words == "go together" || line.contains(with[0].as_str()), "{line}");
    }
}
