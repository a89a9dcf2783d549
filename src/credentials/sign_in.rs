//! The ways to sign in, with what was set for each.

use super::PrincipalVariables;
use super::Source;
use std::path::PathBuf;

/// One of OCI's ways to sign in, under the names of its CLI.
#[derive(Debug)]
pub enum SignIn {
    /// A user's key.
    ApiKey(Source),
    /// A user's session.
    SecurityToken(Source),
    /// The instance that this runs on.
    InstancePrincipal(InstanceSettings),
    /// The service account of a pod.
    OkeWorkloadIdentity(WorkloadSettings),
    /// A function, a container instance, or another resource.
    ResourcePrincipal(PrincipalVariables),
}

/// What is set for instance principals.
#[derive(Debug, Clone)]
pub struct InstanceSettings {
    /// The base URL of the instance's metadata service.
    pub metadata: String,
    /// The base URL of the service that gives tokens, in place of the region's.
    pub federation: Option<String>,
}

/// What is set for workload identity.
#[derive(Debug, Clone)]
pub struct WorkloadSettings {
    /// Host and port of the cluster's service that gives tokens.
    pub authority: String,
    /// The certificates that it is trusted by.
    pub certificate: PathBuf,
    /// The service account's token.
    pub token: PathBuf,
    /// `OCI_RESOURCE_PRINCIPAL_REGION`.
    pub region: Option<String>,
}
