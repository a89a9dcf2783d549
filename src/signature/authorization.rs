//! The `Authorization` header.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// The header's text, its attributes in the Go SDK's order (`common/http_signer.go:264`); OCI reads any.
pub fn authorization(key_id: &str, signed_headers: &str, signature: &[u8]) -> String {
    const FRAME: &str = r#"Signature version="1",headers="",keyId="",algorithm="rsa-sha256",signature="""#;
    let lengths =
        [FRAME.len(), key_id.len(), signed_headers.len(), signature.len().div_ceil(3).saturating_mul(4)];
    let mut text = String::with_capacity(lengths.iter().sum());
    text.push_str(r#"Signature version="1",headers=""#);
    text.push_str(signed_headers);
    text.push_str(r#"",keyId=""#);
    text.push_str(key_id);
    text.push_str(r#"",algorithm="rsa-sha256",signature=""#);
    BASE64_STANDARD.encode_string(signature, &mut text);
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_allocated_once_and_filled_to_the_end() {
        for length in [0, 255, 256, 257] {
            let text = authorization("t/u/f", "date", &vec![7; length]);
            assert_eq!(text.capacity(), text.len());
        }
    }
}
