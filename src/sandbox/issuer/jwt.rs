//! Tokens in the compact form of RFC 7519, signed with RS256 as OCI's and Kubernetes' are.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::RsaPublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use serde_json::{Map, Value, json};
use sha2::Sha256;

use crate::sandbox::Error;
use crate::sandbox::key::Key;

/// Why a text is no token of a key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox) enum Unreadable {
    #[error("is not a JWT")]
    NotAJwt,
    #[error("is not signed with RS256")]
    Algorithm,
    #[error("has a signature that does not fit")]
    Signature,
}

/// What a token says.
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        self.0.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

pub(super) fn sign(key: &Key, kid: &str, claims: &Value) -> Result<String, Error> {
    let header = json!({"kid": kid, "alg": "RS256", "typ": "JWT"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

/// The claims, once the signature fits. No claim is judged here.
pub(super) fn open(token: &str, key: &RsaPublicKey) -> Result<Claims, Unreadable> {
    let (signed, signature) = token.rsplit_once('.').ok_or(Unreadable::NotAJwt)?;
    let (header, claims) = signed.split_once('.').ok_or(Unreadable::NotAJwt)?;
    if read(header)?.text("alg") != Some("RS256") {
        return Err(Unreadable::Algorithm);
    }
    let claims = read(claims)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Unreadable::NotAJwt)?;
    let signature = Signature::try_from(signature.as_slice()).map_err(|_| Unreadable::Signature)?;
    VerifyingKey::<Sha256>::new(key.clone())
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| Unreadable::Signature)?;
    Ok(claims)
}

fn read(part: &str) -> Result<Claims, Unreadable> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Unreadable::NotAJwt)?;
    serde_json::from_slice(&bytes).map(Claims).map_err(|_| Unreadable::NotAJwt)
}
