//! A signer for tests, from the specification and the `rsa` crate: it shares nothing with the verifier.

use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::DecodePrivateKey;
use rsa::RsaPrivateKey;
use rsa::pkcs1v15::SigningKey;
use rsa::signature::{SignatureEncoding, Signer};
use sha2::{Digest, Sha256};

use super::client::identity;

/// A request as header lines, to be spoilt in any way before it is sent.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

pub(super) const BODY_HEADERS: [&str; 3] = ["content-length", "content-type", "x-content-sha256"];

pub(super) fn sign(method: &str, target: &str, host: &str, body: &str, now: SystemTime) -> Signed {
    let mut request = unsigned(method, target, host, body, now);
    let mut names = vec!["date", "(request-target)", "host"];
    if matches!(method, "POST" | "PUT") {
        names.extend(BODY_HEADERS);
    }
    request.authorize(&names);
    request
}

pub(super) fn unsigned(method: &str, target: &str, host: &str, body: &str, now: SystemTime) -> Signed {
    let mut headers = vec![("date", httpdate::fmt_http_date(now)), ("host", host.to_owned())];
    if matches!(method, "POST" | "PUT") {
        headers.push(("content-length", body.len().to_string()));
        headers.push(("content-type", "application/json".to_owned()));
        headers.push(("x-content-sha256", STANDARD.encode(Sha256::digest(body))));
    }
    Signed {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        body: body.as_bytes().to_vec(),
    }
}

impl Signed {
    pub(super) fn key_id() -> String {
        let who = identity();
        format!("{}/{}/{}", who.tenancy(), who.user(), who.fingerprint())
    }

    /// Signs these headers as they are now.
    pub(super) fn authorize(&mut self, names: &[&str]) {
        self.authorize_as(names, &Signed::key_id(), identity().private_key_pem());
    }

    /// The same by another key, under another name.
    pub(super) fn authorize_as(&mut self, names: &[&str], key_id: &str, private_key_pem: &str) {
        let signature = self.signature_by(names, private_key_pem);
        let names = names.join(" ");
        let value = format!(
            r#"Signature version="1",headers="{names}",keyId="{key_id}",algorithm="rsa-sha256",signature="{signature}""#,
        );
        self.headers.push(("authorization".to_owned(), value));
    }

    pub(super) fn signature(&self, names: &[&str]) -> String {
        self.signature_by(names, identity().private_key_pem())
    }

    fn signature_by(&self, names: &[&str], private_key_pem: &str) -> String {
        let line = |name: &&str| match *name {
            "(request-target)" => format!("(request-target): {} {}", self.method.to_lowercase(), self.target),
            name => format!("{}: {}", name.to_lowercase(), self.value(name)),
        };
        let text: Vec<String> = names.iter().map(line).collect();
        let key = RsaPrivateKey::from_pkcs8_pem(private_key_pem).unwrap();
        STANDARD.encode(SigningKey::<Sha256>::new(key).sign(text.join("\n").as_bytes()).to_bytes())
    }

    pub(super) fn value(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Signed {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes a header after it was signed.
    pub(super) fn alter(mut self, name: &str, change: impl FnOnce(&str) -> String) -> Signed {
        let (_, value) = self.headers.iter_mut().find(|(known, _)| known == name).unwrap();
        *value = change(value);
        self
    }

    pub(super) fn without(mut self, name: &str) -> Signed {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let lines: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut bytes = format!("{} {} HTTP/1.1\r\n{lines}\r\n", self.method, self.target).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
