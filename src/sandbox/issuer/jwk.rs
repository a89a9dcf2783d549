//! RSA public keys as JSON (RFC 7517, RFC 7518 6.3.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPublicKey};
use serde::{Deserialize, Serialize};

/// One key. What else its JSON says is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub struct Jwk(pub(super) RsaPublicKey);

#[derive(Serialize, Deserialize)]
struct Members {
    kty: String,
    n: String,
    e: String,
}

impl TryFrom<Members> for Jwk {
    type Error = &'static str;

    fn try_from(members: Members) -> Result<Jwk, &'static str> {
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map(|bytes| BigUint::from_bytes_be(&bytes));
        let key = match (members.kty.as_str(), number(&members.n), number(&members.e)) {
            ("RSA", Ok(n), Ok(e)) => RsaPublicKey::new(n, e).ok(),
            _ => None,
        };
        key.map(Jwk).ok_or("a key is no RSA public key")
    }
}

impl From<Jwk> for Members {
    fn from(Jwk(key): Jwk) -> Members {
        let number = |number: &BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
        Members { kty: "RSA".to_owned(), n: number(key.n()), e: number(key.e()) }
    }
}
