//! Why calls fail. What a caller is told has OCI's own codes, which are as many as OCI likes; what is counted has words of
//! closed sets.

use crate::oci::error::Service;
use crate::telemetry::Failure;

/// What OCI answered.
const OCI: &str = "oci.oraclecloud.com";
/// What the gateway itself decided.
const GATEWAY: &str = "oci-backup-gateway";

/// The list that README.md closes; no other reason can be answered.
macro_rules! reasons {
    ($($reason:ident = $text:literal),+ $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Reason { $($reason),+ }

        impl Reason {
            pub(super) const ALL: &[Self] = &[$(Self::$reason),+];

            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$reason => $text),+ }
            }
        }
    };
}

reasons! {
    BreakerOpen = "BREAKER_OPEN",
    Cancelled = "CANCELLED",
    CredentialUnavailable = "CREDENTIAL_UNAVAILABLE",
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    Draining = "DRAINING",
    Internal = "INTERNAL",
    InvalidRequest = "INVALID_REQUEST",
    MessageTooLarge = "MESSAGE_TOO_LARGE",
    Overloaded = "OVERLOADED",
    ResponseMismatch = "RESPONSE_MISMATCH",
    RetryTokenReused = "RETRY_TOKEN_REUSED",
    UpstreamConnect = "UPSTREAM_CONNECT",
    UpstreamDns = "UPSTREAM_DNS",
    UpstreamRedirect = "UPSTREAM_REDIRECT",
    UpstreamReset = "UPSTREAM_RESET",
    UpstreamResponseUnreadable = "UPSTREAM_RESPONSE_UNREADABLE",
    UpstreamTimeout = "UPSTREAM_TIMEOUT",
    UpstreamTls = "UPSTREAM_TLS",
}

impl Reason {
    pub(super) fn failure(self) -> Failure {
        Failure { domain: GATEWAY, reason: self.as_str() }
    }
}

/// The statuses that README.md's table names.
pub(super) const STATUSES: &[(u16, &str)] = &[
    (400, "HTTP_400"),
    (401, "HTTP_401"),
    (402, "HTTP_402"),
    (403, "HTTP_403"),
    (404, "HTTP_404"),
    (405, "HTTP_405"),
    (409, "HTTP_409"),
    (412, "HTTP_412"),
    (413, "HTTP_413"),
    (422, "HTTP_422"),
    (429, "HTTP_429"),
    (431, "HTTP_431"),
    (500, "HTTP_500"),
    (501, "HTTP_501"),
    (502, "HTTP_502"),
    (503, "HTTP_503"),
    (504, "HTTP_504"),
];

/// Of all 404s the one that is about the endpoint and not about a volume: it has no such operation.
const NO_SUCH_OPERATION: &str = "HTTP_404_NOT_FOUND";
const ANOTHER_STATUS: &str = "_OTHER";

const TOO_LITTLE_TIME: Failure = Failure { domain: GATEWAY, reason: "DEADLINE_TOO_SHORT" };

/// Who has failed a call, and why.
#[derive(Debug, Clone)]
pub(super) enum Why {
    Oci {
        /// As callers are told.
        reason: String,
        /// As it is counted.
        counted: &'static str,
    },
    Gateway(Reason),
    /// The caller left no time for an attempt. It is told of its deadline, and counted apart from those that OCI or the
    /// gateway let pass.
    TooLittleTime,
}

impl Why {
    /// OCI's answer, whose reason callers are told as `reason`.
    pub(super) fn of_oci(service: &Service, reason: String) -> Self {
        let status = service.status.as_u16();
        let named = STATUSES.iter().find(|(named, _)| *named == status);
        let counted = match (status, service.code.as_deref()) {
            (404, Some("NotFound")) => NO_SUCH_OPERATION,
            _ => named.map_or(ANOTHER_STATUS, |(_, counted)| counted),
        };
        Self::Oci { reason, counted }
    }

    pub(super) fn domain(&self) -> &'static str {
        self.failure().domain
    }

    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Oci { reason, .. } => reason,
            Self::Gateway(reason) => reason.as_str(),
            Self::TooLittleTime => Reason::DeadlineExceeded.as_str(),
        }
    }

    /// What is counted.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Oci { counted, .. } => Failure { domain: OCI, reason: counted },
            Self::Gateway(reason) => reason.failure(),
            Self::TooLittleTime => TOO_LITTLE_TIME,
        }
    }
}

/// Every failure that can be counted.
pub fn failures() -> impl Iterator<Item = Failure> {
    let of_oci = STATUSES.iter().map(|(_, counted)| *counted).chain([NO_SUCH_OPERATION, ANOTHER_STATUS]);
    let of_oci = of_oci.map(|reason| Failure { domain: OCI, reason });
    of_oci.chain(Reason::ALL.iter().map(|reason| reason.failure())).chain([TOO_LITTLE_TIME])
}
