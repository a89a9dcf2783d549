//! The private key that signs.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::PublicKeyX509Der;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use md5::Digest;
use md5::Md5;

use super::Error;

/// The least modulus that signs: OCI's SDKs refuse smaller keys, and so does the library that signs.
const MIN_BITS: usize = 2048;

/// The greatest modulus that the library signs with.
const MAX_BITS: usize = 8192;

/// An RSA key that OCI accepts signatures of. Nothing of it is ever shown, and AWS-LC wipes its memory.
pub struct PrivateKey {
    pair: RsaKeyPair,
    bits: usize,
    fingerprint: String,
    public: Vec<u8>,
    modulus: Vec<u8>,
}

/// Why a key cannot sign for OCI.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key of another algorithm.
    #[error("not an RSA key but a key of {algorithm}; OCI signs with RSA only")]
    NotRsa {
        /// Its name, or its object identifier.
        algorithm: String,
    },
    /// A modulus that is too small or too great.
    #[error("an RSA key of {bits} bits; OCI takes {MIN_BITS} to {MAX_BITS} bits")]
    Size {
        /// Of the modulus.
        bits: usize,
    },
    /// Not the DER of a key, or numbers that do not belong together.
    #[error("damaged: its content is not that of an RSA private key")]
    Malformed,
}

impl PrivateKey {
    /// Reads a PKCS#8 `PrivateKeyInfo`.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let info = pkcs8::PrivateKeyInfo::try_from(der).map_err(|_| KeyError::Malformed)?;
        if info.algorithm.oid != pkcs1::ALGORITHM_OID {
            return Err(KeyError::NotRsa { algorithm: algorithm_name(info.algorithm.oid) });
        }
        Self::from_pkcs1(info.private_key)
    }

    /// Reads a PKCS#1 `RSAPrivateKey`.
    pub fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let numbers = pkcs1::RsaPrivateKey::try_from(der).map_err(|_| KeyError::Malformed)?;
        let bits = bit_length(numbers.modulus.as_bytes());
        if !(MIN_BITS..=MAX_BITS).contains(&bits) {
            return Err(KeyError::Size { bits });
        }
        Self::from_pair(RsaKeyPair::from_der(der).map_err(|_| KeyError::Malformed)?)
    }

    /// Takes a key that was made here.
    pub fn from_pair(pair: RsaKeyPair) -> Result<Self, KeyError> {
        let numbers = pkcs1::RsaPublicKey::try_from(pair.public_key().as_ref());
        let modulus = numbers.map_err(|_| KeyError::Malformed)?.modulus.as_bytes().to_vec();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| KeyError::Malformed)?;
        let public = public.as_ref().to_vec();
        let (bits, fingerprint) = (bit_length(&modulus), fingerprint(&public));
        Ok(Self { pair, bits, fingerprint, public, modulus })
    }

    /// Its public half, as the DER of a `SubjectPublicKeyInfo`.
    pub fn public_der(&self) -> &[u8] {
        &self.public
    }

    /// Whether this is the modulus, a big-endian number.
    pub fn has_modulus(&self, modulus: &[u8]) -> bool {
        let zeros = modulus.iter().take_while(|byte| **byte == 0).count();
        modulus.get(zeros..) == Some(&self.modulus)
    }

    /// What OCI's console calls the key's fingerprint: `be:ba:33:…`, 16 pairs, the MD5 of the public key's
    /// `SubjectPublicKeyInfo` (OCI's `API/Concepts/apisigningkey.htm`). It identifies, it protects nothing.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The size of the modulus.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256: the same message gives the same signature, always.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| Error::Key)?;
        Ok(signature)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

fn fingerprint(public_key: &[u8]) -> String {
    let pairs: Vec<String> = Md5::digest(public_key).iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Of a big-endian number without leading zero bytes.
fn bit_length(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(unused)
}

/// The names of the algorithms that `openssl genpkey` makes keys of.
fn algorithm_name(oid: pkcs8::ObjectIdentifier) -> String {
    let oid = oid.to_string();
    match oid.as_str() {
        "1.2.840.10045.2.1" => "an elliptic curve (EC)".to_owned(),
        "1.3.101.112" => "Ed25519".to_owned(),
        "1.3.101.113" => "Ed448".to_owned(),
        "1.2.840.113549.1.1.10" => "RSA-PSS".to_owned(),
        "1.2.840.10040.4.1" => "DSA".to_owned(),
        _ => oid,
    }
}
