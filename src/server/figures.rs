//! What `/metrics` asks for when somebody reads it: figures that stand somewhere already, so that no call pays for them.

use super::accept::Room;
use super::layers::Entrance;
use super::readiness::Readiness;
use super::readiness::State;
use super::tls::Tls;
use crate::oci;
use crate::telemetry;
use crate::telemetry::Recorder;
use crate::telemetry::names;
use crate::transport::breaker::Position;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// Where they stand. The recorder knows it only as long as the server lives.
pub(super) struct Figures {
    pub(super) client: oci::Client,
    pub(super) room: Room,
    pub(super) entrance: Entrance,
    pub(super) readiness: Readiness,
    pub(super) mutations: oci::Mutations,
    pub(super) tls: Option<Tls>,
}

impl Figures {
    /// Has `recorder` ask from now on, until what is returned is dropped.
    pub(super) fn shown_by(self, recorder: &Recorder) -> Arc<Self> {
        let this = Arc::new(self);
        let weak = Arc::downgrade(&this);
        let gauge = |metric, figure: fn(&Self) -> Option<f64>| {
            let weak = weak.clone();
            recorder.gauge(metric, move || figure(&*weak.upgrade()?));
        };
        recorder.build(env!("CARGO_PKG_VERSION"), env!("GATEWAY_GIT_REVISION"));
        recorder.count(names::PANICS, || Some(telemetry::panics()));
        recorder.count(names::LOG_LINES_DROPPED, || Some(telemetry::dropped_lines()));
        gauge(names::READY, |it| truth(matches!(it.readiness.state(), State::Ready)));
        gauge(names::DRAINING, |it| truth(matches!(it.readiness.state(), State::Draining)));
        gauge(names::CALLS_IN_FLIGHT, |it| number(it.entrance.in_flight()));
        gauge(names::CALLS_LIMIT, |it| number(it.entrance.limit()));
        gauge(names::CONNECTIONS, |it| number(it.room.taken()));
        gauge(names::CONNECTIONS_LIMIT, |it| number(it.room.limit()));
        gauge(names::MUTATIONS_IN_FLIGHT, |it| number(it.mutations.len()));
        gauge(names::RETRY_BUDGET, |it| Some(f64::from(it.client.retry_budget())));
        gauge(names::CLOCK_OFFSET, |it| Some(it.client.clock_offset().as_secs_f64()));
        gauge(names::CREDENTIAL_REFUSED, |it| truth(matches!(it.readiness.state(), State::Refused)));
        gauge(names::CREDENTIAL_EXPIRY, |it| timestamp(it.client.credential().expires?));
        gauge(names::TLS_CERTIFICATE_EXPIRY, |it| timestamp(it.tls.as_ref()?.condition().expires));
        let count = |metric, figure: fn(&Self) -> Option<u64>| {
            let weak = weak.clone();
            recorder.count(metric, move || figure(&*weak.upgrade()?));
        };
        count(names::CONNECTIONS_REFUSED, |it| Some(it.room.refused()));
        count(names::TLS_RELOAD_FAILURES, |it| Some(it.tls.as_ref()?.condition().reload_failures));
        count(names::TLS_HANDSHAKE_FAILURES, |it| Some(it.tls.as_ref()?.condition().handshake_failures));
        count(names::CREDENTIAL_REFRESH_FAILURES, |it| Some(it.client.credential().failures));
        recorder.states(names::BREAKER_STATE, Position::NAMES, move || {
            Some(weak.upgrade()?.client.breaker().as_str())
        });
        this
    }
}

fn truth(is: bool) -> Option<f64> {
    Some(f64::from(u8::from(is)))
}

fn number(count: usize) -> Option<f64> {
    u32::try_from(count).ok().map(f64::from)
}

fn timestamp(time: SystemTime) -> Option<f64> {
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64().floor())
}
