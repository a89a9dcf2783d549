//! A request to OCI on its way, as metrics and traces tell of it. One that nobody ends was cut off, and is told as that.

use super::names;
use super::recorder::Recorder;
use super::trace::Trace;
use opentelemetry::KeyValue;
use opentelemetry::Value;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Why there is no answer to what was not even sent; no metric counts it.
const UNSENT: &str = "unsent";
/// Why nobody waited for the answer.
const CANCELLED: &str = "cancelled";

/// What is about to be asked.
#[derive(Clone, Copy)]
pub struct Planned<'a> {
    /// The operation, by its RPC's name.
    pub operation: &'static str,
    /// GET, POST, …
    pub method: &'a str,
    /// Who is asked.
    pub server: &'a Server,
    /// The whole URL, for whoever reads spans.
    pub url: &'a dyn Fn() -> Option<String>,
    /// So many attempts of the call were made before.
    pub before: u32,
}

/// Where requests go.
#[derive(Debug, Clone)]
pub struct Server {
    host: Arc<str>,
    port: u16,
}

impl Server {
    /// A host by its name or address, and a port.
    #[must_use]
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

/// An attempt, until its end.
pub struct Attempt {
    recorder: Recorder,
    trace: Trace,
    attributes: Vec<KeyValue>,
    sent: Option<Instant>,
    is_ended: bool,
}

impl Attempt {
    /// What is planned begins, as a part of the call's trace.
    pub(super) fn new(recorder: &Recorder, call: &Trace, planned: Planned<'_>) -> Self {
        let Planned { operation, method, server, url, before } = planned;
        let method = known(method);
        let attributes = vec![
            KeyValue::new(names::OPERATION, operation),
            KeyValue::new(names::HTTP_REQUEST_METHOD, method),
            KeyValue::new(names::SERVER_ADDRESS, Arc::clone(&server.host)),
            KeyValue::new(names::SERVER_PORT, i64::from(server.port)),
        ];
        let trace = recorder.tracing().attempt(call, method, || {
            // The conventions leave it out for the first one.
            let before = (before > 0).then_some(i64::from(before));
            let before = before.map(|before| KeyValue::new(names::HTTP_REQUEST_RESEND_COUNT, before));
            let url = url().map(|url| KeyValue::new(names::URL_FULL, url));
            attributes.iter().cloned().chain(before).chain(url).collect()
        });
        Self { recorder: recorder.clone(), trace, attributes, sent: None, is_ended: false }
    }

    /// Its place in the call's trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// From now on it is a request.
    pub fn send(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// What was answered, and why it was no answer that can be used, if the status does not say that.
    pub fn end(mut self, status: Option<u16>, error: Option<&'static str>) {
        self.close(status, error);
    }

    fn close(&mut self, status: Option<u16>, error: Option<&'static str>) {
        self.is_ended = true;
        // The conventions' word for an error status is the status, and then there is no more to say of it.
        let (error, described) = match (error, status) {
            (Some(error), _) => (Some(Value::from(error)), Some(Cow::Borrowed(error))),
            (None, Some(status @ 300..)) => (Some(Value::from(status.to_string())), Some(Cow::Borrowed(""))),
            (None, _) => (None, None),
        };
        let status = status.map(|status| KeyValue::new(names::HTTP_RESPONSE_STATUS_CODE, i64::from(status)));
        let answer = status.into_iter().chain(error.map(|error| KeyValue::new(names::ERROR_TYPE, error)));
        let known = self.attributes.len();
        self.attributes.extend(answer);
        if let Some(took) = self.sent.as_ref().map(Instant::elapsed) {
            self.recorder.request(took, &self.attributes);
        }
        if self.trace.is_recorded() {
            self.trace.end(self.attributes.drain(known..), described);
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_ended {
            self.close(None, Some(if self.sent.is_some() { CANCELLED } else { UNSENT }));
        }
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Attempt").field("trace", &self.trace).finish_non_exhaustive()
    }
}

fn known(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "DELETE"].into_iter().find(|known| *known == method).unwrap_or(names::OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_counted_once_however_it_ends_and_what_is_not_is_no_request() {
        const COUNT: &str = "http_client_request_duration_seconds_count";
        let recorder = Recorder::new().unwrap();
        let server = Server::new("oci.example", 443);
        let begin = || {
            let planned =
                Planned { operation: "Create", method: "POST", server: &server, url: &|| None, before: 0 };
            recorder.attempt(&Trace::default(), planned)
        };
        drop(begin());
        assert!(!recorder.page().unwrap().contains(COUNT), "it was never sent");
        for end in [Some(200), None] {
            let mut attempt = begin();
            attempt.send();
            match end {
                Some(status) => attempt.end(Some(status), None),
                None => drop(attempt),
            }
        }
        let page = recorder.page().unwrap();
        let counts: Vec<_> = page.lines().filter(|line| line.starts_with(COUNT)).collect();
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!(counts.iter().all(|line| line.ends_with(" 1")), "{counts:?}");
        assert_eq!(
            counts.iter().filter(|line| line.contains("error_type=\"cancelled\"")).count(),
            1,
            "{counts:?}"
        );
    }
}
