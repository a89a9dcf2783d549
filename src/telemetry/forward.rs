//! Lines of the log for a collector, besides standard error, for who asked for it: the gateway's own lines, each with the
//! trace that its call is in. What libraries say stays here: the one that sends would send what it says of sending.

use super::filter::OURS;
use opentelemetry::InstrumentationScope;
use opentelemetry::logs::LoggerProvider;
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLogger;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use std::sync::OnceLock;
use tracing::Event;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

type Bridge = OpenTelemetryTracingBridge<Named, SdkLogger>;

/// Logging begins before anybody knows whether its lines are to be sent, so that it can be said why they are not.
static BRIDGE: OnceLock<Bridge> = OnceLock::new();

/// Lines go to a collector, too, from now on.
pub(super) fn to(logs: &SdkLoggerProvider) {
    // There is one log, and whoever was first has it.
    let _ = BRIDGE.set(Bridge::new(&Named(logs.clone())));
}

/// Gives lines the program's name as their scope: the bridge gives none, and the SDK says at each start that it misses it.
struct Named(SdkLoggerProvider);

impl LoggerProvider for Named {
    type Logger = SdkLogger;

    fn logger_with_scope(&self, _unnamed: InstrumentationScope) -> SdkLogger {
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"));
        self.0.logger_with_scope(scope.build())
    }
}

/// Hands lines on.
pub(super) struct Forward;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(bridge) = BRIDGE.get().filter(|_bridge| event.metadata().target().starts_with(OURS)) {
            bridge.on_event(event, context);
        }
    }
}
