//! From settings to a client that can call OCI. Opens no connection yet.

use super::Failure;
use crate::clock::Clock;
use crate::config::Environment;
use crate::config::Given;
use crate::config::Problem;
use crate::config::Resolved;
use crate::config::Upstream;
use crate::credentials;
use crate::credentials::ApiKey;
use crate::credentials::ProvideCredentials;
use crate::credentials::Source;
use crate::credentials::StaticCredentials;
use crate::oci;
use crate::ocid::Ocid;
use crate::transport::reqwest::BuildError;
use crate::transport::reqwest::Client as HttpClient;
use std::error::Error as _;
use std::sync::Arc;

/// Ready to call OCI.
pub(super) struct Connected {
    pub(super) client: oci::Client,
    pub(super) credentials: Arc<dyn ProvideCredentials>,
    pub(super) tenancy: Ocid,
    pub(super) user: Ocid,
    pub(super) fingerprint: String,
    pub(super) endpoint: String,
    pub(super) clock: Clock,
    pub(super) mutations: oci::Mutations,
    pub(super) places: Vec<(&'static str, String)>,
    pub(super) key: String,
    pub(super) warnings: Vec<String>,
}

/// Loads the credential that the settings name, and joins it with the endpoint that they, or its profile,
/// name.
pub(super) fn connect(upstream: &Upstream, given: &Given) -> Result<Connected, Failure> {
    let environment = Environment::read()?;
    let key = load(&upstream.source(Environment::read()?, given))?;
    let resolved = upstream.resolve(&environment, key.region.as_deref(), given)?;
    joined(key, resolved).map_err(|error| unbuilt(&error, upstream, given))
}

/// The same for an endpoint that is known beforehand.
#[cfg(feature = "sandbox")]
pub(super) fn join(source: &Source, resolved: Resolved) -> Result<Connected, Failure> {
    joined(load(source)?, resolved).map_err(|error| Failure::Runtime(error.to_string()))
}

fn load(source: &Source) -> Result<ApiKey, Failure> {
    source.load().map_err(|error| Failure::Setting(told(&error)))
}

fn joined(key: ApiKey, resolved: Resolved) -> Result<Connected, BuildError> {
    let ApiKey { credentials, user, tenancy, mut warnings, places, key, .. } = key;
    warnings.extend(resolved.warnings);
    let http = HttpClient::new(&resolved.http)?;
    let fingerprint = credentials.identity().key.fingerprint().to_owned();
    let credentials: Arc<dyn ProvideCredentials> = Arc::new(StaticCredentials::new(credentials));
    let (clock, mutations) = (Clock::system(), oci::Mutations::new());
    let endpoint = resolved.oci.endpoint.to_string();
    let client = oci::Client::new(
        resolved.oci,
        Arc::new(http),
        Arc::clone(&credentials),
        clock.clone(),
        mutations.clone(),
    );
    Ok(Connected {
        client,
        credentials,
        tenancy,
        user,
        fingerprint,
        endpoint,
        clock,
        mutations,
        places,
        key,
        warnings,
    })
}

fn unbuilt(error: &BuildError, upstream: &Upstream, given: &Given) -> Failure {
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

/// The cause's own line: it names the file, the profile, the key and the remedy.
fn told(error: &credentials::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}
