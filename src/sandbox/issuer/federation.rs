//! `POST /v1/x509`: an instance's certificate for a session token.

use aws_lc_rs::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use pkcs8::DecodePublicKey;
use rsa::RsaPublicKey;
use rsa::pkcs1v15::VerifyingKey;
use rsa::traits::PublicKeyParts;
use serde::Deserialize;
use serde_json::json;

use super::certificate::{Leaf, Subject};
use super::state::{State, claims};
use crate::sandbox::Error;
use crate::sandbox::answer::Answer;
use crate::sandbox::pipeline::Refused;
use crate::sandbox::problem::Problem;
use crate::sandbox::request::RawRequest;
use crate::sandbox::verify::{self, Coverage, Refusal};

/// As the SDKs send it; Java adds a `purpose`, which changes nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    certificate: String,
    public_key: String,
    #[serde(default)]
    intermediate_certificates: Vec<String>,
    /// Go and Java say `SHA256`; Python and TypeScript nothing.
    fingerprint_algorithm: Option<String>,
}

/// An exchange that was judged good.
pub(super) struct Exchange {
    subject: Subject,
    session: RsaPublicKey,
}

/// The body first: it brings the certificate that the signature is verified by.
pub(super) fn judge(request: &RawRequest, state: &State) -> Result<Exchange, Refused> {
    let body: Body = serde_json::from_slice(&request.body).map_err(|error| invalid(error.to_string()))?;
    let certificate = decoded("certificate", &body.certificate)?;
    let intermediates = body
        .intermediate_certificates
        .iter()
        .map(|certificate| decoded("intermediateCertificates", certificate))
        .collect::<Result<Vec<_>, _>>()?;
    let session = session_key(&decoded("publicKey", &body.public_key)?)?;
    if let Some(other) = body.fingerprint_algorithm.filter(|algorithm| algorithm != "SHA256") {
        return Err(invalid(format!("fingerprintAlgorithm {other:?} is not SHA256")));
    }
    let now = state.now();
    let mut subject = None;
    verify::verify(request, Coverage::HostOptional, now, |key_id| {
        let leaf = state.authority.judge(&certificate, &intermediates, now)?;
        check_key_id(key_id, &certificate, &leaf)?;
        subject = Some(leaf.subject);
        Ok(VerifyingKey::new(leaf.key))
    })
    .map_err(Refused::unknown_caller)?;
    let subject = subject.ok_or_else(|| Refused::unknown_caller("nobody"))?;
    Ok(Exchange { subject, session })
}

impl Exchange {
    pub(super) fn carry_out(self, state: &State) -> Result<Answer, Error> {
        let Subject { tenancy, compartment, instance } = &self.subject;
        let claims = claims([
            ("sub", instance),
            ("ptype", "instance"),
            ("ttype", "x509"),
            ("opc-instance", instance),
            ("opc-compartment", compartment),
            ("opc-tenant", tenancy),
            ("tenant", tenancy),
        ]);
        let token = state.exchanged(claims, &self.session)?;
        Ok(Answer::json(StatusCode::OK, &json!({"token": token})))
    }
}

/// `{tenancy}/fed-x509-sha256/{fingerprint}` (Go in lower case, Java in upper) or `{tenancy}/fed-x509/{fingerprint}`
/// of SHA-1 (Python, TypeScript).
fn check_key_id(key_id: &str, certificate: &[u8], leaf: &Leaf) -> Result<(), Refusal> {
    let unknown = || Refusal::KeyId(key_id.to_owned());
    let mut parts = key_id.split('/');
    let (Some(tenancy), Some(kind), Some(fingerprint), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unknown());
    };
    let actual = match kind {
        "fed-x509-sha256" => hex(&SHA256, certificate),
        "fed-x509" => hex(&SHA1_FOR_LEGACY_USE_ONLY, certificate),
        _ => return Err(unknown()),
    };
    if fingerprint != actual && fingerprint != actual.to_ascii_uppercase() {
        return Err(mismatch("fingerprint", fingerprint, &actual));
    }
    if tenancy != leaf.subject.tenancy {
        return Err(mismatch("tenancy", tenancy, &leaf.subject.tenancy));
    }
    Ok(())
}

fn mismatch(part: &'static str, said: &str, actual: &str) -> Refusal {
    Refusal::Mismatch { part, said: said.to_owned(), actual: actual.to_owned() }
}

fn hex(algorithm: &'static Algorithm, bytes: &[u8]) -> String {
    let pairs: Vec<String> =
        digest(algorithm, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

fn decoded(field: &str, value: &str) -> Result<Vec<u8>, Refused> {
    STANDARD.decode(value).map_err(|_| invalid(format!("{field} is not base64 of DER")))
}

fn session_key(der: &[u8]) -> Result<RsaPublicKey, Refused> {
    let key = RsaPublicKey::from_public_key_der(der).map_err(|_| invalid("publicKey is no RSA key"))?;
    if key.n().bits() < 2048 {
        return Err(invalid("publicKey has less than 2048 bits"));
    }
    Ok(key)
}

fn invalid(why: impl Into<String>) -> Refused {
    let why = why.into();
    Refused { problem: Problem::invalid_parameter(format!("{why}.")), why }
}
