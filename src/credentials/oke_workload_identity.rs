//! Workload identity: a pod shows its service account's token to its cluster, and gets one of OCI's.

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::FetchCredentials;
use super::Owner;
use super::Problem;
use super::WorkloadSettings;
use super::files::read_text;
use super::files::unread;
use super::issuer::Issued;
use super::issuer::Issuer;
use super::issuer::IssuerError;
use super::issuer::IssuerProblem;
use super::issuer::wrong;
use super::jwt;
use super::jwt::Claims;
use super::session_key;
use crate::clock::Clock;
use crate::files::Files;
use crate::files::Reader;
use crate::signature::PrivateKey;
use crate::transport::reqwest::Client;
use crate::transport::reqwest::Config;
use crate::transport::reqwest::Trust;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderValue;
use http::header;
use serde::Deserialize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

const TARGET: &str = "/resourcePrincipalSessionTokens";
const TIMEOUT: Duration = Duration::from_secs(8);
const CERTIFICATE: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH, or its default";
const TOKEN: &str = "OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH, or its default";
const KUBELET: &str = "the kubelet replaces it: is it mounted whole, without subPath?";
const UNREACHED: &str =
    "is this a pod of an OKE cluster? check network policies, KUBERNETES_SERVICE_HOST and the mounted ca.crt";

/// The service account of the pod that this runs in.
#[derive(Debug)]
pub struct OkeWorkloadIdentity {
    settings: WorkloadSettings,
    user_agent: String,
    clock: Clock,
    files: Files,
    reader: Reader,
}

/// What is mounted into the pod, as it is now: the token, and a client that trusts the certificates.
struct Mounted {
    issuer: Issuer,
    token: Zeroizing<String>,
}

/// What lies in the cluster's answer, under base64 and quotes.
#[derive(Deserialize)]
struct Body {
    token: Zeroizing<String>,
}

impl OkeWorkloadIdentity {
    /// Asks the cluster under the name `user_agent`.
    pub fn new(settings: WorkloadSettings, user_agent: String, clock: Clock) -> Self {
        Self { settings, user_agent, clock, files: Files::default(), reader: Reader::default() }
    }

    /// Where the service account's token stands.
    pub fn place(&self) -> String {
        place(&self.settings.token, TOKEN)
    }

    async fn mounted(&self) -> Result<Mounted, Error> {
        let (settings, user_agent) = (self.settings.clone(), self.user_agent.clone());
        let files = self.files.clone();
        let read = self.reader.run(move || {
            let issuer = issuer(&files, &settings.certificate, user_agent)?;
            Ok(Mounted { issuer, token: text(&files, &settings.token, TOKEN)? })
        });
        let mounted: Result<Mounted, ConfigError> = read.await.map_err(|why| unread(&self.files, &why))?;
        let mounted = mounted?;
        let checked = Claims::read(mounted.token.trim(), self.clock.now());
        checked.map_err(|error| ConfigError::new(self.place(), Problem::Token { error, remedy: KUBELET }))?;
        Ok(mounted)
    }

    fn request(
        &self,
        place: &str,
        token: &str,
        session: &PrivateKey,
    ) -> Result<http::Request<Bytes>, IssuerError> {
        let internal = |error: http::Error| wrong(place, IssuerProblem::Internal(error.to_string()));
        // As the Python and Java SDKs send it; Go's sends PEM.
        let body = serde_json::json!({ "podKey": STANDARD.encode(session.public_der()) }).to_string();
        let bearer = Zeroizing::new(format!("Bearer {token}"));
        let mut bearer = HeaderValue::from_str(&bearer).map_err(|error| internal(error.into()))?;
        bearer.set_sensitive(true);
        let id: [u128; 3] = rand::random();
        let id = id.map(|part| format!("{part:032X}")).join("/");
        http::Request::post(place)
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .header("opc-request-id", id)
            .body(Bytes::from(body))
            .map_err(internal)
    }
}

impl FetchCredentials for OkeWorkloadIdentity {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let mounted = self.mounted().await?;
        let session = session_key::generate().await?;
        let place = format!("https://{}{TARGET}", self.settings.authority);
        let request = self.request(&place, mounted.token.trim(), &session)?;
        let answered = mounted.issuer.ask(&place, request).await?;
        let body = mounted.issuer.body(&place, answered)?;
        let unreadable = || wrong(&place, IssuerProblem::Unreadable { expected: "a token in base64" });
        let token = token(&body).ok_or_else(unreadable)?;
        let issued = Issued::read(&place, token, &session, &self.clock)?;
        let subject = issued.claims.text("sub").map(|name| ("workload", name.to_owned()));
        let owner = Owner { tenancy: issued.claims.tenancy(), subject };
        Ok(issued.with(session, owner))
    }
}

/// `"<base64 of {"token":"ST$<JWT>"}>"`, with its quotes.
fn token(body: &[u8]) -> Option<Zeroizing<String>> {
    let base64: Zeroizing<String> = serde_json::from_slice(body).ok()?;
    let json = Zeroizing::new(STANDARD.decode(base64.trim()).ok()?);
    let Body { token } = serde_json::from_slice(&json).ok()?;
    let bare = token.strip_prefix("ST$").unwrap_or(&token);
    Some(Zeroizing::new(bare.to_owned()))
}

/// A client for one exchange: the certificates may be others at the next.
fn issuer(files: &Files, certificate: &Path, user_agent: String) -> Result<Issuer, ConfigError> {
    let trust = Trust::Bundle(text(files, certificate, CERTIFICATE)?.as_bytes().to_vec());
    let http = Client::new(&Config { trust, proxy: None, user_agent });
    let http =
        http.map_err(|_unfit| ConfigError::new(place(certificate, CERTIFICATE), Problem::NoCertificates))?;
    Ok(Issuer { http: Arc::new(http), timeout: TIMEOUT, unreached: UNREACHED, refused })
}

fn text(files: &Files, path: &Path, origin: &str) -> Result<Zeroizing<String>, ConfigError> {
    read_text(files, path).map_err(|problem| ConfigError::new(place(path, origin), problem))
}

fn place(path: &Path, origin: &str) -> String {
    format!("{} ({origin})", jwt::shown_path(path))
}

fn refused(status: u16) -> &'static str {
    match status {
        403 => "the cluster must be an Enhanced one: a Basic cluster has no workload identity",
        401 => "it does not take the service account's token: is that this cluster's?",
        404 => "there is no workload identity: is that an Enhanced OKE cluster?",
        429 | 500.. => "it is in trouble, and is asked again",
        _ => "is that an OKE cluster? check KUBERNETES_SERVICE_HOST",
    }
}
