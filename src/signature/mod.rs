//! OCI HTTP signatures, pure: draft-cavage-http-signatures-08 as OCI's "Signature Version 1" narrows it.
//!
//! One function, [`sign`], from a request, an identity and a time to the headers to add. Its intermediate
//! products are public, so that a vector can be held against each. This room never reads a clock, a file or
//! a socket, and never waits.

mod authorization;
mod key;
mod signing_string;

use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::header;

pub use authorization::authorization;
pub use key::KeyError;
pub use key::PrivateKey;
pub use signing_string::Content;
pub use signing_string::signed_headers;
pub use signing_string::signing_string;

/// The header with the body's hash.
pub const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// The end of the year 9999, where the date's form ends.
const END_OF_DATES: Duration = Duration::from_secs(253_402_300_800);

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// GET, HEAD, DELETE, POST, PUT or PATCH.
    pub method: &'a Method,
    /// Path and query, exactly as they are sent.
    pub target: &'a str,
    /// Whether and what is said of the host.
    pub host: Host<'a>,
    /// Of POST, PUT and PATCH, exactly as it is sent; the other methods have no content.
    pub content_type: &'a str,
    /// Of POST, PUT and PATCH, exactly as it is sent; signed even when empty.
    pub body: &'a [u8],
}

/// The host's part in a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// As in the `Host` header (`:authority`), with the port if that has one: every request to a service.
    Signed(&'a str),
    /// The host is left out: requests for a token at OCI's X.509 federation endpoint.
    Unsigned,
}

/// Who signs: key and key id belong together and come from one snapshot.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// `<tenancy>/<user>/<fingerprint>`, or `ST$<token>`.
    pub key_id: &'a str,
    /// The key that `key_id` names.
    pub key: &'a PrivateKey,
}

/// Why a request cannot be signed: always a fault of the program or of its configuration, never of OCI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// OCI defines no signature for this method.
    #[error("there is no OCI signature for the method {0}")]
    Method(Method),
    /// A character that would end the line or the attribute that it stands in.
    #[error("the {0} has a character that cannot be signed")]
    Character(&'static str),
    /// The machine's clock is hopelessly wrong.
    #[error("the time is before 1970 or after 9999 and has no HTTP date")]
    Date,
    /// The cryptographic library refused to sign.
    #[error("the private key failed to sign")]
    Key,
}

/// The headers to add to the request: `date` and `authorization`, and for POST, PUT and PATCH
/// `content-length`, `content-type` and `x-content-sha256`.
///
/// OCI takes a date for five minutes: sign right before sending, each attempt anew.
pub fn sign(request: &Request<'_>, identity: &Identity<'_>, now: SystemTime) -> Result<HeaderMap, Error> {
    // 1. Nothing that could forge a line or an attribute gets into what is signed.
    check(request, identity)?;
    // 2. The date, and what is said about the body.
    let date = http_date(now)?;
    let content = Content::of(request);
    // 3. The signing string.
    let text = signing_string(request, content.as_ref(), &date)?;
    // 4. The signature.
    let signature = identity.key.sign(text.as_bytes())?;
    // 5. The `Authorization` header.
    let authorization = authorization(identity.key_id, signed_headers(request), &signature);
    // 6. The headers to add.
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(header::DATE, value("date", date)?);
    if let Some(content) = content {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(content.length));
        headers.insert(header::CONTENT_TYPE, value("content type", content.media_type)?);
        headers.insert(X_CONTENT_SHA256, value("body's hash", content.sha256)?);
    }
    let mut authorization = value("key id", authorization)?;
    authorization.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, authorization);
    Ok(headers)
}

/// An HTTP date as OCI wants it (RFC 7231, IMF-fixdate, always GMT), for instance
/// `Thu, 05 Jan 2034 21:31:40 GMT`.
fn http_date(now: SystemTime) -> Result<String, Error> {
    match now.duration_since(UNIX_EPOCH) {
        Ok(since) if since < END_OF_DATES => Ok(httpdate::fmt_http_date(now)),
        _ => Err(Error::Date),
    }
}

fn check(request: &Request<'_>, identity: &Identity<'_>) -> Result<(), Error> {
    let graphic = |name, text: &str| match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Error::Character(name)),
    };
    graphic("request target", request.target)?;
    if let Host::Signed(host) = request.host {
        graphic("host", host)?;
    }
    if !request.content_type.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Err(Error::Character("content type"));
    }
    graphic("key id", identity.key_id)?;
    if identity.key_id.contains(['"', '\\']) {
        return Err(Error::Character("key id"));
    }
    Ok(())
}

fn value<T>(name: &'static str, text: T) -> Result<HeaderValue, Error>
where
    HeaderValue: TryFrom<T>,
{
    HeaderValue::try_from(text).map_err(|_| Error::Character(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_1970(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn dates_are_written_as_oci_reads_them() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (2_020_109_500, "Thu, 05 Jan 2034 21:31:40 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, text) in cases {
            assert_eq!(http_date(after_1970(seconds)).as_deref(), Ok(text));
        }
        let almost = after_1970(0) + Duration::from_nanos(999_999_999);
        assert_eq!(http_date(almost).as_deref(), Ok("Thu, 01 Jan 1970 00:00:00 GMT"));
    }

    #[test]
    fn times_without_a_date_are_errors() {
        for time in [UNIX_EPOCH - Duration::from_nanos(1), after_1970(253_402_300_800), after_1970(1 << 60)] {
            assert_eq!(http_date(time), Err(Error::Date));
        }
    }
}
