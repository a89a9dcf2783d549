//! From the settings of a way to sign in to a credential that keeps itself fresh.

use super::Failure;
use super::connect::unbuilt;
use crate::clock::Clock;
use crate::config::Environment;
use crate::config::FromFiles;
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
use crate::credentials::Loaded;
use crate::credentials::Locate;
use crate::credentials::OkeWorkloadIdentity;
use crate::credentials::PrincipalVariables;
use crate::credentials::ProvideCredentials;
use crate::credentials::ReadCredentials;
use crate::credentials::Refreshing;
use crate::credentials::ResourcePrincipal;
use crate::credentials::SecurityToken;
use crate::credentials::SignIn;
use crate::credentials::WorkloadSettings;
use crate::files;
use crate::oci::Place;
use crate::oci::USER_AGENT;
use crate::oci::endpoint::Endpoint;
use crate::transport::reqwest::Client as HttpClient;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// A credential, and what is known beside it.
pub(super) struct SignedIn {
    pub(super) credentials: Arc<dyn ProvideCredentials>,
    pub(super) resolved: Resolved,
    pub(super) notes: Notes,
}

/// What people are told about a credential.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Where it stands: profiles, variables, files, services.
    pub(super) places: Vec<String>,
    /// Where its key stands, if that is anywhere.
    pub(super) key: Option<String>,
    /// What is not wrong but should be known, a line each.
    pub(super) warnings: Vec<String>,
}

/// The same as it is found out, some of it only together with the credential.
#[derive(Clone)]
pub(super) struct Notes(Arc<Mutex<Option<Beside>>>);

impl Notes {
    pub(super) fn new(beside: Beside) -> Self {
        Self(Arc::new(Mutex::new(Some(beside))))
    }

    /// What was found out until now. Warnings that come later go to the log.
    pub(super) fn take(&self) -> Beside {
        self.lock().take().unwrap_or_default()
    }

