//! Tokens: what their claims say. Signatures are not verified here: that is the business of OCI, which they are
//! shown to.

use crate::ocid::Ocid;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Map;
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

/// A year after 9999 is nobody's meaning.
const LAST: f64 = 253_402_300_800.0;

/// Why a text is no token that can be used. Each line reads on from the token's place, and repeats nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    /// No text at all.
    #[error("is empty, a token was expected")]
    Empty,
    /// A key in a token's place.
    #[error("is a key, a token was expected")]
    Key,
    /// More than one line, or word.
    #[error("has a line break or a space inside: one token on one line was expected")]
    Space,
    /// Some other text.
    #[error("is not a JWT: three parts of base64url with dots between them were expected")]
    NotJwt,
    /// Claims that cannot be read.
    #[error("is a JWT whose claims cannot be read")]
    NoClaims,
    /// Claims without an end.
    #[error("is a JWT without the claim `exp`: nobody knows how long it lasts")]
    NoExpiry,
    /// An end of another kind.
    #[error("is a JWT whose claim `exp` is {found}, and no time in seconds since 1970")]
    WrongExpiry {
        /// What it is.
        found: &'static str,
    },
    /// A token of the past.
    #[error("is a token that expired at {at}")]
    Expired {
        /// When.
        at: String,
    },
}

/// What a token says.
#[derive(Debug)]
pub(super) struct Claims {
    pub(super) expires: SystemTime,
    claims: Map<String, Value>,
}

impl Claims {
    /// Reads a token that is good at `now`.
    pub(super) fn read(token: &str, now: SystemTime) -> Result<Self, JwtError> {
        if token.is_empty() {
            return Err(JwtError::Empty);
        }
        if token.starts_with("-----BEGIN ") {
            return Err(JwtError::Key);
        }
        if token.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(JwtError::Space);
        }
        let claims = payload(token).ok_or(JwtError::NotJwt)?;
        let claims: Map<String, Value> = serde_json::from_slice(&claims).map_err(|_| JwtError::NoClaims)?;
        let expires = expiry(claims.get("exp"))?;
        if expires <= now {
            return Err(JwtError::Expired { at: shown(expires) });
        }
        Ok(Self { expires, claims })
    }

    /// A claim that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// The tenancy, under whichever of the names that OCI's issuers give it.
    pub(super) fn tenancy(&self) -> Option<Ocid> {
        ["tenant", "res_tenant", "opc-tenant"].iter().find_map(|name| Ocid::parse(self.text(name)?).ok())
    }

    /// The modulus of the key that the token was issued for, in base64url, if it says so: the claim `jwk` is JSON
    /// in a text, in OCI's tokens, or the object itself.
    pub(super) fn modulus(&self) -> Option<Vec<u8>> {
        let jwk = match self.claims.get("jwk")? {
            Value::String(text) => serde_json::from_str(text).ok()?,
            other => other.clone(),
        };
        decode(jwk.get("n")?.as_str()?)
    }
}

/// RFC 7519: seconds since 1970, with or without a fraction.
fn expiry(exp: Option<&Value>) -> Result<SystemTime, JwtError> {
    let found = match exp {
        None => return Err(JwtError::NoExpiry),
        Some(Value::Number(seconds)) => {
            match seconds.as_f64().filter(|seconds| (0.0..LAST).contains(seconds)) {
                Some(seconds) => return Ok(UNIX_EPOCH + Duration::from_secs_f64(seconds)),
                None => "a number out of range",
            }
        }
        Some(Value::String(_)) => "a text",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    };
    Err(JwtError::WrongExpiry { found })
}

/// A time as people read it.
pub(super) fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|error| error.to_string(), |time| format!("{time:.0}"))
}

fn payload(token: &str) -> Option<Vec<u8>> {
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    decode(header).and(decode(signature)).and(decode(claims))
}

fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// A path for people to read, unless it is a token that stands where a path is expected.
pub(super) fn shown_path(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    if text.trim_start().trim_start_matches("ST$").starts_with("eyJ") {
        return "a token, where the path of a file is expected".into();
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A token with these claims.
    pub(in crate::credentials) fn token(claims: &Value) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.{}", part(r#"{"alg":"RS256"}"#), part(&claims.to_string()), part("signature"))
    }

    #[test]
    fn a_token_in_the_place_of_a_path_is_not_shown() {
        let token = token(&serde_json::json!({"sub": "canary"}));
        for text in [token.clone(), format!("ST${token}"), format!(" {token}")] {
            let shown = shown_path(Path::new(&text)).into_owned();
            assert!(!shown.contains("eyJ") && shown.contains("path"), "{shown}");
        }
        assert_eq!(shown_path(Path::new("/run/token")), "/run/token");
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_900_000_000)
    }

    #[test]
    fn claims_are_read() {
        let jwk = r#"{"kty":"RSA","n":"AQID","e":"AQAB"}"#;
        let tenant = "ocid1.tenancy.oc1..a";
        for exp in [serde_json::json!(1_900_000_060), serde_json::json!(1_900_000_060.5)] {
            let claims = serde_json::json!({"exp": exp, "sub": "me", "res_tenant": tenant, "jwk": jwk});
            let claims = Claims::read(&token(&claims), now()).unwrap();
            assert_eq!(claims.expires.duration_since(now()).unwrap().as_secs(), 60);
            assert_eq!((claims.text("sub"), claims.text("absent")), (Some("me"), None));
            assert_eq!(claims.tenancy().unwrap().as_str(), tenant);
            assert_eq!(claims.modulus().unwrap(), [1, 2, 3]);
        }
    }

    #[test]
    fn what_is_no_token_says_what_it_is_instead() {
        let with = |claims: Value| token(&claims);
        let good = with(serde_json::json!({"exp": 1_900_000_060}));
        for (text, expected) in [
            (String::new(), "is empty"),
            ("-----BEGIN PRIVATE KEY-----\nsecret\n".to_owned(), "is a key, a token was expected"),
            ("not a token".to_owned(), "has a line break or a space inside"),
            (good.replace('.', ".\n"), "has a line break or a space inside"),
            ("secret".to_owned(), "is not a JWT"),
            (format!("ST${good}"), "is not a JWT"),
            (format!("{good}.more"), "is not a JWT"),
            (token(&Value::Null).replace('.', ".!"), "is not a JWT"),
            (with(serde_json::json!([1])), "is a JWT whose claims cannot be read"),
            (with(serde_json::json!({})), "is a JWT without the claim `exp`"),
            (
                with(serde_json::json!({"exp": "secret"})),
                "is a JWT whose claim `exp` is a text, and no time in seconds",
            ),
            (with(serde_json::json!({"exp": "1900000060"})), "is a JWT whose claim `exp` is a text,"),
            (with(serde_json::json!({"exp": null})), "is a JWT whose claim `exp` is null,"),
            (with(serde_json::json!({"exp": true})), "is a JWT whose claim `exp` is true or false,"),
            (with(serde_json::json!({"exp": [1]})), "is a JWT whose claim `exp` is a list,"),
            (with(serde_json::json!({"exp": {}})), "is a JWT whose claim `exp` is an object,"),
            (with(serde_json::json!({"exp": 1e300})), "is a JWT whose claim `exp` is a number out of range,"),
            (with(serde_json::json!({"exp": -1})), "is a JWT whose claim `exp` is a number out of range,"),
            (
                with(serde_json::json!({"exp": 1_900_000_000})),
                "is a token that expired at 2030-03-17T17:46:40Z",
            ),
        ] {
            let line = Claims::read(&text, now()).unwrap_err().to_string();
            assert!(line.starts_with(expected) && !line.contains("secret"), "{line}");
        }
    }
}
