//! The control listener: faults and changes in, the ledger out. Unsigned, for tests in any language.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::answer::Answer;
use super::fault::FaultRule;
use super::issuer::{AUDIENCE, IssuerChange, SessionKind, Steering};
use super::ledger::Book;
use super::oci::Oci;
use super::pipeline::Pipeline;
use super::rules::Rules;
use super::{Error, Identity};

/// Rules carry whole bodies at times.
const RULES_LIMIT: usize = 16 << 20;

/// What is steered from here.
pub(super) struct Control {
    pub(super) oci: Arc<Pipeline<Oci>>,
    pub(super) identity: Identity,
    pub(super) issuers: Option<Arc<Steering>>,
}

impl Control {
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        let answer = match (&self.issuers, path.strip_prefix("/sandbox/issuers")) {
            (Some(issuers), Some(path)) => of_issuers(&parts.method, path, body, issuers).await,
            (None, Some(_)) => refuse(StatusCode::NOT_FOUND, "this sandbox has no issuers"),
            (_, None) if path.starts_with("/sandbox/api-keys") => self.api_keys(&parts.method, path).await,
            (_, None) => {
                let (rules, ledger) = (&self.oci.rules, &self.oci.ledger);
                let path = path.strip_prefix("/sandbox").unwrap_or_default();
                of_face(&parts.method, path, body, rules, ledger).await
            }
        };
        Ok(answer.into_response())
    }

    /// As a user's keys are rotated at OCI: another beside those that are there, and one taken away.
    async fn api_keys(&self, method: &Method, path: &str) -> Answer {
        let fingerprint = path.trim_start_matches("/sandbox/api-keys").strip_prefix('/');
        let verifier = &self.oci.face.verifier;
        match (method, fingerprint) {
            (&Method::POST, None) => {
                let user = self.identity.clone();
                let made = tokio::task::spawn_blocking(move || user.rotated()).await;
                let Ok(Ok(key)) = made else {
                    return refuse(StatusCode::INTERNAL_SERVER_ERROR, "no key was made");
                };
                verifier.accept(&key);
                let told =
                    json!({"fingerprint": key.fingerprint(), "private_key_pem": key.private_key_pem()});
                Answer::json(StatusCode::OK, &told)
            }
            (&Method::DELETE, Some(fingerprint)) => {
                if verifier.refuse(&self.identity.key_id_with(fingerprint)) {
                    Answer::empty(StatusCode::NO_CONTENT)
                } else {
                    refuse(StatusCode::NOT_FOUND, "no key has that fingerprint")
                }
            }
            _ => refuse(StatusCode::METHOD_NOT_ALLOWED, "no such method here"),
        }
    }
}

/// What every face has: rules and a ledger.
async fn of_face(method: &Method, path: &str, body: Incoming, rules: &Rules, ledger: &Book) -> Answer {
    match (method, path) {
        (&Method::POST, "/faults") => add_faults(body, rules).await,
        (&Method::DELETE, "/faults") => {
            rules.clear();
            Answer::empty(StatusCode::NO_CONTENT)
        }
        (&Method::GET, "/ledger") => read_ledger(ledger),
        (_, "/faults" | "/ledger") => refuse(StatusCode::METHOD_NOT_ALLOWED, "no such method here"),
        _ => refuse(
            StatusCode::NOT_FOUND,
            "there are /sandbox/faults and /sandbox/ledger, and the same below /sandbox/issuers",
        ),
    }
}

/// And what the issuers have besides. Keys are made here, away from the threads that serve.
async fn of_issuers(method: &Method, path: &str, body: Incoming, issuers: &Arc<Steering>) -> Answer {
    match (method, path) {
        (&Method::POST, "") => {
            told(body, issuers, |issuers, change: IssuerChange| {
                issuers.change(change).map(|()| Answer::empty(StatusCode::NO_CONTENT))
            })
            .await
        }
        (&Method::POST, "/sessions") => told(body, issuers, session).await,
        (&Method::POST, "/service-account-tokens") => told(body, issuers, service_account_token).await,
        (_, "" | "/sessions" | "/service-account-tokens") => {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        }
        _ => of_face(method, path, body, &issuers.rules, &issuers.ledger).await,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSession {
    kind: SessionKind,
    life_seconds: u64,
    passphrase: Option<String>,
}

fn session(issuers: &Steering, new: NewSession) -> Result<Answer, Error> {
    let session = issuers.state.session(new.kind, Duration::from_secs(new.life_seconds))?;
    let key = match new.passphrase {
        Some(passphrase) => session.encrypted_private_key_pem(&passphrase),
        None => session.private_key_pem(),
    }?;
    let made = json!({"token": session.token(), "private_key_pem": key.as_str()});
    Ok(Answer::json(StatusCode::OK, &made))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewServiceAccountToken {
    life_seconds: u64,
    #[serde(default = "right_audience")]
    audience: String,
}

fn right_audience() -> String {
    AUDIENCE.to_owned()
}

fn service_account_token(issuers: &Steering, new: NewServiceAccountToken) -> Result<Answer, Error> {
    let life = Duration::from_secs(new.life_seconds);
    let token = issuers.state.service_account_token(&new.audience, life)?;
    Ok(Answer::json(StatusCode::OK, &json!({"token": token})))
}

/// Reads what is told and does it.
async fn told<T: DeserializeOwned + Send + 'static>(
    body: Incoming,
    issuers: &Arc<Steering>,
    act: impl FnOnce(&Steering, T) -> Result<Answer, Error> + Send + 'static,
) -> Answer {
    let Ok(body) = Limited::new(body, RULES_LIMIT).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body cannot be read or is too large");
    };
    let told: T = match serde_json::from_slice(&body.to_bytes()) {
        Ok(told) => told,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let issuers = Arc::clone(issuers);
    match tokio::task::spawn_blocking(move || act(&issuers, told)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox is stopping"),
    }
}

async fn add_faults(body: Incoming, to: &Rules) -> Answer {
    let Ok(body) = Limited::new(body, RULES_LIMIT).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the rules cannot be read or are too large");
    };
    let rules = match read_rules(&body.to_bytes()) {
        Ok(rules) => rules,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match to.add(rules) {
        Ok(()) => Answer::empty(StatusCode::NO_CONTENT),
        Err(invalid) => refuse(StatusCode::BAD_REQUEST, &invalid.to_string()),
    }
}

/// One rule or an array of them. Decided by hand: an untagged enum would not say which field is wrong.
fn read_rules(body: &[u8]) -> Result<Vec<FaultRule>, serde_json::Error> {
    match serde_json::from_slice(body)? {
        Value::Array(rules) => rules.into_iter().map(FaultRule::deserialize).collect(),
        rule => Ok(vec![FaultRule::deserialize(rule)?]),
    }
}

fn read_ledger(ledger: &Book) -> Answer {
    match serde_json::to_vec(&ledger.read()) {
        Ok(ledger) => Answer::json_bytes(StatusCode::OK, Bytes::from(ledger)),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    Answer::json(status, &json!({"message": why}))
}
