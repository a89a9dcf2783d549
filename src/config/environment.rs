//! The one reader of the environment, for variables that have no flag.

#![expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]

use super::Problem;
use crate::credentials::PrincipalVariables;
use std::ffi::OsStr;
use std::ffi::OsString;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// The variables that are read, and nothing else. A variable that is set but empty counts as not set.
#[derive(Default)]
pub struct Environment {
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `OCI_CLI_USER`.
    pub user: Option<String>,
    /// `OCI_CLI_TENANCY`.
    pub tenancy: Option<String>,
    /// `OCI_CLI_FINGERPRINT`.
    pub fingerprint: Option<String>,
    /// `OCI_CLI_KEY_FILE`.
    pub key_file: Option<String>,
    /// `OCI_CLI_KEY_CONTENT`.
    pub key_content: Option<Zeroizing<String>>,
    /// `OCI_CLI_PASSPHRASE`.
    pub passphrase: Option<Zeroizing<String>>,
    /// `OCI_CLI_SECURITY_TOKEN_FILE`.
    pub security_token_file: Option<String>,
    /// `OCI_METADATA_BASE_URL`.
    pub metadata_base_url: Option<String>,
    /// `OCI_SDK_AUTH_CLIENT_REGION_URL`.
    pub auth_client_region_url: Option<String>,
    /// `KUBERNETES_SERVICE_HOST`.
    pub kubernetes_service_host: Option<String>,
    /// `OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH`.
    pub service_account_cert_path: Option<PathBuf>,
    /// `OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH`.
    pub service_account_token_path: Option<PathBuf>,
    /// `OCI_RESOURCE_PRINCIPAL_*`.
    pub resource_principal: PrincipalVariables,
    /// `OCI_REGION_METADATA`.
    pub region_metadata: Option<String>,
    /// `OCI_DEFAULT_REALM`.
    pub default_realm: Option<String>,
}

impl Environment {
    /// Reads the process's environment.
    pub fn read() -> Result<Self, Problem> {
        Ok(Self {
            home: set("HOME").map(PathBuf::from),
            user: text("OCI_CLI_USER")?,
            tenancy: text("OCI_CLI_TENANCY")?,
            fingerprint: text("OCI_CLI_FINGERPRINT")?,
            key_file: text("OCI_CLI_KEY_FILE")?,
            key_content: text("OCI_CLI_KEY_CONTENT")?.map(Zeroizing::new),
            passphrase: text("OCI_CLI_PASSPHRASE")?.map(Zeroizing::new),
            security_token_file: text("OCI_CLI_SECURITY_TOKEN_FILE")?,
            metadata_base_url: text("OCI_METADATA_BASE_URL")?,
            auth_client_region_url: text("OCI_SDK_AUTH_CLIENT_REGION_URL")?,
            kubernetes_service_host: text("KUBERNETES_SERVICE_HOST")?,
            service_account_cert_path: set("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH").map(PathBuf::from),
            service_account_token_path: set("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH").map(PathBuf::from),
            resource_principal: PrincipalVariables {
                version: text("OCI_RESOURCE_PRINCIPAL_VERSION")?,
                rpst: text("OCI_RESOURCE_PRINCIPAL_RPST")?.map(Zeroizing::new),
                private_pem: text("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM")?.map(Zeroizing::new),
                passphrase: text("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE")?.map(Zeroizing::new),
                region: text("OCI_RESOURCE_PRINCIPAL_REGION")?,
            },
            region_metadata: text("OCI_REGION_METADATA")?,
            default_realm: text("OCI_DEFAULT_REALM")?,
        })
    }
}

fn set(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

pub(super) fn text(name: &str) -> Result<Option<String>, Problem> {
    let value = set(name).map(OsString::into_string).transpose();
    value.map_err(|_bytes| Problem::with(name, "its value is not UTF-8"))
}

/// The filter of log lines, `RUST_LOG`. Bytes that are no text make a filter that is refused.
pub(super) fn log_filter() -> Option<String> {
    set("RUST_LOG").map(|value| value.to_string_lossy().into_owned())
}

/// The words of the command line.
pub(super) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Whether a variable has a value.
pub(super) fn is_set(name: &OsStr) -> bool {
    set(name).is_some()
}

/// Whether a variable is there without a value.
pub(super) fn is_empty(name: &OsStr) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Whether a variable's value is no text.
pub(super) fn is_not_text(name: &str) -> bool {
    text(name).is_err()
}
