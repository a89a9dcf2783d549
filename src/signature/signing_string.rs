//! The text that is signed: one line per signed header.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use sha2::Digest;
use sha2::Sha256;

use super::Error;
use super::Host;
use super::Request;

/// What is signed of the content of a POST, PUT or PATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content<'a> {
    /// In bytes.
    pub length: usize,
    /// With its parameters.
    pub media_type: &'a str,
    /// The hash of the bytes that are sent, in padded base64.
    pub sha256: String,
}

impl<'a> Content<'a> {
    /// `None` for a method without content. An empty body is content (Go SDK, `common/http_signer.go:49-51`).
    pub fn of(request: &Request<'a>) -> Option<Self> {
        has_content(request.method).then(|| Self {
            length: request.body.len(),
            media_type: request.content_type,
            sha256: BASE64_STANDARD.encode(Sha256::digest(request.body)),
        })
    }
}

/// The names of the signed headers, in the order of the lines: the order of the Python, Go and Java SDKs.
pub fn signed_headers(request: &Request<'_>) -> &'static str {
    match (request.host, has_content(request.method)) {
        (Host::Signed(_), false) => "date (request-target) host",
        (Host::Unsigned, false) => "date (request-target)",
        (Host::Signed(_), true) => "date (request-target) host content-length content-type x-content-sha256",
        (Host::Unsigned, true) => "date (request-target) content-length content-type x-content-sha256",
    }
}

/// The text that is signed, without a newline at its end. The date enters as it will be sent, unread.
pub fn signing_string(
    request: &Request<'_>,
    content: Option<&Content<'_>>,
    date: &str,
) -> Result<String, Error> {
    let method = lower_case(request.method)?;
    let mut text = String::with_capacity(320_usize.saturating_add(request.target.len()));
    line(&mut text, "date", &[date]);
    line(&mut text, "(request-target)", &[method, " ", request.target]);
    if let Host::Signed(host) = request.host {
        line(&mut text, "host", &[host]);
    }
    if let Some(content) = content {
        line(&mut text, "content-length", &[&content.length.to_string()]);
        line(&mut text, "content-type", &[content.media_type]);
        line(&mut text, "x-content-sha256", &[&content.sha256]);
    }
    Ok(text)
}

fn line(text: &mut String, name: &str, value: &[&str]) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(name);
    text.push_str(": ");
    text.extend(value.iter().copied());
}

fn has_content(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn lower_case(method: &Method) -> Result<&'static str, Error> {
    match *method {
        Method::GET => Ok("get"),
        Method::HEAD => Ok("head"),
        Method::DELETE => Ok("delete"),
        Method::POST => Ok("post"),
        Method::PUT => Ok("put"),
        Method::PATCH => Ok("patch"),
        _ => Err(Error::Method(method.clone())),
    }
}
