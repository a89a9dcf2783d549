//! What is known of a call when it ends: one record for the metrics, and one line of the log, written when its answer is on
//! its way already. To put a line together takes as long as all that a call is checked for, and the lines of a busy moment
//! take less time together.

use super::layers::Request;
use super::layers::Response;
use super::message;
use super::serving::Peer;
use crate::oci::Seat;
use crate::oci::request_id::RequestId;
use crate::oci::retry_token::RetryToken;
use crate::rpc::metadata::OPC_REQUEST_ID;
use crate::rpc::metadata::OPC_RETRY_TOKEN;
use crate::rpc::status;
use crate::rpc::status::Summary;
use crate::telemetry::Arrival;
use crate::telemetry::EndedCall;
use crate::telemetry::Recorder;
use crate::telemetry::Trace;
use http::HeaderValue;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use tokio::sync::Notify;

/// The path of an RPC that does not exist is its caller's, of any length; none that does is half as long.
const LONGEST_METHOD: usize = 128;

/// So many calls may end before there is more room to be made for them.
const ROOM: usize = 64;

/// Lines to be written, and what takes note of calls. Clones are one; the last one writes what is left.
#[derive(Clone, Default)]
pub(super) struct Journal {
    lines: Arc<Lines>,
    recorder: Recorder,
}

#[derive(Default)]
struct Lines {
    ended: Mutex<Vec<(Call, End)>>,
    noted: Notify,
}

/// A call that is to have its line when it ends, also when the caller ends it by leaving.
pub(super) struct Entry {
    call: Option<Call>,
    /// Knows the message's token, once that was read.
    seat: Option<Arc<Seat>>,
    journal: Journal,
}

/// What is known when a call begins.
struct Call {
    method: String,
    /// The same, if it is one of the contract's.
    rpc: Option<&'static str>,
    trace: Trace,
    peer: Option<Peer>,
    request_id: String,
    retry_token: Option<String>,
    began: Instant,
}

/// What is known when it ends.
struct End {
    took: Duration,
    summary: Summary,
    request_id: Option<String>,
    retry_token: Option<String>,
}

impl Journal {
    /// `recorder` hears of every call that ends.
    pub(super) fn new(recorder: Recorder) -> Self {
        recorder.may_fail(status::failures());
        Self { lines: Arc::default(), recorder }
    }

    pub(super) fn begin(
        &self,
        request: &Request,
        request_id: &RequestId,
        retry_token: Option<&HeaderValue>,
    ) -> Entry {
        let rpc = message::rpc(request.uri().path());
        let call = Call {
            rpc,
            trace: self.recorder.trace(rpc, request.headers()),
            method: request.uri().path().trim_start_matches('/').chars().take(LONGEST_METHOD).collect(),
            peer: request.extensions().get::<Peer>().cloned(),
            request_id: request_id.to_string(),
            retry_token: retry_token.and_then(|token| token.to_str().ok()).map(str::to_owned),
            began: Instant::now(),
        };
        call.trace.came(Arrival {
            unknown_method: rpc.is_none().then_some(call.method.as_str()),
            authority: request.uri().authority(),
            peer: call.peer.as_ref().map(|peer| peer.address),
        });
        Entry { call: Some(call), seat: None, journal: self.clone() }
    }

    /// A call was refused for want of a place.
    pub(super) fn shed(&self) {
        self.recorder.shed();
    }

    /// Writes what was noted, for ever.
    pub(super) async fn keep(self) {
        loop {
            self.lines.noted.notified().await;
            // The connections that have something to send go first.
            tokio::task::yield_now().await;
            self.write();
        }
    }

    /// Writes what was noted up to now.
    pub(super) fn write(&self) {
        self.lines.write();
    }
}

impl Entry {
    /// Whether there is such an RPC in the contract.
    pub(super) fn is_of_an_rpc(&self) -> bool {
        self.call.as_ref().is_some_and(|call| call.rpc.is_some())
    }

    /// The call has a place among those in flight.
    pub(super) fn seated(&mut self, seat: &Arc<Seat>) {
        self.seat = Some(Arc::clone(seat));
    }

    /// Where the call stands in its trace.
    pub(super) fn trace(&self) -> Trace {
        self.call.as_ref().map(|call| call.trace.clone()).unwrap_or_default()
    }

    /// The call has this answer.
    pub(super) fn end(mut self, response: &Response) {
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let text = |name| header(name).map(str::to_owned);
        self.note(status::summary(response), text(OPC_REQUEST_ID), text(OPC_RETRY_TOKEN));
    }

    fn note(&mut self, summary: Summary, request_id: Option<String>, retry_token: Option<String>) {
        let Some(call) = self.call.take() else { return };
        let end = End { took: call.began.elapsed(), summary, request_id, retry_token };
        self.journal.recorder.call(EndedCall {
            method: call.rpc,
            trace: &call.trace,
            request_id: end.request_id.as_deref().unwrap_or(&call.request_id),
            error: &end.summary.message,
            code: end.summary.code,
            failure: end.summary.failure,
            took: end.took,
        });
        self.journal.lines.ended().push((call, end));
        self.journal.lines.noted.notify_one();
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let retry_token = self.seat.as_deref().and_then(Seat::retry_token).map(RetryToken::to_string);
        self.note(status::left(), None, retry_token);
    }
}

impl Lines {
    fn write(&self) {
        let mut ended = std::mem::take(&mut *self.ended());
        ended.drain(..).for_each(|(call, end)| log(&call, &end));
        // The room is kept for those who end next, if they are not many.
        ended.shrink_to(ROOM);
        let mut since = self.ended();
        if since.is_empty() {
            *since = ended;
        }
    }

    fn ended(&self) -> MutexGuard<'_, Vec<(Call, End)>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.write();
    }
}

fn log(call: &Call, end: &End) {
    let own = call.request_id.as_str();
    let request_id = end.request_id.as_deref().unwrap_or(own);
    let (trace_id, span_id) = call.trace.ids().unzip();
    let _within = call.trace.enter();
    tracing::info!(
        method = call.method,
        code = end.summary.code,
        duration_ms = millis(end.took),
        opc_request_id = request_id,
        // OCI goes on from the id that it was sent. One who shares another's exchange is told of that one's.
        own_opc_request_id = Some(own).filter(|own| !request_id.starts_with(own)),
        opc_retry_token = end.retry_token.as_deref().or(call.retry_token.as_deref()),
        trace_id,
        span_id = span_id.flatten(),
        peer = call.peer.as_ref().map(|peer| tracing::field::display(peer.address)),
        caller = call.peer.as_ref().and_then(|peer| peer.caller.as_deref()),
        error = Some(end.summary.message.as_str()).filter(|error| !error.is_empty()),
        "call"
    );
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
