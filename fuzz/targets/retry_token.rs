//! A retry token that parsed is the text that was given, and a header takes it whole.

#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::oci::retry_token::RetryToken;

fuzz_target!(|text: &str| {
    let Ok(token) = RetryToken::parse(text) else { return };
    assert_eq!(token.as_str(), text);
    assert!((1..=64).contains(&text.len()) && text.trim() == text);
    assert_eq!(HeaderValue::from_str(text).unwrap().to_str().unwrap(), text);
});