    fn add(&self, more: Beside) {
        match &mut *self.lock() {
            Some(known) => {
                known.places.extend(more.places);
                known.key = more.key.or(known.key.take());
                known.warnings.extend(more.warnings);
            }
            None => more.warnings.iter().for_each(|warning| tracing::warn!("{warning}")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Beside>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the settings come from, and what all ways share.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) upstream: Upstream,
    pub(super) given: Given,
    pub(super) clock: Clock,
}

impl Way {
    /// Begins to sign in. Fails at once where a setting is wrong; no file of a credential has been read yet, and no token
    /// need be there. Reads the other files that settings name, so it is not for a thread that serves.
    pub(super) fn sign_in(self) -> Result<SignedIn, Failure> {
        let environment = Environment::read()?;
        let files = self.upstream.read_files(&environment, &self.given)?;
        let sign_in = self.upstream.sign_in(environment, &self.given)?;
        let start = Start { way: self, files };
        match sign_in {
            SignIn::ApiKey(source) => start.profile(source),
            SignIn::SecurityToken(source) => {
                let clock = start.way.clock.clone();
                start.profile(SecurityToken { source, clock })
            }
            SignIn::InstancePrincipal(settings) => start.instance_principal(settings),
            SignIn::OkeWorkloadIdentity(settings) => start.oke_workload_identity(settings),
            SignIn::ResourcePrincipal(variables) => start.resource_principal(variables),
        }
    }
}

/// All that a way to sign in begins with.
#[derive(Clone)]
struct Start {
    way: Way,
    files: FromFiles,
}

impl Start {
    /// A credential that a profile names. Its file may hang, so its region is found out with the credential, and so is
    /// what is wrong.
    fn profile<S: ReadCredentials>(self, source: S) -> Result<SignedIn, Failure> {
        let resolved = self.resolve_or_later(profiles(None))?;
        let notes = Notes::new(Beside::default());
        let (start, place, found) = (self.clone(), resolved.oci.place.clone(), notes.clone());
        let settle = move |loaded: &Loaded| {
            let resolved = start.resolve(profiles(loaded.region.as_deref())).map_err(unusable)?;
            place.find(&resolved.oci.place);
            let mut warnings = loaded.warnings.clone();
            warnings.extend(resolved.warnings);
            let (places, key) = (profiles_of(&loaded.places), Some(loaded.key.clone()));
            found.add(Beside { places, key, warnings });
            Ok(())
        };
        let source = Found::settling(source, files::Config::default(), Box::new(settle));
        Ok(self.begin(source, resolved, notes))
    }

    fn instance_principal(self, settings: InstanceSettings) -> Result<SignedIn, Failure> {
        let InstanceSettings { metadata, federation } = settings;
        let imds = Imds::new(metadata.clone(), self.plain_http()?);
        let given = federation.as_deref().map(Endpoint::parse).transpose();
        let given = given.map_err(|error| Failure::Setting(error.to_string()))?;
        // The endpoint and the service that gives tokens are both named after the region.
        let resolved = self.resolve_or_later(instances(None))?;
        let federation = given.clone().or_else(|| resolved.federation.clone());
        let mut places = vec![metadata];
        places.extend(federation.as_ref().map(|endpoint| format!("{endpoint}/v1/x509")));
        let warnings = resolved.warnings.clone();
        let notes = Notes::new(Beside { places, key: None, warnings });
        let source = match federation.filter(|_| resolved.oci.place.endpoint().is_some()) {
            Some(endpoint) => InstancePrincipal::new(imds, self.federation_at(&endpoint)?),
            None => InstancePrincipal::located(
                imds,
                self.clone().locate(given, resolved.oci.place.clone(), notes.clone()),
            ),
        };
        Ok(self.begin(source, resolved, notes))
    }

    /// What is done with the instance's region, once it is known.
    fn locate(self, federation: Option<Endpoint>, place: Place, notes: Notes) -> Locate {
        Box::new(move |region| {
            let resolved = self.resolve(instances(Some(region))).map_err(unusable)?;
            let endpoint = federation.clone().or(resolved.federation);
            let nowhere = || unusable("the instance's region has no federation endpoint");
            let located = self.federation_at(&endpoint.ok_or_else(nowhere)?).map_err(unusable)?;
            place.find(&resolved.oci.place);
            tracing::info!(region = &*place.region(), "the instance's region is known");
            notes.add(Beside { warnings: resolved.warnings, ..Beside::default() });
            Ok(located)
        })
    }

    fn oke_workload_identity(self, settings: WorkloadSettings) -> Result<SignedIn, Failure> {
        let resolved = self.resolve(principals(settings.region.as_deref()))?;
        let service = format!("https://{}", settings.authority);
        let clock = self.way.clock.clone();
        let source = OkeWorkloadIdentity::new(settings, USER_AGENT.to_owned(), clock);
        let (places, warnings) = (vec![source.place(), service], resolved.warnings.clone());
        Ok(self.begin(source, resolved, Notes::new(Beside { places, key: None, warnings })))
    }

    fn resource_principal(self, variables: PrincipalVariables) -> Result<SignedIn, Failure> {
        let resolved = self.resolve(principals(variables.region.as_deref()))?;
        let source = ResourcePrincipal::new(variables, self.way.clock.clone());
        let [token, key] = source.places();
        let warnings = resolved.warnings.clone();
        let notes = Notes::new(Beside { places: vec![token], key: Some(key), warnings });
        Ok(self.begin(Found::new(source, files::Config::default()), resolved, notes))
    }

    fn begin<S: FetchCredentials>(self, source: S, resolved: Resolved, notes: Notes) -> SignedIn {
        let credentials = Arc::new(Refreshing::start(source, self.way.clock));
        SignedIn { credentials, resolved, notes }
    }

    fn resolve(&self, region: SourceRegion<'_>) -> Result<Resolved, Failure> {
        Ok(self.way.upstream.resolve(&self.files, region, &self.way.given)?)
    }

    /// Where settings say neither region nor endpoint, the credential's source does, once it answers.
    fn resolve_or_later(&self, region: SourceRegion<'_>) -> Result<Resolved, Failure> {
        let Way { upstream, given, clock: _ } = &self.way;
        match (&upstream.region, &upstream.endpoint) {
            (None, None) => Ok(upstream.resolve_later(&self.files, given)?),
            (Some(_), _) | (_, Some(_)) => self.resolve(region),
        }
    }

    fn plain_http(&self) -> Result<Arc<HttpClient>, Failure> {
        self.http(&HttpConfig { trust: Trust::Plaintext, proxy: None, user_agent: USER_AGENT.to_owned() })
    }

    fn federation_at(&self, endpoint: &Endpoint) -> Result<Federation, Failure> {
        let Way { upstream, given, clock } = &self.way;
        let http = self.http(&upstream.http(Some(endpoint), &self.files, given)?)?;
        Ok(Federation::new(endpoint.to_string(), http, clock.clone()))
    }

    fn http(&self, config: &HttpConfig) -> Result<Arc<HttpClient>, Failure> {
        let Way { upstream, given, clock: _ } = &self.way;
        HttpClient::new(config).map(Arc::new).map_err(|error| unbuilt(&error, upstream, given))
    }
}

fn unusable(problem: impl Display) -> credentials::Error {
    credentials::Error::InvalidConfiguration(Arc::new(std::io::Error::other(problem.to_string())))
}

fn instances(text: Option<&str>) -> SourceRegion<'_> {
    SourceRegion { text, setting: "the instance's region", place: "let the metadata service say it" }
}

fn principals(text: Option<&str>) -> SourceRegion<'_> {
    let setting = "OCI_RESOURCE_PRINCIPAL_REGION";
    SourceRegion { text, setting, place: "in OCI_RESOURCE_PRINCIPAL_REGION" }
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
