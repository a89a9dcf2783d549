//! What ONE attempt is: credential → sign → send → classify.

use super::error::Cause;
use super::error::Service;
use super::operation::Operation;
use super::operation::Unusable;
use super::operation::read;
use super::place::Place;
use super::request::Request;
use super::request_id::RequestId;
use super::retry_token::RetryToken;
use super::signers::Signers;
use crate::clock::Clock;
use crate::clock::Correction;
use crate::credentials::Credentials;
use crate::credentials::ProvideCredentials;
use crate::ocid::Ocid;
use crate::region::Regions;
use crate::signature;
use crate::telemetry::Attempt;
use crate::telemetry::Planned;
use crate::telemetry::Recorder;
use crate::telemetry::Server;
use crate::telemetry::Trace;
use crate::transport;
use crate::transport::HttpService;
use crate::transport::Limits;
use crate::transport::retry::Class;
use crate::transport::retry::Failed;
use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

const OPC_REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
const OPC_RETRY_TOKEN: HeaderName = HeaderName::from_static("opc-retry-token");
const OPC_WORK_REQUEST_ID: HeaderName = HeaderName::from_static("opc-work-request-id");
const OPC_CLIENT_INFO: HeaderName = HeaderName::from_static("opc-client-info");
/// Says that the client repeats requests by itself, as OCI's SDKs do when a retry policy is in force.
const OPC_CLIENT_RETRIES: HeaderName = HeaderName::from_static("opc-client-retries");
/// Whoever has a credential has found out where it is good.
const NOWHERE: Cause = Cause::Internal("nobody knows where OCI is");
const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Everything an attempt needs from outside itself.
pub(super) struct Caller {
    pub(super) http: Arc<dyn HttpService>,
    pub(super) credentials: Arc<dyn ProvideCredentials>,
    pub(super) clock: Clock,
    pub(super) place: Place,
    pub(super) attempt_timeout: Duration,
    pub(super) client_info: HeaderValue,
    pub(super) regions: Regions,
    pub(super) signers: Signers,
    pub(super) recorder: Recorder,
    /// The endpoint, for the recorder.
    pub(super) server: OnceLock<Server>,
}

/// What OCI answered, with what its headers said about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// The body.
    pub value: T,
    /// OCI's id of the request, else the one that was sent.
    pub opc_request_id: String,
    /// The resource's version.
    pub etag: Option<String>,
    /// The work request that the operation started.
    pub opc_work_request_id: Option<String>,
    /// The token that went upstream.
    pub retry_token: Option<RetryToken>,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Arc<Cause>,
    pub(super) failed: Failed,
    pub(super) opc_request_id: Option<String>,
    /// The credential that OCI refused, where the clock was not the reason.
    pub(super) refused: Option<Arc<Credentials>>,
}

impl From<Cause> for Failure {
    fn from(cause: Cause) -> Self {
        Self { failed: cause.failed(), cause: Arc::new(cause), opc_request_id: None, refused: None }
    }
}

/// A request that is ready to be sent, and what it was signed with.
pub(super) struct Signed {
    http: http::Request<Bytes>,
    signed_at: SystemTime,
    credentials: Arc<Credentials>,
    attempt: Attempt,
}

impl Caller {
    /// The region that `subject` is in, if that is known to be another than the gateway's. Only regions of the
    /// tables are compared: others have names that nobody can tell apart.
    pub(super) fn elsewhere(&self, subject: &Ocid) -> Option<Box<str>> {
        let (there, here) =
            (self.regions.known(subject.region()?)?, self.regions.known(&self.place.region())?);
        (there != here).then(|| there.into())
    }

