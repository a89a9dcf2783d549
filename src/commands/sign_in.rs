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
use crate::credentials::Locate;
use crate::credentials::OkeWorkloadIdentity;
use crate::credentials::PrincipalVariables;
use crate::credentials::ProvideCredentials;
use crate::credentials::Refreshing;
use crate::credentials::ResourcePrincipal;
use crate::credentials::SecurityToken;
use crate::credentials::SignIn;
use crate::credentials::Source;
use crate::credentials::WorkloadSettings;
use crate::oci::Place;
use crate::oci::USER_AGENT;
use crate::oci::endpoint::Endpoint;
use crate::transport::reqwest::Client as HttpClient;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::fmt::Display;
use std::sync::Arc;

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
}

impl Way<'_> {
    /// Begins to sign in. Fails at once where a setting or a file is wrong; no token need be there yet.
    pub(super) fn sign_in(&self) -> Result<SignedIn, Failure> {
        match self.upstream.sign_in(Environment::read()?, self.given)? {
            SignIn::ApiKey(source) => self.api_key(source),
            SignIn::SecurityToken(source) => self.security_token(source),
            SignIn::InstancePrincipal(settings) => self.instance_principal(settings),
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

    fn instance_principal(&self, settings: InstanceSettings) -> Result<SignedIn, Failure> {
        let InstanceSettings { metadata, federation } = settings;
        let imds = Imds::new(metadata.clone(), self.plain_http()?);
        let given = federation.as_deref().map(Endpoint::parse).transpose();
        let given = given.map_err(|error| Failure::Setting(error.to_string()))?;
        // The endpoint and the service that gives tokens are both named after the region.
        let resolved = match (&self.upstream.region, &self.upstream.endpoint) {
            (None, None) => self.upstream.resolve_later(&Environment::read()?, self.given)?,
            (Some(_), _) | (_, Some(_)) => self.resolve(instances(None))?,
        };
        let federation = given.clone().or_else(|| resolved.federation.clone());
        let mut places = vec![metadata];
        places.extend(federation.as_ref().map(|endpoint| format!("{endpoint}/v1/x509")));
        let source = match federation.filter(|_| resolved.oci.place.endpoint().is_some()) {
            Some(endpoint) => {
                InstancePrincipal::new(imds, federation_at(&endpoint, self.upstream, self.given, self.clock)?)
            }
            None => InstancePrincipal::located(imds, self.locate(given, resolved.oci.place.clone())),
        };
        Ok(SignedIn { places, ..self.start(source, resolved) })
    }

    /// What is done with the instance's region, once it is known.
    fn locate(&self, federation: Option<Endpoint>, place: Place) -> Locate {
        let (upstream, given, clock) = (self.upstream.clone(), self.given.clone(), self.clock.clone());
        Box::new(move |region| {
            let environment = Environment::read().map_err(unusable)?;
            let resolved =
                upstream.resolve(&environment, instances(Some(region)), &given).map_err(unusable)?;
            let endpoint = federation.clone().or(resolved.federation);
            let nowhere = || unusable("the instance's region has no federation endpoint");
            let located = federation_at(&endpoint.ok_or_else(nowhere)?, &upstream, &given, &clock);
            let located = located.map_err(unusable)?;
            place.find(&resolved.oci.place);
            tracing::info!(region = &*place.region(), "the instance's region is known");
            resolved.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
            Ok(located)
        })
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

fn federation_at(
    endpoint: &Endpoint,
    upstream: &Upstream,
    given: &Given,
    clock: &Clock,
) -> Result<Federation, Failure> {
    let http = HttpClient::new(&upstream.http(Some(endpoint), given)?);
    let http = http.map_err(|error| unbuilt(&error, upstream, given))?;
    Ok(Federation::new(endpoint.to_string(), Arc::new(http), clock.clone()))
}

fn unusable(problem: impl Display) -> credentials::Error {
    credentials::Error::InvalidConfiguration(Arc::new(std::io::Error::other(problem.to_string())))
}

fn instances(text: Option<&str>) -> SourceRegion<'_> {
    SourceRegion { text, setting: "the instance's region", place: "let the metadata service say it" }
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
