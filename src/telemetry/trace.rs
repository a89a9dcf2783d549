//! The trace of a call: one span for the call, one for each attempt. A trace that the caller began goes on, also where
//! this process makes no spans: then what it sent goes upstream as it came.

use super::names;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::uri::Authority;
use opentelemetry::Context;
use opentelemetry::ContextGuard;
use opentelemetry::KeyValue;
use opentelemetry::propagation::Extractor;
use opentelemetry::propagation::Injector;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::SpanKind;
use opentelemetry::trace::Status;
use opentelemetry::trace::TraceContextExt;
use opentelemetry::trace::Tracer;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

/// What spans are made with.
#[derive(Clone, Default)]
pub(super) struct Tracing {
    /// `None`: none are made.
    pub(super) tracer: Option<SdkTracer>,
    /// Whether W3C's headers are read and sent (`OTEL_PROPAGATORS`).
    pub(super) propagation: Propagation,
}

/// Whether a trace goes on across processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Propagation {
    /// By `traceparent` and `tracestate`. `baggage` is never sent: it is the callers' own, and OCI is a third party.
    #[default]
    TraceContext,
    /// It does not.
    None,
}

/// Where a call stands in its trace; nowhere, if it has none. Clones are one.
#[derive(Clone, Default)]
pub struct Trace {
    context: Option<Context>,
    propagation: Propagation,
}

/// How a call came in.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The method as its caller has it, where it is none that is known.
    pub unknown_method: Option<&'a str>,
    /// Whom the caller means to speak to.
    pub authority: Option<&'a Authority>,
    /// The other end of its connection.
    pub peer: Option<SocketAddr>,
}

/// What no host's name is longer than (RFC 1035, 2.3.4): `:authority` is its caller's, of any length.
const LONGEST_HOST: usize = 255;

impl Tracing {
    /// Goes on with the caller's trace, or begins one.
    pub(super) fn call(&self, method: Option<&'static str>, headers: &HeaderMap) -> Trace {
        let propagation = self.propagation;
        let caller = match propagation {
            Propagation::TraceContext => extract(headers),
            Propagation::None => None,
        };
        let Some(tracer) = &self.tracer else { return Trace { context: caller, propagation } };
        let span = tracer.span_builder(method.unwrap_or(names::GRPC)).with_kind(SpanKind::Server);
        let span = span.with_attributes([
            KeyValue::new(names::RPC_SYSTEM_NAME, names::GRPC),
            KeyValue::new(names::RPC_METHOD, method.unwrap_or(names::OTHER)),
        ]);
        let parent = caller.unwrap_or_default();
        let context = Context::new().with_span(tracer.build_with_context(span, &parent));
        Trace { context: Some(context), propagation }
    }

    /// An attempt of the call, as a span of its own.
    pub(super) fn attempt(
        &self,
        call: &Trace,
        method: &'static str,
        attributes: impl FnOnce() -> Vec<KeyValue>,
    ) -> Trace {
        let (Some(tracer), Some(parent)) = (&self.tracer, &call.context) else { return call.clone() };
        let span = tracer.span_builder(method).with_kind(SpanKind::Client).with_attributes(attributes());
        let context = Context::new().with_span(tracer.build_with_context(span, parent));
        Trace { context: Some(context), ..*call }
    }
}

impl Trace {
    /// The headers that carry it on.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = Headers(HeaderMap::new());
        if let (Some(context), Propagation::TraceContext) = (&self.context, self.propagation) {
            TraceContextPropagator::new().inject_context(context, &mut headers);
        }
        headers.0
    }

    /// The trace's id; and that of the span, if it is one of ours.
    #[must_use]
    pub fn ids(&self) -> Option<(String, Option<String>)> {
        let context = self.span_context()?;
        let span = (!context.is_remote()).then(|| context.span_id().to_string());
        Some((context.trace_id().to_string(), span))
    }

    /// What is logged until the end of what this returns belongs to it.
    #[must_use]
    pub fn enter(&self) -> Option<ContextGuard> {
        self.context.clone().map(Context::attach)
    }

    /// Whether anybody will read of it.
    pub(super) fn is_recorded(&self) -> bool {
        self.context.as_ref().is_some_and(|context| context.span().is_recording())
    }

    /// What is known of it before its end.
    pub(super) fn add(&self, attributes: impl IntoIterator<Item = KeyValue>) {
        if let Some(context) = self.context.as_ref().filter(|_| self.is_recorded()) {
            context.span().set_attributes(attributes);
        }
    }

    /// How the call came in, for whoever reads its span; it costs nothing where nobody does.
    pub fn came(&self, Arrival { unknown_method, authority, peer }: Arrival<'_>) {
        if !self.is_recorded() {
            return;
        }
        let host = authority.map(|authority| authority.host().trim_matches(['[', ']']));
        let host = host.map(|host| host.chars().take(LONGEST_HOST).collect::<String>());
        let port = authority.and_then(Authority::port_u16);
        let method = unknown_method.map(str::to_owned);
        let attributes = [
            host.map(|host| KeyValue::new(names::SERVER_ADDRESS, host)),
            port.map(|port| KeyValue::new(names::SERVER_PORT, i64::from(port))),
            peer.map(|peer| KeyValue::new(names::NETWORK_PEER_ADDRESS, peer.ip().to_string())),
            peer.map(|peer| KeyValue::new(names::NETWORK_PEER_PORT, i64::from(peer.port()))),
            method.map(|method| KeyValue::new(names::RPC_METHOD_ORIGINAL, method)),
        ];
        self.add(attributes.into_iter().flatten());
    }

    /// The end of its span.
    pub(super) fn end(
        &self,
        attributes: impl IntoIterator<Item = KeyValue>,
        error: Option<Cow<'static, str>>,
    ) {
        let Some(context) = &self.context else { return };
        let span = context.span();
        span.set_attributes(attributes);
        if let Some(description) = error {
            span.set_status(Status::Error { description });
        }
        span.end();
    }

    fn span_context(&self) -> Option<SpanContext> {
        let context = self.context.as_ref()?.span().span_context().clone();
        context.is_valid().then_some(context)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Trace").field(&self.span_context()).finish()
    }
}

/// What the caller's headers say; nothing where they say it twice (w3.org/TR/trace-context).
fn extract(headers: &HeaderMap) -> Option<Context> {
    if headers.get_all("traceparent").iter().count() != 1 {
        return None;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &Caller::of(headers));
    context.has_active_span().then_some(context)
}

struct Caller<'a> {
    headers: &'a HeaderMap,
    /// Several headers are one list.
    state: String,
}

impl<'a> Caller<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        let states = headers.get_all("tracestate").iter().filter_map(|state| state.to_str().ok());
        Self { headers, state: states.collect::<Vec<_>>().join(",") }
    }
}

impl Extractor for Caller<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "tracestate" => Some(self.state.as_str()).filter(|state| !state.is_empty()),
            _ => self.headers.get(key)?.to_str().ok(),
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.headers.keys().map(HeaderName::as_str).collect()
    }
}

struct Headers(HeaderMap);

impl Injector for Headers {
    fn set(&mut self, key: &str, value: String) {
        // A trace without a state has none to send.
        let value = Some(value).filter(|value| !value.is_empty());
        let value = value.and_then(|value| HeaderValue::try_from(value).ok());
        if let (Ok(name), Some(value)) = (HeaderName::try_from(key), value) {
            self.0.insert(name, value);
        }
    }
}
