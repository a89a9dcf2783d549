//! A request as it was on the wire: nothing decoded, nothing normalized.

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use super::problem::Problem;

/// Far above what any backup needs; a request beyond it is 413.
const BODY_LIMIT: usize = 1 << 20;

pub(super) struct RawRequest {
    pub(super) method: Method,
    /// Path and query exactly as sent.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// What was sent, or why it was not read to its end; it is empty then.
    pub(super) body: Bytes,
    pub(super) unread: Option<Problem>,
    pub(super) body_sha256: [u8; 32],
}

impl RawRequest {
    /// `None` when the caller left before the request was whole.
    pub(super) async fn read(request: Request<Incoming>) -> Option<RawRequest> {
        let (parts, body) = request.into_parts();
        let (body, unread) = match Limited::new(body, BODY_LIMIT).collect().await {
            Ok(collected) => (collected.to_bytes(), None),
            Err(error) if error.is::<LengthLimitError>() => {
                (Bytes::new(), Some(Problem::payload_too_large(BODY_LIMIT)))
            }
            Err(_) => return None,
        };
        let target = parts.uri.path_and_query().map_or("/", |both| both.as_str()).to_owned();
        let body_sha256 = Sha256::digest(&body).into();
        Some(RawRequest { method: parts.method, target, headers: parts.headers, body, unread, body_sha256 })
    }

    pub(super) fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    pub(super) fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// What must be the same when a retry token comes again: where to, and the body byte for byte.
    pub(super) fn content(&self) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.path())
            .chain_update([0])
            .chain_update(self.body_sha256)
            .finalize()
            .into()
    }

    /// The value of a header that is there once and is printable ASCII.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    }

    /// The caller's id when it has the form OCI accepts, extended to three parts; else one of our own.
    pub(super) fn answered_request_id(&self) -> String {
        let caller = self.text("opc-request-id").filter(|id| is_request_id(id));
        let mut parts: Vec<String> =
            caller.into_iter().flat_map(|id| id.split('/')).map(str::to_owned).collect();
        while parts.len() < 3 {
            parts.push(format!("{:032X}", rand::random::<u128>()));
        }
        parts.join("/")
    }
}

/// One to three parts of up to 32 characters (OCI SDKs, `opc-request-id`).
fn is_request_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let well_formed = |part: &str| (1..=32).contains(&part.len()) && part.bytes().all(allowed);
    id.split('/').count() <= 3 && id.split('/').all(well_formed)
}
