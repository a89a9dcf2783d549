//! Sessions that no exchange over the network makes: what `oci session authenticate` leaves behind, and what OCI
//! mounts into a function or a container instance.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::certificate::Subject;
use super::state::claims;
use crate::sandbox::Error;
use crate::sandbox::identity::fingerprint;
use crate::sandbox::key::Key;

/// Whose session it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// A user's, as by `oci session authenticate`.
    User,
    /// A resource's: resource principal 2.2.
    Resource,
}

impl SessionKind {
    /// As seen in tokens of these kinds; `res_…` are what the SDKs read of a resource's.
    pub(super) fn claims(self, subject: &Subject, user: &str) -> Map<String, Value> {
        let Subject { tenancy, compartment, instance } = subject;
        match self {
            SessionKind::User => {
                claims([("sub", user), ("ptype", "user"), ("ttype", "login"), ("tenant", tenancy)])
            }
            SessionKind::Resource => {
                let resource = instance.replace(".instance.", ".computecontainerinstance.");
                claims([
                    ("sub", &resource),
                    ("ptype", "resource"),
                    ("ttype", "res"),
                    ("res_id", &resource),
                    ("res_type", "computecontainerinstance"),
                    ("res_tenant", tenancy),
                    ("res_compartment", compartment),
                ])
            }
        }
    }
}

/// A session token and its key. `Debug` shows neither.
pub struct Session {
    pub(super) token: String,
    pub(super) key: Key,
}

impl Session {
    /// The token, without `ST$`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key's fingerprint, as in a profile.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.key.public_der())
    }

    /// The private key as unencrypted PKCS#8.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded.
    pub fn private_key_pem(&self) -> Result<Zeroizing<String>, Error> {
        self.key.private_pem()
    }

    /// The private key as PKCS#8 under a passphrase.
    ///
    /// # Errors
    ///
    /// When it cannot be encoded.
    pub fn encrypted_private_key_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, Error> {
        self.key.encrypted_pem(passphrase)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").finish_non_exhaustive()
    }
}
