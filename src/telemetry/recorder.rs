//! What calls are recorded by. Every instrument is made once; a record costs a look into a small table.

use super::attempt::Attempt;
use super::attempt::Planned;
use super::names;
use super::names::Metric;
use super::trace::Trace;
use super::trace::Tracing;
use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use opentelemetry::metrics::Histogram;
use opentelemetry::metrics::Meter;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::MeterProviderBuilder;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::Registry;
use prometheus::TextEncoder;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

const SCOPE: &str = env!("CARGO_PKG_NAME");

/// Takes note of calls, attempts and signatures. Clones are one.
#[derive(Clone)]
pub struct Recorder(Arc<Instruments>);

struct Instruments {
    tracing: Tracing,
    provider: SdkMeterProvider,
    page: Registry,
    meter: Meter,
    calls: Histogram<f64>,
    ended: Counter<u64>,
    shed: Counter<u64>,
    failed: Counter<u64>,
    requests: Histogram<f64>,
    attempts: Histogram<u64>,
    retries: Counter<u64>,
    retries_refused: Counter<u64>,
    breaker_refusals: Counter<u64>,
    signing: Histogram<f64>,
    signing_wait: Histogram<f64>,
}

impl Drop for Instruments {
    /// A provider that is dropped before its end tells everybody so in the log.
    fn drop(&mut self) {
        let _ = self.provider.shutdown();
    }
}

/// Why nothing is recorded.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be gathered: {0}")]
pub struct Unrecordable(String);

/// A call of an RPC that has ended.
#[derive(Debug, Clone, Copy)]
pub struct EndedCall<'a> {
    /// `service/method`; `None` for what is no RPC: what callers make up is no label.
    pub method: Option<&'static str>,
    /// Its trace.
    pub trace: &'a Trace,
    /// Its name in everybody's logs.
    pub request_id: &'a str,
    /// What the caller was told; empty on success.
    pub error: &'a str,
    /// gRPC's name of the code.
    pub code: &'static str,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
    /// From the first byte to the answer.
    pub took: Duration,
}

/// Who failed a call, and why: words of closed sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{domain}: {reason}")]
pub struct Failure {
    /// Who, as `ErrorInfo` names it.
    pub domain: &'static str,
    /// Why.
    pub reason: &'static str,
}

impl Failure {
    fn attributes(self) -> [KeyValue; 2] {
        [KeyValue::new(names::DOMAIN, self.domain), KeyValue::new(names::REASON, self.reason)]
    }
}

impl Recorder {
    /// One whose figures can be scraped, and that makes no spans.
    pub fn new() -> Result<Self, Unrecordable> {
        Self::reading(SdkMeterProvider::builder(), Tracing::default())
    }

    /// One whose figures can be scraped, too.
    pub(super) fn reading(meters: MeterProviderBuilder, tracing: Tracing) -> Result<Self, Unrecordable> {
        let page = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(page.clone())
            // Every series is of the one program; who scrapes knows which process it is.
            .scope_info_enabled(false)
            .without_target_info()
            .build()
            .map_err(|error| Unrecordable(error.to_string()))?;
        Ok(Self::of(meters.with_reader(reader).build(), page, tracing))
    }

    /// One whose figures nobody reads.
    #[must_use]
    pub fn nowhere() -> Self {
        Self::of(SdkMeterProvider::builder().build(), Registry::new(), Tracing::default())
    }

