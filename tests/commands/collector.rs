//! A collector of telemetry that tells what it was sent, over gRPC and over HTTP.

use crate::certificates::Authority;
use crate::certificates::Pair;
use crate::upstream::any_port;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use axum::serve::Listener;
use bytes::Bytes;
use flate2::read::GzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsService;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsServiceServer;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsService;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::MetricsServiceServer;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceService;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::TraceServiceServer;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;
use tonic::Response;
use tonic::Status;
use tonic::codec::CompressionEncoding;
use tonic::transport::Certificate;
use tonic::transport::Identity;
use tonic::transport::ServerTlsConfig;

/// Clones are one.
#[derive(Clone, Default)]
pub(crate) struct Collector {
    traces: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    metrics: Arc<Mutex<Vec<ExportMetricsServiceRequest>>>,
    logs: Arc<Mutex<Vec<ExportLogsServiceRequest>>>,
    encodings: Arc<Mutex<BTreeSet<String>>>,
}

/// How many requests came for each signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) traces: usize,
    pub(crate) metrics: usize,
    pub(crate) logs: usize,
}

/// A line of the log as it came.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) message: String,
    /// 9 is INFO (opentelemetry.io/docs/specs/otel/logs/data-model).
    pub(crate) severity: i32,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

/// A span as it came, with its resource.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) kind: i32,
    pub(crate) trace_id: String,
    pub(crate) span_id: String,
    pub(crate) parent: String,
    pub(crate) is_error: bool,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) resource: BTreeMap<String, String>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.note_encoding(request.metadata().get("grpc-encoding").map(AsRef::as_ref));
        self.traces.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.note_encoding(request.metadata().get("grpc-encoding").map(AsRef::as_ref));
        self.metrics.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.note_encoding(request.metadata().get("grpc-encoding").map(AsRef::as_ref));
        self.logs.lock().unwrap().push(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Collector {
    pub(crate) async fn over(protocol: &str) -> (Self, SocketAddr) {
        if protocol == "grpc" { Self::over_grpc().await } else { Self::over_http().await }
    }

    pub(crate) async fn over_grpc() -> (Self, SocketAddr) {
        Self::served_by(tonic::transport::Server::builder()).await
    }

    /// As `pair` says, and to whoever `authority` knows.
    pub(crate) async fn over_mutual_tls(pair: &Pair, authority: &Authority) -> (Self, SocketAddr) {
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&pair.certificate, &pair.key))
            .client_ca_root(Certificate::from_pem(&authority.pem));
        Self::served_by(tonic::transport::Server::builder().tls_config(tls).unwrap()).await
    }

    async fn served_by(mut server: tonic::transport::Server) -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind(any_port()).await.unwrap());
        let address = listener.local_addr().unwrap();
        let gzip = CompressionEncoding::Gzip;
        let server = server
            .add_service(TraceServiceServer::new(collector.clone()).accept_compressed(gzip))
            .add_service(MetricsServiceServer::new(collector.clone()).accept_compressed(gzip))
            .add_service(LogsServiceServer::new(collector.clone()).accept_compressed(gzip));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    pub(crate) async fn over_http() -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind(any_port()).await.unwrap());
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, collector.router()).into_future());
        (collector, address)
    }

    /// As `pair` says, and to whoever `authority` knows.
    pub(crate) async fn over_https(pair: &Pair, authority: &Authority) -> (Self, SocketAddr) {
        let (collector, listener) = (Self::default(), TcpListener::bind(any_port()).await.unwrap());
        let address = listener.local_addr().unwrap();
        let listener = Tls { listener, acceptor: acceptor(pair, authority) };
        tokio::spawn(axum::serve(listener, collector.router()).into_future());
        (collector, address)
    }

    fn router(&self) -> Router {
        let traces = async |State(it): State<Self>, headers: HeaderMap, body: Bytes| {
            let request = ExportTraceServiceRequest::decode(it.plain(&headers, body)).unwrap();
            it.traces.lock().unwrap().push(request);
        };
        let metrics = async |State(it): State<Self>, headers: HeaderMap, body: Bytes| {
            let request = ExportMetricsServiceRequest::decode(it.plain(&headers, body)).unwrap();
            it.metrics.lock().unwrap().push(request);
        };
        let logs = async |State(it): State<Self>, headers: HeaderMap, body: Bytes| {
            let request = ExportLogsServiceRequest::decode(it.plain(&headers, body)).unwrap();
            it.logs.lock().unwrap().push(request);
        };
        let router = Router::new().route("/v1/traces", post(traces));
        let router = router.route("/v1/metrics", post(metrics)).route("/v1/logs", post(logs));
        router.with_state(self.clone())
    }

    fn note_encoding(&self, encoding: Option<&[u8]>) {
        let encoding = String::from_utf8_lossy(encoding.unwrap_or(b"none")).into_owned();
        self.encodings.lock().unwrap().insert(encoding);
    }

    /// A body as it was before it was compressed.
    fn plain(&self, headers: &HeaderMap, body: Bytes) -> Bytes {
        let encoding = headers.get(CONTENT_ENCODING).map(AsRef::as_ref);
        self.note_encoding(encoding);
        if encoding.is_none() {
            return body;
        }
        let mut plain = Vec::new();
        GzDecoder::new(body.as_ref()).read_to_end(&mut plain).unwrap();
        plain.into()
    }

    /// How requests were compressed, each way once.
    pub(crate) fn encodings(&self) -> Vec<String> {
        self.encodings.lock().unwrap().iter().cloned().collect()
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> Requests {
        Requests {
            traces: self.traces.lock().unwrap().len(),
            metrics: self.metrics.lock().unwrap().len(),
            logs: self.logs.lock().unwrap().len(),
        }
    }

    /// The spans that have come, once there are so many.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let spans = self.spans_so_far();
            if spans.len() >= count {
                return spans;
            }
            assert!(Instant::now() < end, "{spans:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn spans_so_far(&self) -> Vec<Span> {
        let requests = self.traces.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let spans = resources.flat_map(|of| {
            let resource = attributes(&of.resource.as_ref().unwrap().attributes);
            of.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| Span {
                name: span.name.clone(),
                kind: span.kind,
                trace_id: hex(&span.trace_id),
                span_id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                is_error: span.status.as_ref().is_some_and(|status| status.code == 2),
                attributes: attributes(&span.attributes),
                resource: resource.clone(),
            })
        });
        spans.collect()
    }

    /// Waits until a line with this message has come.
    pub(crate) async fn record(&self, message: &str) -> Record {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let records = self.records_so_far();
            if let Some(record) = records.iter().find(|record| record.message == message) {
                return record.clone();
            }
            assert!(Instant::now() < end, "{records:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn records_so_far(&self) -> Vec<Record> {
        let requests = self.logs.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_logs);
        let records = resources.flat_map(|of| {
            let resource = attributes(&of.resource.as_ref().unwrap().attributes);
            of.scope_logs.iter().flat_map(|scope| &scope.log_records).map(move |record| Record {
                message: record.body.as_ref().map(text).unwrap_or_default(),
                severity: record.severity_number,
                trace_id: hex(&record.trace_id),
                span_id: hex(&record.span_id),
                attributes: attributes(&record.attributes),
                resource: resource.clone(),
            })
        });
        records.collect()
    }

    /// Waits until a metric of this name has come.
    pub(crate) async fn metric(&self, name: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let names = self.metric_names();
            if names.iter().any(|has_come| has_come == name) {
                return;
            }
            assert!(Instant::now() < end, "{names:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn metric_names(&self) -> Vec<String> {
        let requests = self.metrics.lock().unwrap();
        let scopes = requests.iter().flat_map(|it| &it.resource_metrics).flat_map(|it| &it.scope_metrics);
        scopes.flat_map(|scope| &scope.metrics).map(|metric| metric.name.clone()).collect()
    }
}

/// Connections whose handshake went well.
struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

fn acceptor(pair: &Pair, authority: &Authority) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let known = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder().with_client_cert_verifier(known);
    TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
}

fn attributes(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|it| (it.key.clone(), text(it.value.as_ref().unwrap()))).collect()
}

fn text(value: &AnyValue) -> String {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
