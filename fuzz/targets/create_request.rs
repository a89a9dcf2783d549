//! Whatever message a caller sends: it is refused with all that is wrong with it, or becomes the one request that OCI
//! is to get.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::pb::backup_service_server::BackupService;
use oci_backup_gateway_fuzz::Answer;
use oci_backup_gateway_fuzz::ENDPOINT;
use oci_backup_gateway_fuzz::ask;
use oci_backup_gateway_fuzz::check;
use prost::Message;
use serde_json::Value;
use tonic::Code;
use tonic::Request;

fuzz_target!(|bytes: &[u8]| {
    let Ok(message) = CreateVolumeBackupRequest::decode(bytes) else { return };
    let request = message.clone();
    let answer = Answer::of(br#"{"id":"made"}"#);
    let (told, asked) =
        ask(answer, async |gateway| gateway.create_volume_backup(Request::new(request)).await);
    let [asked] = asked.as_slice() else {
        assert!(asked.is_empty());
        let status = told.expect_err("nothing was asked");
        assert_eq!((status.code(), check(&status).as_str()), (Code::InvalidArgument, "NOT_STARTED"));
        return;
    };
    told.expect("what was accepted and answered is a success");
    assert_eq!(asked.method(), http::Method::POST);
    assert_eq!(asked.uri().to_string(), format!("{ENDPOINT}/20160918/volumeBackups"));
    for (name, value) in asked.headers() {
        assert!(value.to_str().is_ok(), "{name}");
    }
    let token = asked.headers()["opc-retry-token"].to_str().unwrap();
    assert!(message.retry_token.as_ref().is_none_or(|told| told == token));
    let body: Value = serde_json::from_slice(asked.body()).expect("JSON");
    assert_eq!(body["volumeId"], message.volume_id);
});
