//! The control listener: faults in, the ledger out. Unsigned, for tests in any language.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::fault::FaultRule;
use super::pipeline::Oci;

/// Rules carry whole bodies at times.
const RULES_LIMIT: usize = 16 << 20;

pub(super) async fn answer(
    request: Request<Incoming>,
    oci: &Oci,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answer = match (parts.method, parts.uri.path()) {
        (Method::POST, "/sandbox/faults") => add_faults(body, oci).await,
        (Method::DELETE, "/sandbox/faults") => {
            oci.rules.clear();
            Answer::empty(StatusCode::NO_CONTENT)
        }
        (Method::GET, "/sandbox/ledger") => ledger(oci),
        (_, "/sandbox/faults" | "/sandbox/ledger") => {
            refuse(StatusCode::METHOD_NOT_ALLOWED, "no such method here")
        }
        _ => refuse(StatusCode::NOT_FOUND, "there are /sandbox/faults and /sandbox/ledger"),
    };
    Ok(answer.into_response())
}

async fn add_faults(body: Incoming, oci: &Oci) -> Answer {
    let Ok(body) = Limited::new(body, RULES_LIMIT).collect().await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the rules cannot be read or are too large");
    };
    let rules = match read_rules(&body.to_bytes()) {
        Ok(rules) => rules,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    match oci.rules.add(rules) {
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

fn ledger(oci: &Oci) -> Answer {
    match serde_json::to_vec(&oci.ledger.read()) {
        Ok(ledger) => Answer::json_bytes(StatusCode::OK, Bytes::from(ledger)),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

fn refuse(status: StatusCode, why: &str) -> Answer {
    Answer::json(status, &json!({"message": why}))
}
