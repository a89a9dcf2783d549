//! OCI's side of the settings: who we are, where the API is, whom we trust.

use super::Environment;
use super::Problem;
use super::Upstream;
use crate::credentials::Origin;
use crate::credentials::Setting;
use crate::credentials::Source;
use crate::credentials::Variables;
use crate::oci::Config as OciConfig;
use crate::oci::USER_AGENT;
use crate::oci::endpoint::Endpoint;
use crate::region::Origin as RegionOrigin;
use crate::region::Regions;
use crate::region::Sources;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::path::PathBuf;

/// Everything that is needed to call OCI, but the credential.
#[derive(Debug)]
pub struct Resolved {
    /// Where and how OCI is called.
    pub oci: OciConfig,
    /// How the connection is made.
    pub http: HttpConfig,
    /// What is not wrong but should be known, a line each.
    pub warnings: Vec<String>,
}

impl Upstream {
    /// Where the credential may stand. The OCI CLI's variables beat the file.
    #[must_use]
    pub fn source(&self, environment: Environment) -> Source {
        let default_file = || PathBuf::from("~/.oci/config");
        Source {
            config_file: setting(
                self.config_file.clone(),
                "--config-file or OCI_CLI_CONFIG_FILE",
                default_file,
            ),
            profile: setting(self.profile.clone(), "--profile or OCI_CLI_PROFILE", || "DEFAULT".to_owned()),
            home: environment.home,
            variables: Variables {
                user: environment.user,
                tenancy: environment.tenancy,
                fingerprint: environment.fingerprint,
                key_file: environment.key_file,
                key_content: environment.key_content,
                passphrase: environment.passphrase,
            },
        }
    }

    /// The endpoint and the connection. `--region` beats the profile's region, `--endpoint` beats both.
    pub fn resolve(
        &self,
        environment: &Environment,
        profiles_region: Option<&str>,
    ) -> Result<Resolved, Problem> {
        let regions = regions(environment);
        let mut warnings = regions.warnings().to_vec();
        let region = match (&self.region, profiles_region) {
            (Some(text), _) => Some(("--region or OCI_CLI_REGION", text.as_str())),
            (None, Some(text)) => Some(("the profile's region", text)),
            (None, None) => None,
        };
        let region = region
            .map(|(setting, text)| {
                regions
                    .resolve(text)
                    .map_err(|error| Problem::with(setting, format_args!("{text:?} {error}")))
            })
            .transpose()?;
        let endpoint = match (&self.endpoint, &region) {
            (Some(url), _) => endpoint("--endpoint or OCI_CLI_ENDPOINT", url)?,
            (None, Some(region)) => {
                if *region.origin() == RegionOrigin::Assumed {
                    let (id, domain) = (region.id(), region.domain());
                    warnings
                        .push(format!("the region {id} is not known; {domain} is assumed to be its domain"));
                }
                endpoint("the region", &format!("https://{}", region.host("iaas")))?
            }
            (None, None) => {
                return Err(Problem::with(
                    "--region",
                    "no region is known; give it here, in OCI_CLI_REGION or as `region` in the profile",
                ));
            }
        };
        let http = self.http(&endpoint)?;
        let region = region.map_or_else(String::new, |region| region.id().to_owned());
        let oci = OciConfig { endpoint, attempt_timeout: self.attempt_timeout, region, regions };
        Ok(Resolved { oci, http, warnings })
    }

    fn http(&self, endpoint: &Endpoint) -> Result<HttpConfig, Problem> {
        let trust = match &self.cert_bundle {
            _ if !endpoint.is_secure() => Trust::Plaintext,
            None => Trust::System,
            Some(path) => {
                let read = std::fs::read(path);
                Trust::Bundle(read.map_err(|error| {
                    let path = path.display();
                    Problem::with(
                        "--cert-bundle or OCI_CLI_CERT_BUNDLE",
                        format_args!("{path} cannot be read: {error}"),
                    )
                })?)
            }
        };
        Ok(HttpConfig { trust, proxy: self.proxy.clone(), user_agent: USER_AGENT.to_owned() })
    }
}

fn setting<T>(given: Option<T>, name: &'static str, default: impl FnOnce() -> T) -> Setting<T> {
    match given {
        Some(value) => Setting { value, origin: Origin::Named(name) },
        None => Setting { value: default(), origin: Origin::Default },
    }
}

/// The table of regions and what the operator's machine adds to it, where the SDKs look for it.
fn regions(environment: &Environment) -> Regions {
    let file = environment.home.as_ref().map(|home| home.join(".oci/regions-config.json"));
    let regions_config = file.and_then(|path| std::fs::read_to_string(path).ok());
    Regions::new(Sources {
        regions_config: regions_config.as_deref(),
        region_metadata: environment.region_metadata.as_deref(),
        default_realm: environment.default_realm.as_deref(),
    })
}

fn endpoint(setting: &str, url: &str) -> Result<Endpoint, Problem> {
    Endpoint::parse(url).map_err(|error| Problem::with(setting, format_args!("{url:?}: {error}")))
}
