//! What an instance finds: its metadata service (version 2), and the federation endpoint of the region.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::federation;
use super::state::{Instance as Certified, RegionForm, State};
use crate::sandbox::Error;
use crate::sandbox::answer::Answer;
use crate::sandbox::pipeline::{Face, Refused};
use crate::sandbox::problem::Problem;
use crate::sandbox::request::RawRequest;

const METADATA: &str = "/opc/v2/";
const FEDERATION: &str = "/v1/x509";

/// The metadata service and the federation endpoint: both plain HTTP here.
pub(super) struct Instance(pub(super) Arc<State>);

/// What is asked for, by one who may.
pub(super) enum Asked {
    Metadata,
    Token(federation::Exchange),
    Nothing(Problem),
}

impl Face for Instance {
    type Admitted = Asked;
    type Prepared = Answer;

    fn admit(&self, request: &RawRequest) -> Result<Asked, Refused> {
        match (&request.method, request.path()) {
            (&Method::POST, FEDERATION) => federation::judge(request, &self.0).map(Asked::Token),
            (_, FEDERATION) => Ok(Asked::Nothing(Problem::method_not_allowed("POST"))),
            // Whoever can be made to fetch a URL cannot be made to send this.
            (_, path) if path.starts_with(METADATA) => {
                match request.text("authorization") == Some("Bearer Oracle") {
                    true => Ok(Asked::Metadata),
                    false => Err(Refused::unknown_caller("Authorization is not Bearer Oracle")),
                }
            }
            (_, path) => Ok(Asked::Nothing(nothing_at(path))),
        }
    }

    fn prepare(&self, asked: Asked, request: &RawRequest, _: u64) -> Result<Answer, Problem> {
        match asked {
            Asked::Metadata => metadata(request, &self.0),
            Asked::Token(exchange) => exchange.carry_out(&self.0).or_else(|error| Ok(broken(&error))),
            Asked::Nothing(problem) => Err(problem),
        }
    }

    fn carry_out(&self, answer: Answer) -> Answer {
        answer
    }
}

/// OCI, Instance Metadata.
fn metadata(request: &RawRequest, state: &State) -> Result<Answer, Problem> {
    if request.method != Method::GET {
        return Err(Problem::method_not_allowed("GET"));
    }
    let settings = state.settings();
    let Certified { subject, key, certificate } = settings.instance;
    match request.path().strip_prefix(METADATA).unwrap_or_default() {
        "instance/region" => Ok(text(match settings.region {
            RegionForm::ShortCode => "iad",
            RegionForm::Name => "us-ashburn-1",
        })),
        "instance/regionInfo" => Ok(Answer::json(StatusCode::OK, &region_info())),
        "instance/id" => Ok(text(&subject.instance)),
        "identity/cert.pem" => Ok(text(&certificate_pem(&certificate))),
        "identity/intermediate.pem" => Ok(text(&certificate_pem(&state.authority.intermediate))),
        "identity/key.pem" => Ok(match key.private_pem() {
            Ok(pem) => text(&pem),
            Err(error) => broken(&error),
        }),
        _ => Err(nothing_at(request.path())),
    }
}

fn region_info() -> Value {
    json!({
        "realmKey": "oc1",
        "realmDomainComponent": "oraclecloud.com",
        "regionKey": "IAD",
        "regionIdentifier": "us-ashburn-1",
    })
}

fn text(text: &str) -> Answer {
    let mut answer = Answer::empty(StatusCode::OK).with(CONTENT_TYPE, "text/plain");
    answer.body = Bytes::copy_from_slice(text.as_bytes());
    answer
}

/// RFC 7468.
fn certificate_pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

fn nothing_at(path: &str) -> Problem {
    Problem::no_such_operation(format!("There is nothing at {path}."))
}

pub(super) fn broken(error: &Error) -> Answer {
    let message = json!({"code": "InternalServerError", "message": error.to_string()});
    Answer::json(StatusCode::INTERNAL_SERVER_ERROR, &message)
}
