//! Tokens of Kubernetes service accounts, as the cluster projects them into a pod.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::jwt::{self, Unreadable};
use super::token::unix;
use crate::sandbox::Error;
use crate::sandbox::key::Key;

/// The audience of the tokens that the cluster takes: that of its own API server.
pub(in crate::sandbox) const AUDIENCE: &str = "https://kubernetes.default.svc";

const NAMESPACE: &str = "default";
const NAME: &str = "gateway";

/// Why a service account's token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AccountRefusal {
    #[error("there is no Authorization: Bearer header")]
    NoBearer,
    #[error("the service account token {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the service account token expired {seconds} seconds ago")]
    Expired { seconds: u64 },
    #[error("the service account token has no expiry")]
    NoExpiry,
    #[error("the service account token is not for {AUDIENCE}")]
    Audience,
    #[error("the token is not of a service account")]
    NoAccount,
}

/// A service account that asked.
#[derive(Debug)]
pub(super) struct Account {
    /// `system:serviceaccount:<namespace>:<name>`
    pub(super) subject: String,
}

/// As Kubernetes writes them (KEP-1205, bound service account tokens).
pub(super) fn issue(key: &Key, audience: &str, now: SystemTime, life: Duration) -> Result<String, Error> {
    let issued = unix(now);
    let claims = json!({
        "aud": [audience],
        "exp": issued + life.as_secs(),
        "iat": issued,
        "nbf": issued,
        "iss": AUDIENCE,
        "sub": format!("system:serviceaccount:{NAMESPACE}:{NAME}"),
        "kubernetes.io": {
            "namespace": NAMESPACE,
            "pod": {"name": "gateway-0", "uid": "00000000-0000-4000-8000-000000000001"},
            "serviceaccount": {"name": NAME, "uid": "00000000-0000-4000-8000-000000000002"},
        },
    });
    jwt::sign(key, "sandbox-cluster", &claims)
}

/// Whose token a header `Authorization` brings.
pub(super) fn judge(header: Option<&str>, key: &Key, now: SystemTime) -> Result<Account, AccountRefusal> {
    let token = header.and_then(|header| header.strip_prefix("Bearer ")).ok_or(AccountRefusal::NoBearer)?;
    let claims = jwt::open(token, key.public())?;
    let expiry = claims.number("exp").ok_or(AccountRefusal::NoExpiry)?;
    if let Some(seconds) = unix(now).checked_sub(expiry) {
        return Err(AccountRefusal::Expired { seconds });
    }
    if !claims.list("aud").contains(&Value::from(AUDIENCE)) {
        return Err(AccountRefusal::Audience);
    }
    let subject = claims.text("sub").filter(|subject| subject.starts_with("system:serviceaccount:"));
    Ok(Account { subject: subject.ok_or(AccountRefusal::NoAccount)?.to_owned() })
}
