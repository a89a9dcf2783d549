//! How the gateway signs in: the variables that OCI's SDKs and CLI read for each way.

use super::Auth;
use super::Environment;
use super::Given;
use super::Problem;
use super::Upstream;
use crate::credentials::InstanceSettings;
use crate::credentials::Origin;
use crate::credentials::Setting;
use crate::credentials::SignIn;
use crate::credentials::Source;
use crate::credentials::Variables;
use crate::credentials::WorkloadSettings;
use crate::oci::endpoint::Endpoint;
use http::Uri;
use http::uri::Authority;
use http::uri::Scheme;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// Link-local, and the same on every instance.
const METADATA: &str = "http://169.254.169.254/opc/v2";
/// Where the cluster answers for workload identity. The SDKs know it as a constant, too.
const PROXYMUX_PORT: u16 = 12250;
/// What Kubernetes mounts into every pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

impl Upstream {
    /// The way to sign in, with its settings. It is what was asked for, never a guess.
    pub fn sign_in(&self, environment: Environment, given: &Given) -> Result<SignIn, Problem> {
        Ok(match self.auth.unwrap_or(Auth::ApiKey) {
            Auth::ApiKey => SignIn::ApiKey(self.source(environment, given)),
            Auth::SecurityToken => SignIn::SecurityToken(self.source(environment, given)),
            Auth::InstancePrincipal => SignIn::InstancePrincipal(instance(&environment)?),
            Auth::OkeWorkloadIdentity => SignIn::OkeWorkloadIdentity(workload(environment)?),
            Auth::ResourcePrincipal => SignIn::ResourcePrincipal(environment.resource_principal),
        })
    }

    /// How the way was chosen, for people.
    #[must_use]
    pub fn chosen(&self, given: &Given) -> String {
        match self.auth {
            Some(auth) => format!("{} (from {})", auth.as_str(), given.name("--auth", "OCI_CLI_AUTH")),
            None => format!("{} (the default)", Auth::ApiKey.as_str()),
        }
    }

    /// Where a profile may stand. The OCI CLI's variables beat the file.
    fn source(&self, environment: Environment, given: &Given) -> Source {
        let file = given.name("--config-file", "OCI_CLI_CONFIG_FILE");
        let profile = given.name("--profile", "OCI_CLI_PROFILE");
        Source {
            auth: match self.auth {
                Some(_) => Origin::Named(given.name("--auth", "OCI_CLI_AUTH")),
                None => Origin::Default,
            },
            config_file: setting(self.config_file.clone(), file, || PathBuf::from("~/.oci/config")),
            profile: setting(self.profile.clone(), profile, || "DEFAULT".to_owned()),
            home: environment.home,
            variables: Variables {
                user: environment.user,
                tenancy: environment.tenancy,
                fingerprint: environment.fingerprint,
                key_file: environment.key_file,
                key_content: environment.key_content,
                passphrase: environment.passphrase,
                security_token_file: environment.security_token_file,
            },
        }
    }
}

impl Auth {
    /// As the flag has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::SecurityToken => "security_token",
            Self::InstancePrincipal => "instance_principal",
            Self::OkeWorkloadIdentity => "oke_workload_identity",
            Self::ResourcePrincipal => "resource_principal",
        }
    }
}

fn instance(environment: &Environment) -> Result<InstanceSettings, Problem> {
    let metadata = environment.metadata_base_url.as_deref().unwrap_or(METADATA);
    let metadata = base(metadata).map_err(|problem| Problem::with("OCI_METADATA_BASE_URL", problem))?;
    let federation = environment.auth_client_region_url.as_deref().map(|url| {
        let name = "OCI_SDK_AUTH_CLIENT_REGION_URL";
        Endpoint::parse(url.trim()).map_err(|error| Problem::with(name, error))
    });
    let federation = federation.transpose()?.map(|endpoint| endpoint.to_string());
    Ok(InstanceSettings { metadata, federation })
}

/// A URL of plain HTTP, to which paths are added.
fn base(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "a URL such as http://169.254.169.254/opc/v2 is expected";
    let text = text.trim().trim_end_matches('/');
    let url = text.parse::<Uri>().map_err(|_invalid| EXPECTED)?;
    let is_bare = url.query().is_none() && !text.contains(['#', '@']);
    let has_port = url.authority().is_some_and(|authority| {
        let port =
            authority.as_str().rsplit_once(':').map(|(_host, port)| port).filter(|port| !port.ends_with(']'));
        port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
    });
    match url.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP && is_bare && has_port => Ok(text.to_owned()),
        _ => Err(EXPECTED),
    }
}

fn workload(environment: Environment) -> Result<WorkloadSettings, Problem> {
    let name = "KUBERNETES_SERVICE_HOST";
    let host = environment.kubernetes_service_host.ok_or_else(|| {
        Problem::with(name, "is not set; Kubernetes sets it in every pod: elsewhere choose another --auth")
    })?;
    let authority = proxymux(host.trim()).ok_or_else(|| {
        Problem::with(name, "a host such as 10.96.0.1, with or without a port, is expected")
    })?;
    let mounted = |file: &str| PathBuf::from(format!("{SERVICE_ACCOUNT}/{file}"));
    Ok(WorkloadSettings {
        authority,
        certificate: environment.service_account_cert_path.unwrap_or_else(|| mounted("ca.crt")),
        token: environment.service_account_token_path.unwrap_or_else(|| mounted("token")),
        region: environment.resource_principal.region,
    })
}

/// Host and port. No SDK brackets an address of IPv6, which a URL needs.
fn proxymux(host: &str) -> Option<String> {
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some(format!("[{host}]:{PROXYMUX_PORT}"));
    }
    let authority =
        host.parse::<Authority>().ok().filter(|it| !it.host().is_empty() && !host.contains('@'))?;
    match (authority.port_u16(), authority.port()) {
        (Some(_), _) => Some(host.to_owned()),
        (None, None) if host == authority.host() => Some(format!("{host}:{PROXYMUX_PORT}")),
        (None, _) => None,
    }
}

fn setting<T>(given: Option<T>, name: &'static str, default: impl FnOnce() -> T) -> Setting<T> {
    match given {
        Some(value) => Setting { value, origin: Origin::Named(name) },
        None => Setting { value: default(), origin: Origin::Default },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_workload_identity_is_added_unless_one_is_given() {
        for (host, expected) in [
            ("10.96.0.1", Some("10.96.0.1:12250")),
            ("kubernetes.default.svc", Some("kubernetes.default.svc:12250")),
            ("fd00::1", Some("[fd00::1]:12250")),
            ("[fd00::1]", Some("[fd00::1]:12250")),
            ("[fd00::1]:443", Some("[fd00::1]:443")),
            ("127.0.0.5:4711", Some("127.0.0.5:4711")),
            ("", None),
            (":443", None),
            ("a/b", None),
            ("me@host", None),
            ("host:", None),
            ("host:port", None),
        ] {
            assert_eq!(proxymux(host).as_deref(), expected, "{host}");
        }
    }

    #[test]
    fn the_metadata_service_is_asked_in_plain_http_below_its_base() {
        for url in [
            "http://169.254.169.254/opc/v2",
            "http://127.0.0.1:80/opc/v2/",
            "http://[fd00:c1::a9fe:a9fe]/opc/v2",
        ] {
            assert_eq!(base(url).unwrap(), url.trim_end_matches('/'));
        }
        for url in [
            "",
            "169.254.169.254",
            "https://169.254.169.254/opc/v2",
            "http://a/b?c",
            "http://me@a/b",
            "/opc/v2",
        ] {
            assert!(base(url).is_err(), "{url}");
        }
    }
}
