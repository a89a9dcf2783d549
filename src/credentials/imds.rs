//! The metadata service of an instance, version 2: link-local, in plain HTTP, by no proxy.

use super::Error;
use super::certificate::Certificate;
use super::issuer::Issuer;
use super::issuer::IssuerError;
use super::issuer::IssuerProblem;
use super::issuer::wrong;
use super::pem;
use crate::signature::PrivateKey;
use crate::transport::HttpService;
use bytes::Bytes;
use http::HeaderValue;
use http::header;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// It is on the same machine.
const TIMEOUT: Duration = Duration::from_secs(3);

/// What keeps a page in a browser from asking it.
const AUTHORIZATION: HeaderValue = HeaderValue::from_static("Bearer Oracle");

const UNREACHED: &str =
    "this is no OCI instance, or the way to its metadata service is barred; elsewhere choose another --auth";

/// Asks the metadata service.
pub struct Imds {
    base: String,
    issuer: Issuer,
}

/// What an instance proves its identity with.
pub(super) struct Leaf {
    pub(super) certificate: Certificate,
    pub(super) key: PrivateKey,
    pub(super) intermediate: Certificate,
}

impl Imds {
    /// The service below `base`, reached by `http`.
    pub fn new(base: String, http: Arc<dyn HttpService>) -> Self {
        Self { base, issuer: Issuer { http, timeout: TIMEOUT, unreached: UNREACHED, refused } }
    }

    /// The instance's region: a name or a short code.
    pub async fn region(&self) -> Result<String, Error> {
        let (place, text) = self.get("/instance/region").await?;
        let region = text.trim();
        let is_word = region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
        if region.is_empty() || region.len() > 64 || !is_word {
            return Err(wrong(&place, IssuerProblem::Unreadable { expected: "a region" }).into());
        }
        Ok(region.to_owned())
    }

    /// Certificates and key, as they are now: OCI replaces them while the instance runs.
    pub(super) async fn leaf(&self) -> Result<Leaf, IssuerError> {
        // Together, and what fails is told in this order: a service that is down is the same news each time.
        let (certificate, key, intermediate) = tokio::join!(
            self.get("/identity/cert.pem"),
            self.get("/identity/key.pem"),
            self.get("/identity/intermediate.pem")
        );
        let (certificate, key, intermediate) = (certificate?, key?, intermediate?);
        let read = |(place, text): &(String, Zeroizing<String>)| {
            Certificate::read(text).map_err(|error| wrong(place, IssuerProblem::Certificate(error)))
        };
        let private =
            pem::private_key(&key.1, None).map_err(|error| wrong(&key.0, IssuerProblem::Key(error)))?;
        let leaf =
            Leaf { certificate: read(&certificate)?, key: private, intermediate: read(&intermediate)? };
        match leaf.certificate.public_key() == leaf.key.public_der() {
            true => Ok(leaf),
            false => Err(wrong(&key.0, IssuerProblem::Rotating)),
        }
    }

    async fn get(&self, path: &str) -> Result<(String, Zeroizing<String>), IssuerError> {
        let place = format!("{}{path}", self.base);
        let request =
            http::Request::get(&place).header(header::AUTHORIZATION, AUTHORIZATION).body(Bytes::new());
        let request = request.map_err(|error| wrong(&place, IssuerProblem::Internal(error.to_string())))?;
        let answered = self.issuer.ask(&place, request).await?;
        let body = self.issuer.body(&place, answered)?;
        let text = std::str::from_utf8(&body).map(|text| Zeroizing::new(text.to_owned()));
        let unreadable = |_| wrong(&place, IssuerProblem::Unreadable { expected: "a text" });
        let text = text.map_err(unreadable)?;
        Ok((place, text))
    }
}

impl fmt::Debug for Imds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imds").field("base", &self.base).finish_non_exhaustive()
    }
}

fn refused(status: u16) -> &'static str {
    match status {
        404 => "is this an OCI instance, and does OCI_METADATA_BASE_URL, if set, end in /opc/v2?",
        401 | 403 => "is the metadata service enabled for this instance, and nothing between here and there?",
        429 | 500.. => "it is in trouble, and is asked again",
        _ => "is that the metadata service? check OCI_METADATA_BASE_URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::BoxFuture;
    use crate::transport::Error as TransportError;
    use crate::transport::Limits;
    use crate::transport::Response;

    /// Says the same to whoever asks as it wants to be asked.
    struct Saying(&'static [u8]);

    impl HttpService for Saying {
        fn send(
            &self,
            request: http::Request<Bytes>,
            _limits: Limits,
        ) -> BoxFuture<'_, Result<Response, TransportError>> {
            assert_eq!(request.uri(), "http://169.254.169.254/opc/v2/instance/region");
            assert_eq!(request.headers()[header::AUTHORIZATION], "Bearer Oracle");
            Box::pin(async { Ok(Response::new(Ok(Bytes::from_static(self.0)))) })
        }
    }

    #[tokio::test]
    async fn the_region_is_a_name_or_a_short_code_and_nothing_else() {
        let ask = async |said| {
            let imds = Imds::new("http://169.254.169.254/opc/v2".to_owned(), Arc::new(Saying(said)));
            imds.region().await.map_err(|error| error.line())
        };
        for (said, region) in [(&b"phx"[..], "phx"), (b"us-ashburn-1\n", "us-ashburn-1"), (b" IAD ", "IAD")] {
            assert_eq!(ask(said).await.as_deref(), Ok(region));
        }
        for said in [&b""[..], b"<html>", b"a b", b"a\nb", b"\xff", &[b'a'; 65]] {
            let line = ask(said).await.unwrap_err();
            assert!(
                line.starts_with(
                    "http://169.254.169.254/opc/v2/instance/region: answers with something else than"
                ),
                "{line}"
            );
        }
    }
}
