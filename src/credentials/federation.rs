//! The exchange of an instance's certificate for a token, at the identity service of the region.

use super::Error;
use super::imds::Leaf;
use super::issuer::Answered;
use super::issuer::Issued;
use super::issuer::Issuer;
use super::issuer::IssuerProblem;
use super::issuer::wrong;
use crate::clock::Clock;
use crate::ocid::Ocid;
use crate::signature;
use crate::signature::PrivateKey;
use crate::transport::HttpService;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Method;
use http::StatusCode;
use http::header;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use zeroize::Zeroizing;

const TARGET: &str = "/v1/x509";
const TIMEOUT: Duration = Duration::from_secs(6);
const UNREACHED: &str =
    "check the network, --region, --proxy, --cert-bundle and OCI_SDK_AUTH_CLIENT_REGION_URL";

/// Gives tokens for certificates.
pub struct Federation {
    base: String,
    issuer: Issuer,
    clock: Clock,
}

/// Its answer.
#[derive(Deserialize)]
struct Body {
    token: Zeroizing<String>,
}

impl Federation {
    /// The service at `base`, reached by `http`.
    pub fn new(base: String, http: Arc<dyn HttpService>, clock: Clock) -> Self {
        Self { base, issuer: Issuer { http, timeout: TIMEOUT, unreached: UNREACHED, refused }, clock }
    }

    /// Exchanges the proof of an identity for a token that goes with `session`.
    pub(super) async fn exchange(
        &self,
        leaf: &Leaf,
        tenancy: &Ocid,
        session: &PrivateKey,
    ) -> Result<Issued, Error> {
        let place = format!("{}{TARGET}", self.base);
        let body = Bytes::from(request(leaf, session).to_string());
        let mut answered = self.send(&place, leaf, tenancy, body.clone()).await?;
        if let (signed_at, refused) = &answered
            && refused.status == StatusCode::UNAUTHORIZED
            && date(refused).is_some_and(|date| self.clock.observe(*signed_at, date).is_some())
        {
            // It was the clock, which is right now.
            answered = self.send(&place, leaf, tenancy, body).await?;
        }
        let body = self.issuer.body(&place, answered.1)?;
        let body: Body = serde_json::from_slice(&body)
            .map_err(|_| wrong(&place, IssuerProblem::Unreadable { expected: "a token in JSON" }))?;
        Ok(Issued::read(&place, body.token, session, &self.clock)?)
    }

    async fn send(
        &self,
        place: &str,
        leaf: &Leaf,
        tenancy: &Ocid,
        body: Bytes,
    ) -> Result<(SystemTime, Answered), Error> {
        let internal = |error: String| Error::from(wrong(place, IssuerProblem::Internal(error)));
        let now = self.clock.now();
        // As the Go SDK does: SHA-256 in lower case, and no host in what is signed.
        let key_id = format!("{tenancy}/fed-x509-sha256/{}", leaf.certificate.fingerprint());
        let headers = signature::sign(
            &signature::Request {
                method: &Method::POST,
                target: TARGET,
                host: signature::Host::Unsigned,
                content_type: "application/json",
                body: &body,
            },
            &signature::Identity { key_id: &key_id, key: &leaf.key },
            now,
        );
        let headers = headers.map_err(|error| internal(error.to_string()))?;
        let mut request =
            http::Request::post(place).body(body).map_err(|error| internal(error.to_string()))?;
        *request.headers_mut() = headers;
        let answered = self.issuer.ask(place, request).await?;
        if let Some(date) = date(&answered) {
            self.clock.note(date);
        }
        Ok((now, answered))
    }
}

impl fmt::Debug for Federation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Federation").field("base", &self.base).finish_non_exhaustive()
    }
}

fn request(leaf: &Leaf, session: &PrivateKey) -> serde_json::Value {
    serde_json::json!({
        "certificate": leaf.certificate.base64(),
        "publicKey": STANDARD.encode(session.public_der()),
        "intermediateCertificates": [leaf.intermediate.base64()],
        "fingerprintAlgorithm": "SHA256",
    })
}

fn date(answered: &Answered) -> Option<SystemTime> {
    httpdate::parse_http_date(answered.headers.get(header::DATE)?.to_str().ok()?).ok()
}

fn refused(status: u16) -> &'static str {
    match status {
        401 => {
            "it does not take the instance's certificate: is --region the instance's own realm, and the clock right?"
        }
        403 | 404 => "it gives this instance no token: is that OCI's identity service? check --region",
        429 | 500.. => "it is in trouble, and is asked again",
        _ => "is that OCI's identity service? check --region and OCI_SDK_AUTH_CLIENT_REGION_URL",
    }
}
