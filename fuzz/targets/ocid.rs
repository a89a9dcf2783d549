//! An OCID that parsed is the text that was given, and cannot change a URL.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::ocid::Ocid;

fuzz_target!(|text: &str| {
    let Ok(id) = Ocid::parse(text) else { return };
    assert_eq!(id.as_str(), text);
    assert!(text.len() <= 255 && !id.resource_type().is_empty() && !id.realm().is_empty());
    let uri: http::Uri = format!("https://host/volumes/{id}").parse().unwrap();
    assert_eq!((uri.path().split('/').nth(2), uri.query()), (Some(text), None));
});