    fn of(provider: SdkMeterProvider, page: Registry, tracing: Tracing) -> Self {
        let meter = provider.meter(SCOPE);
        let recorder = Self(Arc::new(Instruments {
            calls: seconds(&meter, names::RPC_SERVER_CALL_DURATION, names::CALL_SECONDS),
            ended: counter(&meter, names::CALLS),
            shed: counter(&meter, names::CALLS_SHED),
            failed: counter(&meter, names::CALLS_FAILED),
            requests: seconds(&meter, names::HTTP_CLIENT_REQUEST_DURATION, names::CALL_SECONDS),
            attempts: count(&meter, names::UPSTREAM_ATTEMPTS, names::ATTEMPTS),
            retries: counter(&meter, names::UPSTREAM_RETRIES),
            retries_refused: counter(&meter, names::UPSTREAM_RETRIES_REFUSED),
            breaker_refusals: counter(&meter, names::BREAKER_REFUSALS),
            signing: seconds(&meter, names::SIGNING_DURATION, names::SIGNING_SECONDS),
            signing_wait: seconds(&meter, names::SIGNING_WAIT_DURATION, names::SIGNING_SECONDS),
            provider,
            tracing,
            page,
            meter,
        }));
        // What has not happened yet is 0 and not absent: a rate has to begin somewhere.
        for never in
            [&recorder.0.ended, &recorder.0.shed, &recorder.0.retries_refused, &recorder.0.breaker_refusals]
        {
            never.add(0, &[]);
        }
        recorder
    }

    /// All figures in Prometheus' text format (prometheus.io/docs/instrumenting/exposition_formats).
    pub fn page(&self) -> Result<String, Unrecordable> {
        let families = self.0.page.gather();
        TextEncoder::new().encode_to_string(&families).map_err(|error| Unrecordable(error.to_string()))
    }

    /// A call begins: goes on with the trace of its headers, or begins one.
    #[must_use]
    pub fn trace(&self, method: Option<&'static str>, headers: &HeaderMap) -> Trace {
        self.0.tracing.call(method, headers)
    }

    /// An attempt of the call begins.
    #[must_use]
    pub fn attempt(&self, call: &Trace, planned: Planned<'_>) -> Attempt {
        Attempt::new(self, call, planned)
    }

    /// What may fail calls. All of it is 0 from now on, so that the first failure is seen as one.
    pub fn may_fail(&self, failures: impl IntoIterator<Item = Failure>) {
        failures.into_iter().for_each(|failure| self.0.failed.add(0, &failure.attributes()));
    }

    /// A call has ended.
    pub fn call(&self, call: EndedCall<'_>) {
        let EndedCall { method, trace, request_id, error, code, failure, took } = call;
        if method.is_some() {
            self.0.ended.add(1, &[]);
            failure.into_iter().for_each(|failure| self.0.failed.add(1, &failure.attributes()));
        }
        let attributes = [
            KeyValue::new(names::RPC_SYSTEM_NAME, names::GRPC),
            KeyValue::new(names::RPC_METHOD, method.unwrap_or(names::OTHER)),
            KeyValue::new(names::RPC_RESPONSE_STATUS_CODE, code),
            // The last one, to be left out.
            KeyValue::new(names::ERROR_TYPE, code),
        ];
        let [all @ .., _error] = &attributes;
        let attributes = if names::is_server_error(code) { &attributes[..] } else { all };
        self.0.calls.record(took.as_secs_f64(), attributes);
        if trace.is_recorded() {
            let [_, _, code_and_error @ ..] = attributes else { return };
            let id = KeyValue::new(names::OPC_REQUEST_ID, request_id.to_owned());
            let is_error = names::is_server_error(code);
            trace.end(code_and_error.iter().cloned().chain([id]), is_error.then(|| error.to_owned().into()));
        }
    }

    /// A call was refused for want of a place.
    pub fn shed(&self) {
        self.0.shed.add(1, &[]);
    }

    /// A request to OCI has ended.
    pub(super) fn request(&self, took: Duration, attributes: &[KeyValue]) {
        self.0.requests.record(took.as_secs_f64(), attributes);
    }

    pub(super) fn tracing(&self) -> &Tracing {
        &self.0.tracing
    }

    /// A call's attempts are over.
    pub fn attempts(&self, operation: &'static str, attempts: u32) {
        self.0.attempts.record(u64::from(attempts), &[KeyValue::new(names::OPERATION, operation)]);
    }

    /// Another attempt is made, after a failure of this class.
    pub fn retry(&self, reason: &'static str) {
        self.0.retries.add(1, &[KeyValue::new(names::REASON, reason)]);
    }

