//! A status before it has its size: every detail that applies, cut down until the whole fits.

use super::Row;
use crate::oci::error::Outcome;
use crate::oci::retry_token::RetryToken;
use crate::ocid::Ocid;
use crate::rpc::field::Violations;
use crate::rpc::metadata;
use crate::rpc::metadata::GRPC_RETRY_PUSHBACK_MS;
use crate::rpc::metadata::OPC_REQUEST_ID;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;
use tonic_types::ErrorDetails;
use tonic_types::FieldViolation;
use tonic_types::StatusExt;

/// A status of more than about 8 KiB is replaced by the client's own error. The contract's 4 KiB leave room for
/// what proxies add; these, for the token that the server tells back where the message was never read.
const MAX_STATUS: usize = 4000;

/// Longer messages are cut, so that details have room: the wire holds a message twice, alone and in them.
const MAX_MESSAGE: usize = 1024;

/// The name of an RPC that does not exist is its caller's, of any length.
const MAX_OPERATION: usize = 64;

/// Who may try again, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retry {
    /// The same call would fail again.
    Never,
    /// The application may, with the same token. Its library must not: the gateway has tried already.
    Application(Duration),
    /// The library may too: another replica, or this one in a moment, may serve it.
    Anyone(Duration),
}

impl Retry {
    pub(super) fn for_the_application(self) -> Self {
        match self {
            Self::Anyone(delay) => Self::Application(delay),
            Self::Application(_) | Self::Never => self,
        }
    }
}

/// The standard detail that only some rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    None,
    Quota,
    Resource,
}

/// All that a status will say.
pub(super) struct Draft {
    row: Row,
    message: String,
    operation: String,
    opc_request_id: String,
    pub(super) region: String,
    pub(super) attempts: u32,
    pub(super) outcome: Option<Outcome>,
    pub(super) retry_token: Option<RetryToken>,
    pub(super) subject: Option<Ocid>,
    pub(super) http_status: Option<u16>,
    pub(super) oci_code: Option<String>,
    pub(super) last_error: Option<String>,
    pub(super) violations: Violations,
}

impl Draft {
    pub(super) fn new(row: Row, message: String, operation: &str, opc_request_id: &str) -> Self {
        Self {
            row,
            message: legible(cut(&message, MAX_MESSAGE)),
            operation: cut(operation, MAX_OPERATION).to_owned(),
            opc_request_id: opc_request_id.to_owned(),
            region: String::new(),
            attempts: 0,
            outcome: None,
            retry_token: None,
            subject: None,
            http_status: None,
            oci_code: None,
            last_error: None,
            violations: Violations::default(),
        }
    }

    /// The status, at most [`MAX_STATUS`] as it goes over the wire: as many violations as fit, then a shorter
    /// message.
    pub(super) fn status(mut self) -> Status {
        /// The name and the lengths of the detail that holds them, in base64.
        const BAD_REQUEST: usize = 80;
        let mut wanted = std::mem::take(&mut self.violations.kept);
        let mut room = MAX_STATUS.saturating_sub(BAD_REQUEST).saturating_sub(self.build().1);
        wanted.retain(|violation| {
            // In base64, with its tags and lengths.
            let size = (violation.field.len() + violation.problem.len() + 12) * 4 / 3;
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        });
        self.violations.kept = wanted;
        loop {
            let (status, size) = self.build();
            if size <= MAX_STATUS || self.message.is_empty() {
                return status;
            }
            self.message = cut(&self.message, self.message.len() / 2).to_owned();
        }
    }

    fn build(&self) -> (Status, usize) {
        let mut status = Status::with_error_details_and_metadata(
            self.row.code,
            self.message.clone(),
            self.details(),
            self.metadata(),
        );
        // Stays in this process, for whoever counts what failed.
        status.set_source(Arc::new(self.row.why.failure()));
        let size = size(&status);
        (status, size)
    }

    fn details(&self) -> ErrorDetails {
        let mut details = ErrorDetails::new();
        details.set_error_info(self.row.why.reason(), self.row.why.domain(), self.info());
        details.set_request_info(&self.opc_request_id, "");
        if let Retry::Application(delay) | Retry::Anyone(delay) = self.row.retry {
            details.set_retry_info(Some(delay));
        }
        if !self.violations.kept.is_empty() {
            let violations = self.violations.kept.iter();
            let violations =
                violations.map(|violation| FieldViolation::new(&violation.field, &violation.problem));
            details.set_bad_request(violations.collect::<Vec<_>>());
        }
        match (self.row.detail, &self.subject) {
            (Detail::Resource, Some(id)) => {
                details.set_resource_info(
                    id.resource_type(),
                    id.as_str(),
                    "",
                    "this, or another resource that the request names, is missing or not allowed",
                );
            }
            (Detail::Quota, _) => {
                let subject = format!("region:{}", self.region);
                details
                    .add_quota_failure_violation(subject, "a service limit or a compartment quota of OCI's");
            }
            (Detail::None | Detail::Resource, _) => {}
        }
        details
    }

    fn info(&self) -> HashMap<String, String> {
        let outcome = self.outcome.map(|outcome| outcome.as_str().to_owned());
        let http_status = self.http_status.map(|status| status.to_string());
        let oci_code = self.oci_code.as_deref().map(|code| cut(code, 64).to_owned());
        let last_error = self.last_error.as_deref().map(|text| cut(text, 200).to_owned());
        let region = Some(self.region.clone()).filter(|region| !region.is_empty());
        let violations =
            Some(self.violations.count).filter(|count| *count > 0).map(|count| count.to_string());
        [
            ("operation", Some(self.operation.clone())),
            ("attempts", Some(self.attempts.to_string())),
            ("region", region),
            ("outcome", outcome),
            ("http_status", http_status),
            ("oci_code", oci_code),
            ("last_error", last_error),
            ("violations", violations),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }

    fn metadata(&self) -> MetadataMap {
        let mut pairs = MetadataMap::new();
        metadata::insert(&mut pairs, OPC_REQUEST_ID, &self.opc_request_id);
        metadata::of_token(&mut pairs, self.retry_token.as_ref());
        let pushback = match self.row.retry {
            // Never 0, which would mean: at once.
            Retry::Anyone(delay) => delay.as_millis().max(1).to_string(),
            Retry::Application(_) | Retry::Never => "-1".to_owned(),
        };
        metadata::insert(&mut pairs, GRPC_RETRY_PUSHBACK_MS, &pushback);
        pairs
    }
}

/// What the status takes on the wire, as tonic writes it.
fn size(status: &Status) -> usize {
    let answer = status.clone().into_http::<()>();
    answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}

/// What OCI or a caller said is shown by terminals and logs: it gives them no commands, and turns no line around.
fn legible(text: &str) -> String {
    const TURNING: [char; 11] = [
        '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
        '\u{2067}', '\u{2068}', '\u{2069}',
    ];
    text.replace(|letter: char| letter.is_control() || TURNING.contains(&letter), "\u{fffd}")
}

/// At most `limit` bytes, cut between characters.
pub(super) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