    /// The first half of an attempt, before anything is sent: with a fresh date and signature, but the same bytes,
    /// retry token and request id as every other attempt of the call.
    pub(super) async fn prepare<O: Operation>(
        self: &Arc<Self>,
        request: &Request,
        request_id: &RequestId,
        call: &Trace,
        before: u32,
    ) -> Result<Signed, Failure> {
        let credentials = self.credentials.provide().await.map_err(Cause::Credentials)?;
        let attempt = self.begin::<O>(request, call, before)?;
        let (this, unsigned, id) = (Arc::clone(self), request.clone(), request_id.clone());
        let (signer, asked) = (Arc::clone(&credentials), Instant::now());
        let trace = attempt.trace().clone();
        let sign = move || {
            let (signed_at, began) = (this.clock.now(), Instant::now());
            let mut signed = this.sign(&unsigned, &id, signer.identity(), signed_at)?;
            this.recorder.signature(began - asked, began.elapsed(), &trace);
            // Not signed: OCI signs a list of headers that has none of these.
            signed.headers_mut().extend(trace.headers());
            Ok((signed, signed_at))
        };
        let signed: Option<Result<_, Cause>> = self.signers.run(sign).await;
        let (http, signed_at) = signed.ok_or(Cause::Internal("signing ended before its time"))??;
        Ok(Signed { http, signed_at, credentials, attempt })
    }

    /// For the recorder: there is something to be asked with, and so somebody to ask.
    fn begin<O: Operation>(&self, request: &Request, call: &Trace, before: u32) -> Result<Attempt, Cause> {
        let endpoint = self.place.endpoint().ok_or(NOWHERE)?;
        let server = self.server.get_or_init(|| Server::new(endpoint.host(), endpoint.port()));
        let url = || endpoint.uri(&endpoint.target(&request.target)).ok().map(|url| url.to_string());
        let method = request.method.as_str();
        Ok(self.recorder.attempt(call, Planned { operation: O::NAME, method, server, url: &url, before }))
    }

    /// The second half, within `timeout`: sends, and classifies the answer.
    pub(super) async fn send<O: Operation>(
        &self,
        operation: &O,
        request: &Request,
        request_id: &RequestId,
        signed: Signed,
        timeout: Duration,
    ) -> Result<Answer<O::Output>, Failure> {
        let Signed { http, signed_at, credentials, mut attempt } = signed;
        let limits = Limits { timeout: timeout.min(self.attempt_timeout), max_body: request.max_answer };
        attempt.send();
        let (head, body) = match self.http.send(http, limits).await {
            Ok(answer) => answer.into_parts(),
            Err(error) => {
                attempt.end(None, Some(error.kind.as_str()));
                return Err(Cause::Transport(error).into());
            }
        };
        if let Some(date) = date(&head.headers) {
            self.clock.note(date);
        }
        let classified = self.classify(operation, head.status, &head.headers, body);
        let unusable = matches!(classified, Err(Cause::Decode(_))).then_some("unusable_answer");
        attempt.end(Some(head.status.as_u16()), unusable);
        let cause = match classified {
            Ok(value) => {
                return Ok(Answer {
                    value,
                    opc_request_id: text(&head.headers, &OPC_REQUEST_ID)
                        .unwrap_or_else(|| request_id.to_string()),
                    etag: text(&head.headers, &header::ETAG),
                    opc_work_request_id: text(&head.headers, &OPC_WORK_REQUEST_ID),
                    retry_token: request.idempotency.retry_token().cloned(),
                });
            }
            Err(cause) => cause,
        };
        let failed = self.failed(&cause, signed_at, &head.headers);
        let unexplained = is_refused(&cause) && failed.class != Class::Corrected;
        let refused = unexplained.then_some(credentials);
        Err(Failure { failed, opc_request_id: answered_id(&head.headers), cause: Arc::new(cause), refused })
    }

    /// Whether there is another credential, now that OCI refused this one and the clock was not the reason.
    pub(super) async fn renew(&self, refused: &Arc<Credentials>) -> bool {
        let renewed = tokio::time::timeout(self.attempt_timeout, self.credentials.renew(refused)).await;
        matches!(renewed, Ok(Some(_)))
    }

