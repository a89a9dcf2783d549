//! Exports by OpenTelemetry's protocol, for who asked for them. Each signal has a queue and a thread of the SDK's, and gRPC a
//! runtime of its own besides: the thread that serves only leaves what it has, and what there is no room for is dropped.

use super::forward;
use super::recorder::Recorder;
use super::recorder::Unrecordable;
use super::trace::Propagation;
use super::trace::Tracing;
use ::reqwest as http_client;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_otlp::LogExporter;
use opentelemetry_otlp::MetricExporter;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_otlp::WithHttpConfig;
use opentelemetry_otlp::WithTonicConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::resource::TelemetryResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use tokio::runtime;
use tokio::sync::oneshot;
use tonic::transport::Certificate;
use tonic::transport::ClientTlsConfig;
use tonic::transport::Identity;

/// How long the end of the process waits for the last of it.
const LAST_EXPORT: Duration = Duration::from_secs(1);

/// What is exported, and how; where to and how often, the libraries read from the variables.
#[derive(Debug, Clone, Default)]
pub struct Exports {
    /// Spans.
    pub traces: Option<Export>,
    /// What `/metrics` shows, pushed.
    pub metrics: Option<Export>,
    /// The gateway's own lines of the log, which go to standard error all the same.
    pub logs: Option<Export>,
    /// Who is speaking, as far as the operator says.
    pub resource: BTreeMap<String, String>,
    /// Whether traces go on across processes.
    pub propagation: Propagation,
    /// What was asked for beside that and is not done, for the log.
    pub warnings: Vec<String>,
}

/// How one signal is exported.
#[derive(Debug, Clone)]
pub struct Export {
    /// How OTLP is spoken.
    pub protocol: Protocol,
    /// Whom to trust and who we are.
    pub tls: Tls,
    /// How long one request may take. Over gRPC the library reads it by itself.
    pub timeout: Duration,
}

/// How OTLP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Over gRPC.
    Grpc,
    /// As protobuf over HTTP/1.1.
    Http,
}

/// TLS to the collector, as PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Whom to trust, in place of the system's roots.
    pub authorities: Option<Vec<u8>>,
    /// A certificate for the gateway, and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Why nothing is exported.
#[derive(Debug, thiserror::Error)]
pub enum Unexportable {
    /// The variables ask for what cannot be.
    #[error("OTEL_EXPORTER_OTLP_…: {0}")]
    Setting(String),
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
    /// Not even metrics can be gathered.
    #[error(transparent)]
    Metrics(#[from] Unrecordable),
}

impl From<ExporterBuildError> for Unexportable {
    fn from(error: ExporterBuildError) -> Self {
        Self::Setting(error.to_string())
    }
}

/// What exports, until [`Exporting::end`].
pub struct Exporting {
    traces: Option<SdkTracerProvider>,
    logs: Option<SdkLoggerProvider>,
    recorder: Recorder,
    /// Its end is that of the runtime.
    _runtime: Option<oneshot::Sender<()>>,
}

impl Exporting {
    /// Exports what is asked for from now on. Not to be called from within a runtime: the HTTP client blocks.
    pub fn start(exports: &Exports) -> Result<Self, Unexportable> {
        let resource = resource(&exports.resource);
        let asked = [&exports.traces, &exports.metrics, &exports.logs];
        let is_grpc = asked.into_iter().flatten().any(|export| export.protocol == Protocol::Grpc);
        let grpc = if is_grpc { Some(start_runtime()?) } else { None };
        let handle = grpc.as_ref().map(|(handle, _)| handle);
        let traces = exports.traces.as_ref().map(|export| spans(export, handle)).transpose()?;
        let traces = traces.map(|exporter| {
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone()).build()
        });
        let logs = exports.logs.as_ref().map(|export| lines(export, handle)).transpose()?;
        let logs = logs.map(|exporter| {
            SdkLoggerProvider::builder().with_batch_exporter(exporter).with_resource(resource.clone()).build()
        });
        logs.iter().for_each(forward::to);
        let metrics = exports.metrics.as_ref().map(|export| metrics(export, handle)).transpose()?;
        let metrics = metrics.map(|exporter| PeriodicReader::builder(exporter).build());
        let meters = SdkMeterProvider::builder().with_resource(resource);
        let meters = metrics.into_iter().fold(meters, |meters, reader| meters.with_reader(reader));
        let tracer = traces.as_ref().map(|traces| traces.tracer(env!("CARGO_PKG_NAME")));
        let recorder = Recorder::reading(meters, Tracing { tracer, propagation: exports.propagation })?;
        Ok(Self { traces, logs, recorder, _runtime: grpc.map(|(_, end)| end) })
    }

