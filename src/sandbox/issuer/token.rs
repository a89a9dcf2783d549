//! Session tokens: issued by whichever way a service signs in, and judged where the OCI face meets one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rsa::RsaPublicKey;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::jwk::Jwk;
use super::jwt::{self, Claims, Unreadable};
use super::keys::IssuerKeys;
use crate::sandbox::Error;

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox) enum TokenRefusal {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error("names no session key")]
    NoKey,
    #[error("has no expiry")]
    NoExpiry,
    #[error("expired {seconds} seconds ago")]
    Expired { seconds: u64 },
    #[error("was revoked")]
    Revoked,
}

/// Issues session tokens and knows them again.
pub(in crate::sandbox) struct Mint {
    keys: IssuerKeys,
    /// The number of the next token, its `jti`.
    next: AtomicU64,
    /// Tokens of lower numbers are revoked.
    revoked_below: AtomicU64,
}

impl Mint {
    pub(super) fn new(keys: IssuerKeys) -> Arc<Mint> {
        Arc::new(Mint { keys, next: AtomicU64::new(0), revoked_below: AtomicU64::new(0) })
    }

    /// A token for the holder of `session`, with `claims` of its way beside those of every token.
    pub(super) fn issue(
        &self,
        claims: Map<String, Value>,
        session: &RsaPublicKey,
        now: SystemTime,
        life: Duration,
    ) -> Result<String, Error> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut all = claims;
        let common = [
            ("iss", json!("authService.oracle.com")),
            ("iat", json!(unix(now))),
            ("exp", json!(unix(now + life))),
            ("jti", json!(number.to_string())),
            // A string that holds JSON, as OCI has it (Java SDK, X509FederationClient).
            ("jwk", json!(jwk(session).to_string())),
        ];
        all.extend(common.map(|(name, value)| (name.to_owned(), value)));
        jwt::sign(self.keys.mint(), "asw_sandbox", &Value::Object(all))
    }

    /// From now on no token that was issued so far is taken.
    pub(super) fn revoke(&self) {
        self.revoked_below.store(self.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The session key of a token that is good now.
    pub(in crate::sandbox) fn key_of(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<RsaPublicKey, TokenRefusal> {
        let claims = jwt::open(token, self.keys.mint().public())?;
        let key = session_key(&claims).ok_or(TokenRefusal::NoKey)?;
        let expiry = claims.number("exp").ok_or(TokenRefusal::NoExpiry)?;
        if let Some(seconds) = unix(now).checked_sub(expiry) {
            return Err(TokenRefusal::Expired { seconds });
        }
        let number = claims.text("jti").and_then(|number| number.parse::<u64>().ok());
        match number {
            Some(number) if number >= self.revoked_below.load(Ordering::Relaxed) => Ok(key),
            _ => Err(TokenRefusal::Revoked),
        }
    }
}

pub(super) fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The key of a session, with all that OCI says of one.
#[derive(Serialize)]
struct SessionKey {
    #[serde(flatten)]
    key: Jwk,
    alg: &'static str,
    r#use: &'static str,
    kid: &'static str,
}

fn jwk(key: &RsaPublicKey) -> Value {
    json!(SessionKey { key: Jwk(key.clone()), alg: "RS256", r#use: "sig", kid: "session" })
}

fn session_key(claims: &Claims) -> Option<RsaPublicKey> {
    let Jwk(key) = serde_json::from_str(claims.text("jwk")?).ok()?;
    Some(key)
}