    /// Another attempt would have been made, but the budget was spent.
    pub fn retry_refused(&self) {
        self.0.retries_refused.add(1, &[]);
    }

    /// No attempt was made, as the breaker was open.
    pub fn breaker_refused(&self) {
        self.0.breaker_refusals.add(1, &[]);
    }

    /// A request was signed, after so long a wait.
    pub fn signature(&self, waited: Duration, took: Duration, attempt: &Trace) {
        self.0.signing.record(took.as_secs_f64(), &[]);
        self.0.signing_wait.record(waited.as_secs_f64(), &[]);
        attempt.add([
            KeyValue::new(names::SIGNING_SECONDS_OF_SPAN, took.as_secs_f64()),
            KeyValue::new(names::SIGNING_WAIT_SECONDS_OF_SPAN, waited.as_secs_f64()),
        ]);
    }

    /// A figure that is asked for when somebody reads. `None`: there is none at the moment.
    pub fn gauge(&self, metric: Metric, figure: impl Fn() -> Option<f64> + Send + Sync + 'static) {
        let gauge = self.0.meter.f64_observable_gauge(metric.name).with_unit(metric.unit);
        let gauge = gauge.with_description(metric.help);
        gauge
            .with_callback(move |observer| figure().into_iter().for_each(|it| observer.observe(it, &[])))
            .build();
    }

    /// The same for what only grows.
    pub fn count(&self, metric: Metric, figure: impl Fn() -> Option<u64> + Send + Sync + 'static) {
        let counter = self.0.meter.u64_observable_counter(metric.name).with_unit(metric.unit);
        let counter = counter.with_description(metric.help);
        counter
            .with_callback(move |observer| figure().into_iter().for_each(|it| observer.observe(it, &[])))
            .build();
    }

    /// The same for one state of several: it is 1, and the others are 0.
    pub fn states(
        &self,
        metric: Metric,
        all: &'static [&'static str],
        state: impl Fn() -> Option<&'static str> + Send + Sync + 'static,
    ) {
        let gauge = self.0.meter.u64_observable_gauge(metric.name).with_unit(metric.unit);
        let gauge = gauge.with_description(metric.help);
        let callback = move |observer: &dyn opentelemetry::metrics::AsyncInstrument<u64>| {
            let Some(holds) = state() else { return };
            for one in all {
                observer.observe(u64::from(*one == holds), &[KeyValue::new(names::STATE, *one)]);
            }
        };
        gauge.with_callback(callback).build();
    }

    /// Pushes the last figures, where they are pushed.
    pub(super) fn end(&self) {
        // What fails is in the log.
        let _ = self.0.provider.shutdown();
    }

    /// What is running.
    pub fn build(&self, version: &'static str, revision: &'static str) {
        let build = names::BUILD_INFO;
        let gauge = self.0.meter.u64_observable_gauge(build.name).with_description(build.help);
        let attributes = [KeyValue::new(names::VERSION, version), KeyValue::new(names::REVISION, revision)];
        gauge.with_callback(move |observer| observer.observe(1, &attributes)).build();
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::nowhere()
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Recorder").finish_non_exhaustive()
    }
}

fn counter(meter: &Meter, metric: Metric) -> Counter<u64> {
    meter.u64_counter(metric.name).with_unit(metric.unit).with_description(metric.help).build()
}

fn seconds(meter: &Meter, metric: Metric, boundaries: &[f64]) -> Histogram<f64> {
    let histogram = meter.f64_histogram(metric.name).with_unit(metric.unit).with_description(metric.help);
    histogram.with_boundaries(boundaries.to_vec()).build()
}

fn count(meter: &Meter, metric: Metric, boundaries: &[f64]) -> Histogram<u64> {
    let histogram = meter.u64_histogram(metric.name).with_unit(metric.unit).with_description(metric.help);
    histogram.with_boundaries(boundaries.to_vec()).build()
}
