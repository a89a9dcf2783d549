//! An answer before it goes out: status, headers, body.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, DATE, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::problem::Problem;

pub(super) const OPC_REQUEST_ID: HeaderName = HeaderName::from_static("opc-request-id");
pub(super) const OPC_NEXT_PAGE: HeaderName = HeaderName::from_static("opc-next-page");

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn empty(status: StatusCode) -> Answer {
        Answer { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub(super) fn json(status: StatusCode, body: &Value) -> Answer {
        Answer::json_bytes(status, Bytes::from(body.to_string()))
    }

    pub(super) fn json_bytes(status: StatusCode, body: Bytes) -> Answer {
        let mut answer = Answer::empty(status);
        answer.body = body;
        answer.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }

    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Answer {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn with_etag(self, etag: &str) -> Answer {
        self.with(ETAG, etag)
    }

    /// What every answer of OCI carries, errors included.
    pub(super) fn stamped(self, opc_request_id: &str, now: SystemTime) -> Answer {
        self.with(OPC_REQUEST_ID, opc_request_id).with(DATE, &httpdate::fmt_http_date(now))
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Answer {
        let answer = Answer::json(problem.status, &json!({"code": problem.code, "message": problem.message}));
        match problem.allow {
            Some(allow) => answer.with(ALLOW, allow),
            None => answer,
        }
    }
}
