//! The files of each way to sign in, and for each one a file of variables that names them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

use super::{Issuers, SessionKind};
use crate::sandbox::files::{Profile, create_dir, write_private, write_public};
use crate::sandbox::{Error, Identity};

/// What is written is not renewed, so it lives longer than at OCI.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// The port that the SDKs call, whatever Kubernetes says.
const CLUSTER_PORT: u16 = 12250;

/// Files of lines `NAME=value`, for a shell or a container: each is all that a client of OCI's CLI or of this gateway
/// needs to sign in in its way. All paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerFiles {
    /// A profile with a session token.
    pub security_token: PathBuf,
    /// The metadata service and the federation endpoint.
    pub instance_principal: PathBuf,
    /// The cluster, its authority and a service account's token.
    pub oke_workload_identity: PathBuf,
    /// Token and key in files.
    pub resource_principal: PathBuf,
}

impl IssuerFiles {
    /// All of them.
    pub fn all(&self) -> [&Path; 4] {
        [
            &self.security_token,
            &self.instance_principal,
            &self.oke_workload_identity,
            &self.resource_principal,
        ]
    }
}

/// Where OCI is, for the variables.
pub(in crate::sandbox) struct Upstream<'a> {
    pub(in crate::sandbox) endpoint: String,
    pub(in crate::sandbox) bundle: Option<&'a Path>,
}

/// Writes everything, and returns the profile that the configuration file needs besides.
pub(in crate::sandbox) fn write(
    dir: &Path,
    config: &Path,
    issuers: &Issuers,
    identity: &Identity,
    upstream: &Upstream<'_>,
) -> Result<(IssuerFiles, Profile), Error> {
    let env = |name: &str, auth: &str, lines: Vec<(&str, String)>| {
        let path = dir.join(format!("{name}.env"));
        write_private(&path, &upstream.variables(auth, identity, &lines))?;
        Ok(path)
    };
    let (profile, lines) = security_token(dir, config, issuers, identity)?;
    let files = IssuerFiles {
        security_token: env("security-token", "security_token", lines)?,
        instance_principal: env("instance-principal", "instance_principal", instance_principal(issuers))?,
        oke_workload_identity: env(
            "oke-workload-identity",
            "oke_workload_identity",
            workload_identity(dir, issuers, identity)?,
        )?,
        resource_principal: env(
            "resource-principal",
            "resource_principal",
            resource_principal(dir, issuers, identity)?,
        )?,
    };
    Ok((files, profile))
}

impl Upstream<'_> {
    fn variables(&self, auth: &str, identity: &Identity, lines: &[(&str, String)]) -> Zeroizing<String> {
        let bundle = self.bundle.map(|path| ("OCI_CLI_CERT_BUNDLE", path.display().to_string()));
        let common = [
            ("OCI_CLI_AUTH", auth.to_owned()),
            ("OCI_CLI_ENDPOINT", self.endpoint.clone()),
            ("OCI_CLI_REGION", identity.region().to_owned()),
        ];
        let all = common.iter().chain(bundle.iter()).chain(lines);
        Zeroizing::new(all.map(|(name, value)| format!("{name}={value}\n")).collect())
    }
}

type Lines = Vec<(&'static str, String)>;

/// What `oci session authenticate` leaves behind.
fn security_token(
    dir: &Path,
    config: &Path,
    issuers: &Issuers,
    identity: &Identity,
) -> Result<(Profile, Lines), Error> {
    const PROFILE: &str = "SECURITY_TOKEN";
    let dir = dir.join("session");
    let Written { token, key, fingerprint } = session(&dir, issuers, SessionKind::User)?;
    let keys = [
        ("fingerprint", fingerprint),
        ("tenancy", identity.tenancy().to_owned()),
        ("region", identity.region().to_owned()),
        ("key_file", key.display().to_string()),
        ("security_token_file", token.display().to_string()),
    ];
    let lines =
        vec![("OCI_CLI_CONFIG_FILE", config.display().to_string()), ("OCI_CLI_PROFILE", PROFILE.to_owned())];
    Ok((Profile { name: PROFILE, keys: keys.into() }, lines))
}

fn instance_principal(issuers: &Issuers) -> Lines {
    let base = format!("http://{}", local(issuers.instance_addr));
    vec![
        ("OCI_METADATA_BASE_URL", format!("{base}/opc/v2")),
        // The Go SDK's; `/v1/x509` is added.
        ("OCI_SDK_AUTH_CLIENT_REGION_URL", base),
    ]
}

/// The layout of a pod's `/var/run/secrets/kubernetes.io/serviceaccount`.
fn workload_identity(dir: &Path, issuers: &Issuers, identity: &Identity) -> Result<Lines, Error> {
    let dir = dir.join("service-account");
    create_dir(&dir)?;
    let (token, authority) = (dir.join("token"), dir.join("ca.crt"));
    write_private(&token, &issuers.service_account_token(LIFE)?)?;
    write_public(&authority, issuers.cluster_authority_pem())?;
    let cluster = local(issuers.cluster_addr);
    let host = match cluster.port() {
        CLUSTER_PORT => cluster.ip().to_string(),
        _ => cluster.to_string(),
    };
    Ok(vec![
        ("KUBERNETES_SERVICE_HOST", host),
        ("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", authority.display().to_string()),
        ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", token.display().to_string()),
        // The Go SDK asks for both.
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
        ("OCI_RESOURCE_PRINCIPAL_REGION", identity.region().to_owned()),
    ])
}

fn resource_principal(dir: &Path, issuers: &Issuers, identity: &Identity) -> Result<Lines, Error> {
    let dir = dir.join("resource-principal");
    let Written { token, key, fingerprint: _ } = session(&dir, issuers, SessionKind::Resource)?;
    Ok(vec![
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2".to_owned()),
        ("OCI_RESOURCE_PRINCIPAL_RPST", token.display().to_string()),
        ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", key.display().to_string()),
        ("OCI_RESOURCE_PRINCIPAL_REGION", identity.region().to_owned()),
    ])
}

/// A session's files.
struct Written {
    token: PathBuf,
    key: PathBuf,
    fingerprint: String,
}

/// The SDKs take the token's file as it is: no newline at its end.
fn session(dir: &Path, issuers: &Issuers, kind: SessionKind) -> Result<Written, Error> {
    create_dir(dir)?;
    let (token, key) = (dir.join("token"), dir.join("key.pem"));
    let session = issuers.session(kind, LIFE)?;
    write_private(&token, session.token())?;
    write_private(&key, &session.private_key_pem()?)?;
    Ok(Written { token, key, fingerprint: session.fingerprint() })
}

/// Where a listener is called from this machine.
pub(in crate::sandbox) fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}
