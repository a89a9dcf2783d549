//! What `Retry-After` asks for, with `Date` beside it, is something and at most a day.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::transport::backoff::retry_after;
use oci_backup_gateway_fuzz::headers;
use std::time::Duration;

fuzz_target!(|lines: &[u8]| {
    let Some(wait) = retry_after(&headers(lines)) else { return };
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(86_400), "{wait:?}");
});
