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
        let host = Host::parse(authority.host())?;
        let default_port = match scheme.as_str() {
            "https" => 443,
            "http" if host.is_loopback() => 80,
            "http" => return Err(EndpointError::Plaintext),
            _ => return Err(EndpointError::Scheme),
        };
        let authority = match port(&authority)? {
            Some(port) if port != default_port => format!("{host}:{port}"),
            Some(_) | None => host.to_string(),
        };
        let authority = authority.parse().map_err(|_invalid| EndpointError::NotAUrl)?;
        Ok(Self { scheme, authority })
    }

    /// Host and port as they stand in the `Host` header, and so in the signature: a scheme's own port is
    /// left out, as HTTP clients do.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// The host alone, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, the scheme's own where no other was given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 })
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

/// A host in the one form in which every HTTP client sends it: what is signed must be what is sent.
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    fn parse(text: &str) -> Result<Self, EndpointError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse() {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // A name whose last label is a number is an address to URL parsers, in one of its odd spellings.
        let number = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with(|first: char| first.is_ascii_digit()));
        if number || !text.split('.').all(label) {
            return Err(EndpointError::NotAUrl);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Address(address) => address.is_loopback(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => formatter.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(formatter, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(formatter, "[{address}]"),
        }
    }
}

/// Whatever follows the host: `http` itself takes a port that is none for no port at all.
fn port(authority: &Authority) -> Result<Option<u16>, EndpointError> {
    match authority.as_str().strip_prefix(authority.host()) {
        None | Some("") => Ok(None),
        Some(rest) => {
            let port = rest.strip_prefix(':').and_then(|digits| digits.parse().ok());
            port.map(Some).ok_or(EndpointError::NotAUrl)
        }
    }
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
            ("http://[0:0::1]:8080", "[::1]:8080"),
            ("http://127.0.0.1:08080", "127.0.0.1:8080"),
            ("https://IAAS.us-ashburn-1.OracleCloud.com:0443", "iaas.us-ashburn-1.oraclecloud.com"),
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
            ("http://127.0.0.1:99999", EndpointError::NotAUrl),
            ("https://example.com:", EndpointError::NotAUrl),
            ("https://exa mple.com", EndpointError::NotAUrl),
            ("https://ex%61mple.com", EndpointError::NotAUrl),
            ("http://127.1", EndpointError::NotAUrl),
            ("https://0x7f000001", EndpointError::NotAUrl),
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
