//! The long-lived keys of the issuers.

use std::fmt;
use std::sync::Arc;

use crate::sandbox::Error;
use crate::sandbox::key::Key;

/// The keys that session tokens, certificates and service-account tokens are signed with, and those of the
/// instance's first certificates. Clones share them; sandboxes of one test run may, too. `Debug` does not show
/// them.
#[derive(Clone)]
pub struct IssuerKeys(Arc<Keys>);

struct Keys {
    mint: Key,
    cluster: Key,
    root: Key,
    intermediate: Key,
    leaf: Arc<Key>,
}

impl IssuerKeys {
    /// Makes new ones. Takes a core for a second or so.
    ///
    /// # Errors
    ///
    /// When a key cannot be made.
    pub fn generate() -> Result<IssuerKeys, Error> {
        Ok(IssuerKeys(Arc::new(Keys {
            mint: Key::generate()?,
            cluster: Key::generate()?,
            root: Key::generate()?,
            intermediate: Key::generate()?,
            leaf: Arc::new(Key::generate()?),
        })))
    }

    /// Signs session tokens.
    pub(super) fn mint(&self) -> &Key {
        &self.0.mint
    }

    /// Signs service-account tokens.
    pub(super) fn cluster(&self) -> &Key {
        &self.0.cluster
    }

    /// Signs the intermediate certificate.
    pub(super) fn root(&self) -> &Key {
        &self.0.root
    }

    /// Signs leaf certificates.
    pub(super) fn intermediate(&self) -> &Key {
        &self.0.intermediate
    }

    /// The key of the first leaf certificate.
    pub(super) fn leaf(&self) -> Arc<Key> {
        Arc::clone(&self.0.leaf)
    }
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IssuerKeys").finish_non_exhaustive()
    }
}
