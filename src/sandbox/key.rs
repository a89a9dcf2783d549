//! An RSA key of the sandbox's own: made here, signed with by aws-lc-rs, verified with by `rsa`.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use pkcs8::pkcs5::pbes2::Parameters;
use pkcs8::{DecodePrivateKey, EncodePublicKey, LineEnding, PrivateKeyInfo, SecretDocument};
use rsa::{RsaPrivateKey, RsaPublicKey};
use zeroize::Zeroizing;

use super::Error;

/// Its private half is wiped when it is dropped, and it has no `Debug`.
pub(super) struct Key {
    pair: KeyPair,
    public: RsaPublicKey,
    public_der: Vec<u8>,
}

impl Key {
    /// A new RSA-2048 key. Takes a core for some hundred milliseconds.
    pub(super) fn generate() -> Result<Key, Error> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
        let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| Error::Key)?;
        let private = RsaPrivateKey::from_pkcs8_der(der.as_ref()).map_err(|_| Error::Key)?;
        let public = private.to_public_key();
        let public_der = public.to_public_key_der().map_err(|_| Error::Key)?.into_vec();
        Ok(Key { pair, public, public_der })
    }

    pub(super) fn public(&self) -> &RsaPublicKey {
        &self.public
    }

    /// The SubjectPublicKeyInfo.
    pub(super) fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// Unencrypted PKCS#8.
    pub(super) fn private_pem(&self) -> Result<Zeroizing<String>, Error> {
        let document = self.document()?;
        document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|_| Error::Key)
    }

    /// PKCS#8 under a passphrase (PBES2).
    pub(super) fn encrypted_pem(&self, passphrase: &str) -> Result<Zeroizing<String>, Error> {
        let document = self.document()?;
        let info: PrivateKeyInfo<'_> = document.decode_msg().map_err(|_| Error::Key)?;
        let (salt, iv): ([u8; 16], [u8; 16]) = (rand::random(), rand::random());
        let parameters = Parameters::pbkdf2_sha256_aes256cbc(2048, &salt, &iv).map_err(|_| Error::Key)?;
        let encrypted = info.encrypt_with_params(parameters, passphrase).map_err(|_| Error::Key)?;
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(|_| Error::Key)
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| Error::Key)?;
        Ok(signature)
    }

    fn document(&self) -> Result<SecretDocument, Error> {
        let der: Pkcs8V1Der<'static> = self.pair.as_der().map_err(|_| Error::Key)?;
        SecretDocument::try_from(der.as_ref()).map_err(|_| Error::Key)
    }
}
