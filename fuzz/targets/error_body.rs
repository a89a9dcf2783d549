//! Whatever OCI, or what stands in its place, answers instead of a success: a status within its size, and an outcome
//! that is no more certain than the answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::pb::backup_service_server::BackupService;
use oci_backup_gateway_fuzz::Answer;
use oci_backup_gateway_fuzz::VOLUME;
use oci_backup_gateway_fuzz::ask;
use oci_backup_gateway_fuzz::check;
use tonic::Request;

fuzz_target!(|bytes: &[u8]| {
    let answer = Answer::read(bytes);
    let status = answer.status;
    if status.is_success() {
        return;
    }
    let request = CreateVolumeBackupRequest { volume_id: VOLUME.to_owned(), ..Default::default() };
    let (told, asked) =
        ask(answer, async |gateway| gateway.create_volume_backup(Request::new(request)).await);
    assert!(!asked.is_empty());
    let nothing_made = status.is_redirection() || status.is_client_error() || status.as_u16() == 501;
    let outcome = check(&told.expect_err("no success"));
    assert_eq!(outcome, if nothing_made { "NOT_STARTED" } else { "UNKNOWN" }, "{status}");
});
