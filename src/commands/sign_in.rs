//! From the settings of a way to sign in to a credential that keeps itself fresh.

use super::Failure;
use super::connect::unbuilt;
use crate::clock::Clock;
use crate::config::Environment;
use crate::config::Given;
use crate::config::Problem;
use crate::config::Resolved;
use crate::config::SourceRegion;
use crate::config::Upstream;
use crate::credentials;
use crate::credentials::Federation;
use crate::credentials::FetchCredentials;
use crate::credentials::Found;
use crate::credentials::Imds;
use crate::credentials::InstancePrincipal;
use crate::credentials::InstanceSettings;
use crate::credentials::OkeWorkloadIdentity;
use crate::credentials::PrincipalVariables;
use crate::credentials::ProvideCredentials;
use crate::credentials::Refreshing;
use crate::credentials::ResourcePrincipal;
use crate::credentials::SecurityToken;
use crate::credentials::SignIn;
use crate::credentials::Source;
use crate::credentials::WorkloadSettings;
use crate::oci::USER_AGENT;
use crate::oci::endpoint::Endpoint;
use crate::transport::reqwest::Client as HttpClient;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often an instance is asked for its region.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// A credential, and what is known beside it.
pub(super) struct SignedIn {
    pub(super) credentials: Arc<dyn ProvideCredentials>,
    pub(super) resolved: Resolved,
    /// Where it stands: profiles, variables, files, services.
    pub(super) places: Vec<String>,
    /// Where its key stands, if that is anywhere.
    pub(super) key: Option<String>,
    /// What is not wrong but should be known, a line each.
    pub(super) warnings: Vec<String>,
}

/// What the settings come from, and what all ways share.
pub(super) struct Way<'a> {
    pub(super) upstream: &'a Upstream,
    pub(super) given: &'a Given,
    pub(super) clock: &'a Clock,
    /// When whoever waits for the start wants to know.
    pub(super) until: Instant,
}