    /// What is to be recorded by.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.recorder.clone()
    }

    /// Sends what is left, if that is soon done.
    pub fn end(self) {
        let (done, ended) = mpsc::channel();
        let begun = thread::Builder::new().name("last-export".to_owned()).spawn(move || {
            // Whoever does not listen has missed it.
            let _ = self.traces.map(|traces| traces.shutdown());
            let _ = self.logs.map(|logs| logs.shutdown());
            self.recorder.end();
            done.send(())
        });
        if begun.is_ok() {
            let _ = ended.recv_timeout(LAST_EXPORT);
        }
    }
}

/// Who we are to a collector: what the operator says, else the program's name, and an instance of it that is no other one
/// (opentelemetry.io/docs/specs/semconv/resource/service).
fn resource(said: &BTreeMap<String, String>) -> Resource {
    let ours = [
        KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", random_uuid()),
    ];
    let said = said.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let builder = Resource::builder_empty().with_detector(Box::new(TelemetryResourceDetector));
    builder.with_attributes(ours.into_iter().chain(said)).build()
}

/// By RFC 9562, version 4.
fn random_uuid() -> String {
    let (low, [mid, version, variant], node): (u32, [u16; 3], u64) = rand::random();
    let (version, variant, node) = (version & 0xfff, variant & 0x3fff | 0x8000, node >> 16);
    format!("{low:08x}-{mid:04x}-4{version:03x}-{variant:04x}-{node:012x}")
}

fn spans(export: &Export, grpc: Option<&runtime::Handle>) -> Result<SpanExporter, Unexportable> {
    match export.protocol {
        Protocol::Http => {
            Ok(SpanExporter::builder().with_http().with_http_client(client(export)?).build()?)
        }
        Protocol::Grpc => {
            let _within = grpc.map(runtime::Handle::enter);
            Ok(SpanExporter::builder().with_tonic().with_tls_config(export.tls.of_grpc()).build()?)
        }
    }
}

fn metrics(export: &Export, grpc: Option<&runtime::Handle>) -> Result<MetricExporter, Unexportable> {
    match export.protocol {
        Protocol::Http => {
            Ok(MetricExporter::builder().with_http().with_http_client(client(export)?).build()?)
        }
        Protocol::Grpc => {
            let _within = grpc.map(runtime::Handle::enter);
            Ok(MetricExporter::builder().with_tonic().with_tls_config(export.tls.of_grpc()).build()?)
        }
    }
}

fn lines(export: &Export, grpc: Option<&runtime::Handle>) -> Result<LogExporter, Unexportable> {
    match export.protocol {
        Protocol::Http => Ok(LogExporter::builder().with_http().with_http_client(client(export)?).build()?),
        Protocol::Grpc => {
            let _within = grpc.map(runtime::Handle::enter);
            Ok(LogExporter::builder().with_tonic().with_tls_config(export.tls.of_grpc()).build()?)
        }
    }
}

impl Tls {
    fn of_grpc(&self) -> ClientTlsConfig {
        let config = ClientTlsConfig::new();
        let config = match &self.authorities {
            None => config.with_native_roots(),
            Some(pem) => config.ca_certificate(Certificate::from_pem(pem)),
        };
        match &self.identity {
            None => config,
            Some((certificate, key)) => config.identity(Identity::from_pem(certificate, key)),
        }
    }
}

/// The SDK sends from a thread that waits for it: with another client than a blocking one that would panic.
fn client(export: &Export) -> Result<http_client::blocking::Client, Unexportable> {
    let Export { tls, timeout, .. } = export;
    let wrong = |error: http_client::Error| Unexportable::Setting(error.to_string());
    let builder = http_client::blocking::Client::builder().no_proxy();
    // The library sets it only on a client of its own making.
    let builder = builder.timeout(*timeout);
    // Nobody else is to be sent what `OTEL_EXPORTER_OTLP_HEADERS` says: it holds secrets.
    let mut builder = builder.redirect(http_client::redirect::Policy::none());
    if let Some(pem) = &tls.authorities {
        builder = builder.tls_certs_only(http_client::Certificate::from_pem_bundle(pem).map_err(wrong)?);
    }
    if let Some((certificate, key)) = &tls.identity {
        let pem = [key.as_slice(), b"\n", certificate].concat();
        builder = builder.identity(http_client::Identity::from_pem(&pem).map_err(wrong)?);
    }
    builder.build().map_err(wrong)
}

fn start_runtime() -> io::Result<(runtime::Handle, oneshot::Sender<()>)> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("otlp".to_owned()).spawn(move || runtime.block_on(ended))?;
    Ok((handle, end))
}
