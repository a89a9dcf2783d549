//! A request id that parsed is the text that was given: short, and safe in a header and a log.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::oci::request_id::RequestId;

fuzz_target!(|text: &str| {
    let Some(id) = RequestId::parse(text) else { return };
    assert_eq!(id.as_str(), text);
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_');
    assert!((1..=98).contains(&text.len()) && text.bytes().all(safe));
});
