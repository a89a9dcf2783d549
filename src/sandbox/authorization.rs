//! The `Authorization` header of draft-cavage-http-signatures-08, as OCI restricts it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::verify::Refusal;

/// Its attributes, in whatever order they were written.
#[derive(Debug)]
pub(super) struct Authorization {
    pub(super) algorithm: String,
    pub(super) key_id: String,
    /// The names in `headers=`, in lower case: some SDKs capitalize them, but the signing string never does.
    pub(super) headers: Vec<String>,
    pub(super) signature: Vec<u8>,
}

impl Authorization {
    pub(super) fn parse(value: &str) -> Result<Authorization, Refusal> {
        let (scheme, attributes) =
            value.split_once(' ').ok_or(Refusal::Unreadable("it has no attributes"))?;
        if !scheme.eq_ignore_ascii_case("signature") {
            return Err(Refusal::Unreadable("its scheme is not Signature"));
        }
        let attributes = split_attributes(attributes)?;
        let find = |name: &'static str| {
            let mut found = attributes.iter().filter(|(key, _)| *key == name).map(|(_, value)| *value);
            match (found.next(), found.next()) {
                (Some(value), None) => Ok(value),
                (None, _) => Err(Refusal::AttributeMissing(name)),
                (Some(_), Some(_)) => Err(Refusal::AttributeRepeated(name)),
            }
        };
        // OCI, Signing Requests: "Signature Version 1".
        if find("version")? != "1" {
            return Err(Refusal::Version(find("version")?.to_owned()));
        }
        let signature = STANDARD.decode(find("signature")?).map_err(|_| Refusal::SignatureNotBase64)?;
        Ok(Authorization {
            algorithm: find("algorithm")?.to_owned(),
            key_id: find("keyId")?.to_owned(),
            headers: find("headers")?.split(' ').map(str::to_ascii_lowercase).collect(),
            signature,
        })
    }
}

/// `name="value"` pairs between commas. Values hold no quotes, so there is no escaping to undo.
fn split_attributes(mut rest: &str) -> Result<Vec<(&str, &str)>, Refusal> {
    let mut attributes = Vec::new();
    loop {
        let (name, after) =
            rest.split_once("=\"").ok_or(Refusal::Unreadable("an attribute has no quoted value"))?;
        let (value, after) = after.split_once('"').ok_or(Refusal::Unreadable("a quote is not closed"))?;
        attributes.push((name.trim(), value));
        let after = after.trim_start();
        if after.is_empty() {
            return Ok(attributes);
        }
        rest =
            after.strip_prefix(',').ok_or(Refusal::Unreadable("attributes are not separated by commas"))?;
    }
}