impl Way<'_> {
    /// Begins to sign in. Fails at once where a setting or a file is wrong; no token need be there yet.
    pub(super) async fn sign_in(&self) -> Result<SignedIn, Failure> {
        match self.upstream.sign_in(Environment::read()?, self.given)? {
            SignIn::ApiKey(source) => self.api_key(source),
            SignIn::SecurityToken(source) => self.security_token(source),
            SignIn::InstancePrincipal(settings) => self.instance_principal(settings).await,
            SignIn::OkeWorkloadIdentity(settings) => self.oke_workload_identity(settings),
            SignIn::ResourcePrincipal(variables) => self.resource_principal(variables),
        }
    }

    fn api_key(&self, source: Source) -> Result<SignedIn, Failure> {
        let loaded = source.load().map_err(setting)?;
        let resolved = self.resolve(profiles(loaded.region.as_deref()))?;
        Ok(SignedIn {
            places: profiles_of(&loaded.places),
            key: Some(loaded.key),
            warnings: loaded.warnings,
            ..self.start(Found::new(source), resolved)
        })
    }

    fn security_token(&self, source: Source) -> Result<SignedIn, Failure> {
        let token = SecurityToken { source, clock: self.clock.clone() };
        let loaded = token.load().map_err(setting)?;
        let resolved = self.resolve(profiles(loaded.region.as_deref()))?;
        Ok(SignedIn {
            places: profiles_of(&loaded.places),
            key: Some(loaded.key),
            warnings: loaded.warnings,
            ..self.start(Found::new(token), resolved)
        })
    }

    async fn instance_principal(&self, settings: InstanceSettings) -> Result<SignedIn, Failure> {
        let InstanceSettings { metadata, federation } = settings;
        let imds = Imds::new(metadata.clone(), self.plain_http()?);
        let override_url = federation.as_deref().map(Endpoint::parse).transpose();
        let override_url = override_url.map_err(|error| Failure::Setting(error.to_string()))?;
        // The endpoint and the service that gives tokens are both named after it.
        let needed =
            self.upstream.region.is_none() && (self.upstream.endpoint.is_none() || override_url.is_none());
        let region = if needed { Some(self.region(&imds).await?) } else { None };
        let resolved = self.resolve(SourceRegion {
            text: region.as_deref(),
            setting: "the instance's region",
            place: "let the instance's metadata service say it",
        })?;
        let Some(endpoint) = override_url.or_else(|| resolved.federation.clone()) else {
            return Err(Failure::Setting("--region: no region is known; give it here".to_owned()));
        };
        let http = self.http(&self.upstream.http(&endpoint, self.given)?)?;
        let federation = Federation::new(endpoint.to_string(), http, self.clock.clone());
        let started = self.start(InstancePrincipal::new(imds, federation), resolved);
        Ok(SignedIn { places: vec![metadata, format!("{endpoint}/v1/x509")], ..started })
    }

    /// The instance's region, if it says so in time.
    async fn region(&self, imds: &Imds) -> Result<String, Failure> {
        loop {
            let error = match imds.region().await {
                Ok(region) => return Ok(region),
                Err(error) => error,
            };
            let again = Instant::now() + ASK_AGAIN;
            if again >= self.until {
                let line = format!(
                    "the instance's region is not known, and --region does not give it: {}",
                    error.line()
                );
                return Err(Failure::Runtime(line));
            }
            tokio::time::sleep_until(again).await;
        }
    }

    fn oke_workload_identity(&self, settings: WorkloadSettings) -> Result<SignedIn, Failure> {
        let resolved = self.resolve(SourceRegion {
            text: settings.region.as_deref(),
            setting: "OCI_RESOURCE_PRINCIPAL_REGION",
            place: "in OCI_RESOURCE_PRINCIPAL_REGION",
        })?;
        let service = format!("https://{}", settings.authority);
        let source = OkeWorkloadIdentity::new(settings, USER_AGENT.to_owned(), self.clock.clone());
        let places = vec![source.place(), service];
        Ok(SignedIn { places, ..self.start(source, resolved) })
    }

    fn resource_principal(&self, variables: PrincipalVariables) -> Result<SignedIn, Failure> {
        let resolved = self.resolve(SourceRegion {
            text: variables.region.as_deref(),
            setting: "OCI_RESOURCE_PRINCIPAL_REGION",
            place: "in OCI_RESOURCE_PRINCIPAL_REGION",
        })?;
        let source = ResourcePrincipal::new(variables, self.clock.clone());
        let [token, key] = source.places();
        Ok(SignedIn { places: vec![token], key: Some(key), ..self.start(Found::new(source), resolved) })
    }

    fn start<S: FetchCredentials>(&self, source: S, resolved: Resolved) -> SignedIn {
        let credentials = Arc::new(Refreshing::start(source, self.clock.clone()));
        SignedIn { credentials, resolved, places: Vec::new(), key: None, warnings: Vec::new() }
    }

    fn resolve(&self, region: SourceRegion<'_>) -> Result<Resolved, Failure> {
        Ok(self.upstream.resolve(&Environment::read()?, region, self.given)?)
    }

    fn plain_http(&self) -> Result<Arc<HttpClient>, Failure> {
        self.http(&HttpConfig { trust: Trust::Plaintext, proxy: None, user_agent: USER_AGENT.to_owned() })
    }

    fn http(&self, config: &HttpConfig) -> Result<Arc<HttpClient>, Failure> {
        HttpClient::new(config).map(Arc::new).map_err(|error| unbuilt(&error, self.upstream, self.given))
    }
}

fn profiles(text: Option<&str>) -> SourceRegion<'_> {
    SourceRegion { text, setting: "the profile's region", place: "as `region` in the profile" }
}

/// The profiles and variables that a credential was put together from.
fn profiles_of(places: &[(&'static str, String)]) -> Vec<String> {
    let profile =
        |(name, place): &(&str, String)| place.strip_suffix(&format!(", {name}")).unwrap_or(place).to_owned();
    let distinct: std::collections::BTreeSet<String> = places.iter().map(profile).collect();
    distinct.into_iter().collect()
}

/// The cause's own line: it names the file, the profile, the key and the remedy.
pub(super) fn setting(error: credentials::Error) -> Failure {
    Problem(error.line()).into()
}
