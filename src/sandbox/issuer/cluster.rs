//! What a pod finds in an OKE cluster: the endpoint that exchanges its service account's token for a session
//! token. It is called with TLS, by the cluster's own authority.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Method, StatusCode};
use pkcs8::DecodePublicKey;
use rsa::RsaPublicKey;
use serde::Deserialize;
use serde_json::{Value, json};

use super::instance::broken;
use super::service_account::Account;
use super::state::{ClusterType, State, claims};
use crate::sandbox::answer::Answer;
use crate::sandbox::pipeline::{Face, Refused};
use crate::sandbox::problem::Problem;
use crate::sandbox::request::RawRequest;

const SESSION_TOKENS: &str = "/resourcePrincipalSessionTokens";

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "podKey")]
    pod_key: Option<String>,
}

pub(super) struct Cluster(pub(super) Arc<State>);

impl Face for Cluster {
    type Admitted = Account;
    type Prepared = (Account, RsaPublicKey);

    fn admit(&self, request: &RawRequest) -> Result<Account, Refused> {
        if request.path() != SESSION_TOKENS || request.method != Method::POST {
            let why = format!("there is only POST {SESSION_TOKENS} here");
            return Err(Refused { problem: Problem::no_such_operation(why.clone()), why });
        }
        let settings = self.0.settings();
        let account = settings.accounts.judge(request.text("authorization"), self.0.now());
        let account = account.map_err(Refused::unknown_caller)?;
        match settings.cluster {
            ClusterType::Enhanced => Ok(account),
            ClusterType::Basic => {
                let why = "the cluster is not Enhanced".to_owned();
                Err(Refused { problem: Problem::not_authorized(&why), why })
            }
        }
    }

    fn prepare(
        &self,
        account: Account,
        request: &RawRequest,
        _: u64,
    ) -> Result<(Account, RsaPublicKey), Problem> {
        let body: Body = serde_json::from_slice(&request.body)
            .map_err(|error| Problem::cannot_parse(error.to_string()))?;
        let key = body.pod_key.ok_or_else(|| Problem::missing_parameter("podKey is missing."))?;
        let key = pod_key(&key).ok_or_else(|| Problem::invalid_parameter("podKey is no RSA public key."))?;
        Ok((account, key))
    }

    fn carry_out(&self, (account, key): (Account, RsaPublicKey)) -> Answer {
        let subject = self.0.settings().instance.subject;
        let claims = claims([
            ("sub", &account.subject),
            ("ptype", "resource"),
            ("ttype", "res"),
            ("res_type", "workload"),
            ("res_tenant", &subject.tenancy),
            ("res_compartment", &subject.compartment),
        ]);
        match self.0.exchanged(claims, &key) {
            Ok(token) => {
                let inner = json!({"token": format!("ST${token}")}).to_string();
                Answer::json(StatusCode::OK, &Value::String(STANDARD.encode(inner)))
            }
            Err(error) => broken(&error),
        }
    }
}

/// Go sends the whole PEM text, Python and Java the base64 within.
fn pod_key(text: &str) -> Option<RsaPublicKey> {
    if text.starts_with("-----BEGIN") {
        return RsaPublicKey::from_public_key_pem(text).ok();
    }
    RsaPublicKey::from_public_key_der(&STANDARD.decode(text).ok()?).ok()
}
