//! The user that the sandbox knows: an API key made for it.

use std::fmt;
use std::sync::Arc;

use md5::{Digest, Md5};
use rsa::RsaPublicKey;
use zeroize::Zeroizing;

use super::Error;
use super::key::Key;

/// A tenancy, a user in it and the user's API key. Clones share the key; it is wiped when the last is
/// dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    tenancy: String,
    user: String,
    fingerprint: String,
    private_key_pem: Zeroizing<String>,
    public_key: RsaPublicKey,
}

impl Identity {
    /// Makes a new RSA-2048 key and random OCIDs. Takes a core for some hundred milliseconds.
    ///
    /// # Errors
    ///
    /// When the key cannot be made or encoded.
    pub fn generate() -> Result<Identity, Error> {
        let tenancy = format!("ocid1.tenancy.oc1..aaaaaaaa{}", random_base32(52));
        Identity::with_key(tenancy, format!("ocid1.user.oc1..aaaaaaaa{}", random_base32(52)))
    }

    /// The same user with another new key, as when keys are rotated.
    ///
    /// # Errors
    ///
    /// When the key cannot be made or encoded.
    pub fn rotated(&self) -> Result<Identity, Error> {
        Identity::with_key(self.tenancy().to_owned(), self.user().to_owned())
    }

    fn with_key(tenancy: String, user: String) -> Result<Identity, Error> {
        let key = Key::generate()?;
        Ok(Identity(Arc::new(Inner {
            tenancy,
            user,
            fingerprint: fingerprint(key.public_der()),
            private_key_pem: key.private_pem()?,
            public_key: key.public().clone(),
        })))
    }

    /// The tenancy's OCID, also the compartment of every backup made here.
    pub fn tenancy(&self) -> &str {
        &self.0.tenancy
    }

    /// The user's OCID.
    pub fn user(&self) -> &str {
        &self.0.user
    }

    /// The key's fingerprint: sixteen pairs of hex digits.
    pub fn fingerprint(&self) -> &str {
        &self.0.fingerprint
    }

    /// The region to configure.
    pub fn region(&self) -> &'static str {
        "us-ashburn-1"
    }

    /// The private key as unencrypted PKCS#8.
    pub fn private_key_pem(&self) -> &str {
        &self.0.private_key_pem
    }

    pub(super) fn public_key(&self) -> &RsaPublicKey {
        &self.0.public_key
    }

    /// `<tenancy>/<user>/<fingerprint>` (OCI, Signing Requests: "keyId").
    pub(super) fn key_id(&self) -> String {
        self.key_id_with(self.fingerprint())
    }

    /// The same for another key of the user.
    pub(super) fn key_id_with(&self, fingerprint: &str) -> String {
        format!("{}/{}/{fingerprint}", self.tenancy(), self.user())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("key_id", &self.key_id()).finish_non_exhaustive()
    }
}

/// OCI, Required Keys and OCIDs: MD5 over the DER of the public key, as colon-separated hex.
pub(super) fn fingerprint(public_key_der: &[u8]) -> String {
    let pairs: Vec<String> = Md5::digest(public_key_der).iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// The alphabet of the unique part of an OCID, at random.
pub(super) fn random_base32(length: usize) -> String {
    const ALPHABET: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's', 't',
        'u', 'v', 'w', 'x', 'y', 'z', '2', '3', '4', '5', '6', '7',
    ];
    rand::random_iter::<u8>().take(length).filter_map(|byte| ALPHABET.get(usize::from(byte) % 32)).collect()
}
