//! The one reader of the environment, for variables that have no flag.

#![expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]

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
    /// `OCI_REGION_METADATA`.
    pub region_metadata: Option<String>,
    /// `OCI_DEFAULT_REALM`.
    pub default_realm: Option<String>,
}

impl Environment {
    /// Reads the process's environment.
    #[must_use]
    pub fn read() -> Self {
        Self {
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            user: text("OCI_CLI_USER"),
            tenancy: text("OCI_CLI_TENANCY"),
            fingerprint: text("OCI_CLI_FINGERPRINT"),
            key_file: text("OCI_CLI_KEY_FILE"),
            key_content: text("OCI_CLI_KEY_CONTENT").map(Zeroizing::new),
            passphrase: text("OCI_CLI_PASSPHRASE").map(Zeroizing::new),
            region_metadata: text("OCI_REGION_METADATA"),
            default_realm: text("OCI_DEFAULT_REALM"),
        }
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()).filter(|value| !value.is_empty())
}

/// The filter of log lines, `RUST_LOG`.
#[must_use]
pub(super) fn log_filter() -> Option<String> {
    text("RUST_LOG")
}

/// The words of the command line.
pub(super) fn arguments() -> Vec<OsString> {
    std::env::args_os().collect()
}

/// Whether a flag's value came from its variable: clap does not say so in its errors.
#[must_use]
pub(super) fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}
