//! From settings to a client that can call OCI.

use super::Failure;
#[cfg(feature = "sandbox")]
use super::sign_in::Beside;
use super::sign_in::Notes;
use super::sign_in::SignedIn;
use super::sign_in::Way;
use super::sign_in::setting;
use crate::clock::Clock;
use crate::config::Given;
use crate::config::Problem;
#[cfg(feature = "sandbox")]
use crate::config::Resolved;
use crate::config::Upstream;
use crate::credentials;
use crate::credentials::Credentials;
use crate::credentials::ProvideCredentials;
#[cfg(feature = "sandbox")]
use crate::credentials::Source;
#[cfg(feature = "sandbox")]
use crate::credentials::StaticCredentials;
use crate::oci;
use crate::telemetry::Recorder;
use crate::transport::reqwest::BuildError;
use crate::transport::reqwest::Client as HttpClient;
use crate::transport::retry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a start waits to hear whether there is a credential. Without one it goes on, and says so.
const PATIENCE: Duration = Duration::from_secs(6);

/// Ready to call OCI.
pub(super) struct Connected {
    pub(super) client: oci::Client,
    pub(super) credentials: Arc<dyn ProvideCredentials>,
    /// What the credential's source said so far.
    pub(super) first: Option<Result<Arc<Credentials>, credentials::Error>>,
    /// The way to sign in, and how it was chosen.
    pub(super) auth: String,
    pub(super) place: oci::Place,
    pub(super) clock: Clock,
    pub(super) mutations: oci::Mutations,
    /// What people are to be told about the credential.
    pub(super) notes: Notes,
}

impl Connected {
    /// Who signs in, as far as that is known.
    pub(super) fn subject(&self) -> Option<&str> {
        let (_kind, name) = self.held()?.owner().subject.as_ref()?;
        Some(name)
    }

    /// Where OCI is, as far as that is known.
    pub(super) fn endpoint(&self) -> Option<String> {
        self.place.endpoint().map(ToString::to_string)
    }

    /// The fingerprint of an API key; other keys come and go.
    pub(super) fn fingerprint(&self) -> Option<&str> {
        let held = self.held().filter(|held| held.expires().is_none())?;
        Some(held.identity().key.fingerprint())
    }

    fn held(&self) -> Option<&Credentials> {
        self.first.as_ref()?.as_deref().ok()
    }
}

/// Signs in as the settings say, and joins the credential with the endpoint that they, or its source, name. What fails at
/// OCI is repeated as `retry` says; `recorder` takes note.
pub(super) async fn connect(
    upstream: &Upstream,
    given: &Given,
    retry: retry::Config,
    recorder: Recorder,
) -> Result<Connected, Failure> {
    let (clock, until) = (Clock::system(), Instant::now() + PATIENCE);
    let way = Way { upstream: upstream.clone(), given: given.clone(), clock: clock.clone() };
    let auth = upstream.chosen(given);
    // Files are read that may hang. What is begun so is left to end with the process.
    let begun = tokio::task::spawn_blocking(move || {
        let Way { upstream, given, clock } = way.clone();
        let mut signed_in = way.sign_in()?;
        (signed_in.resolved.oci.retry, signed_in.resolved.oci.recorder) = (retry, recorder);
        joined(signed_in, auth, clock).map_err(|error| unbuilt(&error, &upstream, &given))
    });
    let begun = tokio::time::timeout_at(until, begun).await;
    let begun = begun.map_err(|_elapsed| Failure::Runtime(HANGS.to_owned()))?;
    let mut connected = begun.map_err(|panicked| Failure::Runtime(panicked.to_string()))??;
    connected.first = tokio::time::timeout_at(until, connected.credentials.provide()).await.ok();
    if let Some(Err(error)) = &connected.first
        && error.is_setting()
    {
        return Err(setting(error.clone()));
    }
    Ok(connected)
}

const HANGS: &str = "the certificates to trust (SSL_CERT_FILE, SSL_CERT_DIR, or the system's) are not read within 6 s; \
    does the file system that they are on answer?";

/// The same for a user's key and an endpoint that are known beforehand.
#[cfg(feature = "sandbox")]
pub(super) fn join(source: &Source, resolved: Resolved) -> Result<Connected, Failure> {
    let key = source.load().map_err(setting)?;
    let credentials = Arc::new(StaticCredentials::new(key.credentials));
    let signed_in = SignedIn { credentials, resolved, notes: Notes::new(Beside::default()) };
    joined(signed_in, String::new(), Clock::system()).map_err(|error| Failure::Runtime(error.to_string()))
}

fn joined(signed_in: SignedIn, auth: String, clock: Clock) -> Result<Connected, BuildError> {
    let SignedIn { credentials, resolved, notes } = signed_in;
    let http = HttpClient::new(&resolved.http)?;
    let mutations = oci::Mutations::new();
    let place = resolved.oci.place.clone();
    let client = oci::Client::new(
        resolved.oci,
        Arc::new(http),
        Arc::clone(&credentials),
        clock.clone(),
        mutations.clone(),
    );
    Ok(Connected { client, credentials, first: None, auth, place, clock, mutations, notes })
}

pub(super) fn unbuilt(error: &BuildError, upstream: &Upstream, given: &Given) -> Failure {
    let bundle = given.name("--cert-bundle", "OCI_CLI_CERT_BUNDLE");
    let problem = match (error, &upstream.cert_bundle) {
        (BuildError::Bundle(_), Some(path)) => {
            Problem::with(bundle, format_args!("{}: {error}; PEM certificates are expected", path.display()))
        }
        (BuildError::Proxy(_), _) => Problem::with(given.name("--proxy", "GATEWAY_PROXY"), error),
        (BuildError::Bundle(_) | BuildError::Tls(_), _) => Problem::with(bundle, error),
    };
    problem.into()
}
