//! Where OCI's Block Volume API is.

use http::Uri;
use http::uri::Authority;
use http::uri::Scheme;
use std::fmt;
use std::net::IpAddr;

/// The API's version, below every endpoint (docs.oracle.com/en-us/iaas/api/#/en/iaas/20160918).
const BASE_PATH: &str = "/20160918";

/// A validated base URL: scheme and authority, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    authority: Authority,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL with a scheme and a host.
    #[error("not a URL such as https://iaas.us-ashburn-1.oraclecloud.com")]
    NotAUrl,
    /// Neither http nor https.
    #[error("the scheme must be https")]
    Scheme,
    /// Plain HTTP to another machine.
    #[error("plain http is refused unless the host is a loopback address: signed requests need TLS")]
    Plaintext,
    /// More than scheme and authority.
    #[error("only scheme, host and port may be given: no user, path, query or fragment")]
    Extra,
}

impl Endpoint {
    /// Reads a base URL such as `https://iaas.us-ashburn-1.oraclecloud.com`.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let parts = text.parse::<Uri>().map_err(|_invalid| EndpointError::NotAUrl)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(EndpointError::NotAUrl);
        };
        let path = parts.path_and_query.as_ref().map_or("", |path| path.as_str());
        if !matches!(path, "" | "/") || authority.as_str().contains('@') || text.contains('#') {
            return Err(EndpointError::Extra);
        }
        let host = authority.host().to_owned();
        if scheme == Scheme::HTTPS {
            Ok(Self { authority: without_port(authority, 443)?, scheme })
        } else if scheme != Scheme::HTTP {
            Err(EndpointError::Scheme)
        } else if is_loopback(&host) {
            Ok(Self { authority: without_port(authority, 80)?, scheme })
        } else {
            Err(EndpointError::Plaintext)
        }
    }

    /// Host and port as they stand in the `Host` header, and so in the signature: a scheme's own port is
    /// left out, as HTTP clients do.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// Path and query as they are sent, for a target below the API's base path.
    pub(super) fn target(&self, below: &str) -> String {
        format!("{BASE_PATH}{below}")
    }

    /// The whole URL of `target`.
    pub(super) fn uri(&self, target: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(target)
            .build()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.authority)
    }
}

fn without_port(authority: Authority, default: u16) -> Result<Authority, EndpointError> {
    if authority.port_u16() != Some(default) {
        return Ok(authority);
    }
    authority.host().parse().map_err(|_invalid| EndpointError::NotAUrl)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_https_anywhere_and_http_on_loopback_only() {
        for (text, authority) in [
            ("https://iaas.us-ashburn-1.oraclecloud.com", "iaas.us-ashburn-1.oraclecloud.com"),
            ("https://iaas.us-ashburn-1.oraclecloud.com/", "iaas.us-ashburn-1.oraclecloud.com"),
            ("https://example.com:443", "example.com"),
            ("https://example.com:8443", "example.com:8443"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("http://127.9.9.9:8080", "127.9.9.9:8080"),
            ("http://localhost:1", "localhost:1"),
            ("http://[::1]:8080", "[::1]:8080"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().authority(), authority, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_anything_else() {
        for (text, error) in [
            ("", EndpointError::NotAUrl),
            ("iaas.us-ashburn-1.oraclecloud.com", EndpointError::NotAUrl),
            ("/path", EndpointError::NotAUrl),
            ("ftp://example.com", EndpointError::Scheme),
            ("http://example.com", EndpointError::Plaintext),
            ("http://10.0.0.1", EndpointError::Plaintext),
            ("http://127.0.0.1.example.com", EndpointError::Plaintext),
            ("https://user@example.com", EndpointError::Extra),
            ("https://example.com/20160918", EndpointError::Extra),
            ("https://example.com/?a=b", EndpointError::Extra),
            ("https://example.com#x", EndpointError::Extra),
        ] {
            assert_eq!(Endpoint::parse(text), Err(error), "{text}");
        }
    }
}
