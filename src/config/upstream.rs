//! OCI's side of the settings: who we are, where the API is, whom we trust.

use super::Environment;
use super::Given;
use super::Problem;
use super::Upstream;
use crate::oci::Config as OciConfig;
use crate::oci::Place;
use crate::oci::USER_AGENT;
use crate::oci::endpoint::Endpoint;
use crate::region::Origin as RegionOrigin;
use crate::region::Region;
use crate::region::Regions;
use crate::region::Sources;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// Everything that is needed to call OCI, but the credential.
#[derive(Debug)]
pub struct Resolved {
    /// Where and how OCI is called.
    pub oci: OciConfig,
    /// How the connection is made.
    pub http: HttpConfig,
    /// The region's service that gives tokens, if the region is known.
    pub federation: Option<Endpoint>,
    /// What is not wrong but should be known, a line each.
    pub warnings: Vec<String>,
}

/// The region that the credential's source names.
#[derive(Debug, Clone, Copy)]
pub struct SourceRegion<'a> {
    /// The region, if it does.
    pub text: Option<&'a str>,
    /// What it is there: `the profile's region`, …
    pub setting: &'static str,
    /// Where it could be given, beside the flag and its variable.
    pub place: &'static str,
}

impl Upstream {
    /// The endpoint and the connection. `--region` beats the source's region, `--endpoint` beats both.
    pub fn resolve(
        &self,
        environment: &Environment,
        source: SourceRegion<'_>,
        given: &Given,
    ) -> Result<Resolved, Problem> {
        let (regions, mut warnings) = regions(environment);
        let region = match (&self.region, source.text) {
            (Some(text), _) => Some((given.name("--region", "OCI_CLI_REGION"), text.as_str())),
            (None, Some(text)) => Some((source.setting, text)),
            (None, None) => None,
        };
        let region = region.map(|(setting, text)| {
            let known = regions.resolve(text);
            known.map_err(|error| Problem::with(setting, format_args!("{text:?}: {error}")))
        });
        let region = region.transpose()?;
        let endpoint = match (&self.endpoint, &region) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(region)) => {
                warnings.extend(assumed(region));
                let url = format!("https://{}", region.host("iaas"));
                Endpoint::parse(&url).map_err(|error| Problem::with(&url, error))?
            }
            (None, None) => {
                return Err(Problem::with(
                    "--region",
                    format_args!("no region is known; give it here, in OCI_CLI_REGION or {}", source.place),
                ));
            }
        };
        let http = self.http(Some(&endpoint), given)?;
        let federation =
            region.as_ref().and_then(|it| Endpoint::parse(&format!("https://{}", it.host("auth"))).ok());
        let asked = region.as_ref().filter(|_| self.endpoint.is_none() || self.region.is_some());
        let region = called(&endpoint, &regions, asked);
        let oci = OciConfig::new(Place::known(endpoint, &region), self.attempt_timeout, regions);
        Ok(Resolved { oci, http, federation, warnings })
    }

    /// The same for a region that is found out later: how OCI is called, but not yet where.
    pub fn resolve_later(&self, environment: &Environment, given: &Given) -> Result<Resolved, Problem> {
        let (regions, warnings) = regions(environment);
        let http = self.http(None, given)?;
        let oci = OciConfig::new(Place::default(), self.attempt_timeout, regions);
        Ok(Resolved { oci, http, federation: None, warnings })
    }

    /// How the connection to an endpoint is made. One that is not known yet is one of OCI's, and so HTTPS.
    pub fn http(&self, endpoint: Option<&Endpoint>, given: &Given) -> Result<HttpConfig, Problem> {
        let read = |path: &PathBuf| {
            let name = given.name("--cert-bundle", "OCI_CLI_CERT_BUNDLE");
            let unreadable = |error| Problem::with(name, format_args!("{}: {error}", path.display()));
            whole(path).map_err(unreadable)
        };
        let is_secure = endpoint.is_none_or(Endpoint::is_secure);
        if self.proxy.is_some() && !is_secure {
            let name = given.name("--proxy", "GATEWAY_PROXY");
            return Err(Problem::with(
                name,
                "cannot be used with an http endpoint: signed requests would leave the machine in clear",
            ));
        }
        let bundle = self.cert_bundle.as_ref().map(read).transpose()?;
        let trust = match bundle {
            _ if !is_secure => Trust::Plaintext,
            None => Trust::System,
            Some(pem) => Trust::Bundle(pem),
        };
        Ok(HttpConfig { trust, proxy: self.proxy.clone(), user_agent: USER_AGENT.to_owned() })
    }
}

/// Reads a file, unless it has no end.
fn whole(path: &Path) -> io::Result<Vec<u8>> {
    /// All certificates that a system trusts take a quarter of a mebibyte.
    const LONGEST: u64 = 4 * 1024 * 1024;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(0..=LONGEST) => Ok(bytes),
        Ok(_) | Err(_) => Err(io::Error::new(ErrorKind::FileTooLarge, "it is longer than 4 MiB")),
    }
}

/// A misspelt region looks like a new one.
fn assumed(region: &Region) -> Option<String> {
    let (id, domain) = (region.id(), region.domain());
    (*region.origin() == RegionOrigin::Assumed)
        .then(|| format!("the region {id} is not known; {domain} is assumed to be its domain"))
}

/// The table of regions and what the operator's machine adds to it, where the SDKs look for it; and a line
/// when that is there and cannot be read.
fn regions(environment: &Environment) -> (Regions, Vec<String>) {
    let file = environment.home.as_ref().map(|home| home.join(".oci/regions-config.json"));
    let (mut regions_config, mut warnings) = (None, Vec::new());
    if let Some(path) = file {
        match whole(&path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other)) {
            Ok(text) => regions_config = Some(text),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => warnings.push(format!("{} is ignored: {error}", path.display())),
        }
    }
    let regions = Regions::new(Sources {
        regions_config: regions_config.as_deref(),
        region_metadata: environment.region_metadata.as_deref(),
        default_realm: environment.default_realm.as_deref(),
    });
    warnings.extend_from_slice(regions.warnings());
    (regions, warnings)
}

/// The region that a call goes to, as far as that is known: `--endpoint` may lead elsewhere than the profile's
/// region, and then its host says so, or nobody does.
fn called(url: &Endpoint, regions: &Regions, asked: Option<&Region>) -> String {
    let host = url.authority().strip_prefix("iaas.").and_then(|rest| rest.split('.').next());
    let known = host.and_then(|label| regions.known(label));
    known.or(asked.map(Region::id)).unwrap_or_default().to_owned()
}