    fn sign(
        &self,
        request: &Request,
        request_id: &RequestId,
        identity: signature::Identity<'_>,
        now: SystemTime,
    ) -> Result<http::Request<Bytes>, Cause> {
        let endpoint = self.place.endpoint().ok_or(NOWHERE)?;
        let target = endpoint.target(&request.target);
        let signed = signature::sign(
            &signature::Request {
                method: &request.method,
                target: &target,
                host: signature::Host::Signed(endpoint.authority()),
                content_type: "application/json",
                body: &request.body,
            },
            &identity,
            now,
        )
        .map_err(Cause::Signature)?;
        let unfit = |_| Cause::Internal("a validated value does not fit into an HTTP header");
        let mut headers = signed;
        headers.insert(header::ACCEPT, APPLICATION_JSON);
        headers.insert(OPC_CLIENT_INFO, self.client_info.clone());
        headers.insert(OPC_CLIENT_RETRIES, HeaderValue::from_static("true"));
        headers.insert(OPC_REQUEST_ID, HeaderValue::from_str(request_id.as_str()).map_err(unfit)?);
        if let Some(token) = request.idempotency.retry_token() {
            headers.insert(OPC_RETRY_TOKEN, HeaderValue::from_str(token.as_str()).map_err(unfit)?);
        }
        let mut http = http::Request::new(request.body.clone());
        *http.method_mut() = request.method.clone();
        *http.uri_mut() = endpoint
            .uri(&target)
            .map_err(|_invalid| Cause::Internal("a validated value does not fit into a URL"))?;
        *http.headers_mut() = headers;
        Ok(http)
    }

    fn classify<O: Operation>(
        &self,
        operation: &O,
        status: StatusCode,
        headers: &HeaderMap,
        body: Result<Bytes, transport::Error>,
    ) -> Result<O::Output, Cause> {
        if !status.is_success() {
            // A body that broke off takes nothing from what the status says.
            return Err(Cause::Service(Service::read(status, headers, body.as_deref().ok())));
        }
        let body = body.map_err(|error| Cause::Decode(Unusable::Broken { kind: error.kind }))?;
        if matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT) {
            return Err(Cause::Decode(Unusable::Empty { status: status.as_u16() }));
        }
        let output = read(&body).map_err(Cause::Decode)?;
        operation.check(&output).map_err(Cause::Decode)?;
        note_type(headers);
        Ok(output)
    }

    /// What the failure means for the next attempt. A clock that could be put right changes what that would meet.
    fn failed(&self, cause: &Cause, signed_at: SystemTime, headers: &HeaderMap) -> Failed {
        let failed = cause.failed();
        let observed = || date(headers).and_then(|date| self.clock.observe(signed_at, date));
        match is_refused(cause).then(observed).flatten() {
            None => failed,
            Some(Correction::AlreadyMade) => Failed { class: Class::Corrected, ..failed },
            Some(Correction::Made { offset_ms }) => {
                tracing::warn!(offset_ms, "the machine's clock differs from OCI's: signing with OCI's time");
                Failed { class: Class::Corrected, ..failed }
            }
        }
    }
}

fn is_refused(cause: &Cause) -> bool {
    matches!(cause, Cause::Service(service) if service.status == StatusCode::UNAUTHORIZED)
}

/// JSON under another name is taken all the same, but something between here and OCI has had its hands on it.
fn note_type(headers: &HeaderMap) {
    let content_type = text(headers, &header::CONTENT_TYPE);
    let essence = content_type.as_deref().and_then(|content_type| content_type.split(';').next());
    if !essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        let opc_request_id = answered_id(headers);
        tracing::warn!(
            content_type,
            opc_request_id,
            "an answer of OCI's came under another type than JSON's"
        );
    }
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

/// A header's text, if it can go into gRPC metadata: clients refuse a whole answer for 16 KiB of it.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    const MAX_LEN: usize = 1024;
    let value = headers.get(name)?.to_str().ok()?.trim();
    (1..=MAX_LEN).contains(&value.len()).then(|| value.to_owned())
}

/// OCI's id of the request. It goes into every status, so a longer one than OCI ever makes is none.
fn answered_id(headers: &HeaderMap) -> Option<String> {
    const MAX_LEN: usize = 256;
    text(headers, &OPC_REQUEST_ID).filter(|id| id.len() <= MAX_LEN)
}
