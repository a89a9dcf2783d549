//! Why no usable answer came, by what is known about the request's fate.

use std::error::Error as StdError;

/// A failed exchange.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// What is known about the request.
    pub kind: Kind,
    /// What the layers below said.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The kinds differ in what the server may have done, and so in who may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// What was to be sent is no HTTP request. Nothing was sent, and nothing would be the next time.
    #[error("the request could not be built")]
    Request,
    /// The host's name did not resolve. Nothing was sent: trying again is safe for everybody.
    #[error("the host's name could not be resolved")]
    Dns,
    /// No connection came about. Nothing was sent: trying again is safe for everybody.
    #[error("no connection could be made")]
    Connect,
    /// The peer's certificate or protocol version is not acceptable. Nothing was sent, and a retry
    /// would meet the same configuration.
    #[error("the TLS handshake failed")]
    Tls,
    /// The connection broke after the request was, or may have been, sent. The server may have acted.
    #[error("the connection broke before the answer came")]
    Reset,
    /// No answer came in time. The server may have acted.
    #[error("no answer came in time")]
    Timeout,
    /// The answer's body is longer than anything expected. The server has acted.
    #[error("the answer is longer than allowed")]
    TooLarge,
}

impl Kind {
    /// Its name, for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::TooLarge => "too_large",
        }
    }

    /// Whether the request certainly never reached the server.
    #[must_use]
    pub fn never_sent(self) -> bool {
        match self {
            Self::Request | Self::Dns | Self::Connect | Self::Tls => true,
            Self::Reset | Self::Timeout | Self::TooLarge => false,
        }
    }
}

impl Error {
    /// An error of `kind`, with what caused it.
    pub fn new(kind: Kind, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, source: Some(source.into()) }
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self { kind, source: None }
    }
}
