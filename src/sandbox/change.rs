//! A fault's change of an answer.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::fault::{AnswerChange, HeaderChange};

impl AnswerChange {
    /// Status, then body, then headers: the later may override what the earlier brought.
    pub(super) fn apply(&self, mut answer: Answer) -> Answer {
        if let Some(status) = self.status.and_then(|status| StatusCode::from_u16(status).ok()) {
            answer.status = status;
            if status == StatusCode::NO_CONTENT || status.as_u16() >= 300 {
                answer.body = Bytes::new();
                answer.headers.remove(CONTENT_TYPE);
            }
        }
        if let Some(body) = self.new_body(&answer) {
            answer.body = body;
            let content_type = self.content_type.as_deref().unwrap_or("application/json");
            answer = answer.with(CONTENT_TYPE, content_type);
        } else if let Some(content_type) = &self.content_type {
            answer = answer.with(CONTENT_TYPE, content_type);
        }
        for (name, change) in &self.headers {
            change.apply(name, &mut answer.headers);
        }
        answer
    }

    fn new_body(&self, answer: &Answer) -> Option<Bytes> {
        if let Some(body) = &self.body {
            return Some(Bytes::copy_from_slice(body.as_bytes()));
        }
        if let Some(body) = &self.body_base64 {
            return STANDARD.decode(body).ok().map(Bytes::from);
        }
        if self.patch.is_some() || !self.remove.is_empty() {
            let mut value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
            if let Some(patch) = &self.patch {
                merge(&mut value, patch);
            }
            if let Value::Object(fields) = &mut value {
                fields.retain(|name, _| !self.remove.contains(name));
            }
            return Some(Bytes::from(value.to_string()));
        }
        let is_error = answer.status.as_u16() >= 400;
        (is_error || self.code.is_some() || self.message.is_some()).then(|| self.error_body(answer.status))
    }

    fn error_body(&self, status: StatusCode) -> Bytes {
        // OCI's codes are mostly the reason phrases without their spaces.
        let named = || status.canonical_reason().unwrap_or("Unknown").replace([' ', '-'], "");
        let code = self.code.clone().unwrap_or_else(named);
        let message = self.message.as_deref().unwrap_or("A fault of the sandbox.");
        Bytes::from(json!({"code": code, "message": message}).to_string())
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(fields) = target {
        for (name, value) in patch {
            merge(fields.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

impl HeaderChange {
    fn apply(&self, name: &str, headers: &mut HeaderMap) {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { return };
        headers.remove(&name);
        let values = match self {
            HeaderChange::Set(value) => std::slice::from_ref(value),
            HeaderChange::SetAll(values) => values.as_slice(),
            HeaderChange::Remove(()) => &[],
        };
        for value in values.iter().filter_map(|value| HeaderValue::from_str(value).ok()) {
            headers.append(name.clone(), value);
        }
    }
}
