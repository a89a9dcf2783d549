//! Tokens of Kubernetes service accounts, as the cluster projects them into a pod.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::jwk::Jwk;
use super::jwt::{self, Unreadable};
use super::token::unix;
use crate::sandbox::Error;
use crate::sandbox::key::Key;

/// The audience of the tokens that the sandbox's own cluster takes, and their issuer: its API server.
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
    #[error("the service account token was not issued by {issuer}")]
    Issuer { issuer: String },
    #[error("the service account token is not for {audience}")]
    Audience { audience: String },
    #[error("the token is not of a service account")]
    NoAccount,
}

/// A cluster, by the tokens of its service accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAccounts {
    /// Who issues them: `issuer` of the cluster's `/.well-known/openid-configuration`.
    pub issuer: String,
    /// Whom they have to be for.
    pub audience: String,
    /// What they are signed with: `keys` of the cluster's `/openid/v1/jwks`.
    pub keys: Vec<Jwk>,
}

impl ServiceAccounts {
    /// Those of the sandbox's own cluster.
    pub(super) fn own(key: &Key) -> ServiceAccounts {
        let name = || AUDIENCE.to_owned();
        ServiceAccounts { issuer: name(), audience: name(), keys: vec![Jwk(key.public().clone())] }
    }

    /// Whose token a header `Authorization` brings.
    pub(super) fn judge(&self, header: Option<&str>, now: SystemTime) -> Result<Account, AccountRefusal> {
        let token =
            header.and_then(|header| header.strip_prefix("Bearer ")).ok_or(AccountRefusal::NoBearer)?;
        let opened = self.keys.iter().map(|Jwk(key)| jwt::open(token, key));
        let claims = opened.reduce(Result::or).unwrap_or(Err(Unreadable::Signature))?;
        let expiry = claims.number("exp").ok_or(AccountRefusal::NoExpiry)?;
        if let Some(seconds) = unix(now).checked_sub(expiry) {
            return Err(AccountRefusal::Expired { seconds });
        }
        if claims.text("iss") != Some(&self.issuer) {
            return Err(AccountRefusal::Issuer { issuer: self.issuer.clone() });
        }
        if !claims.list("aud").contains(&Value::from(self.audience.as_str())) {
            return Err(AccountRefusal::Audience { audience: self.audience.clone() });
        }
        let subject = claims.text("sub").filter(|subject| subject.starts_with("system:serviceaccount:"));
        Ok(Account { subject: subject.ok_or(AccountRefusal::NoAccount)?.to_owned() })
    }
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
