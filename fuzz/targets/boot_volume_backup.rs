//! Whatever body comes with a 200: a backup with an id and of the boot volume that was asked for, or an error that does not
//! say that nothing was made.

#![no_main]

use libfuzzer_sys::fuzz_target;
use oci_backup_gateway::pb::CreateBootVolumeBackupRequest;
use oci_backup_gateway::pb::backup_service_server::BackupService;
use oci_backup_gateway_fuzz::Answer;
use oci_backup_gateway_fuzz::BOOT_VOLUME;
use oci_backup_gateway_fuzz::ask;
use oci_backup_gateway_fuzz::check;
use prost::Message;
use tonic::Request;

fuzz_target!(|body: &[u8]| {
    let request =
        CreateBootVolumeBackupRequest { boot_volume_id: BOOT_VOLUME.to_owned(), ..Default::default() };
    let (told, _asked) =
        ask(Answer::of(body), async |gateway| gateway.create_boot_volume_backup(Request::new(request)).await);
    match told {
        Ok(told) => {
            let told = told.into_inner();
            let made = told.boot_volume_backup.as_ref().expect("a backup");
            assert!(!made.id.is_empty());
            assert!(
                made.boot_volume_id.as_ref().is_none_or(|volume| volume.eq_ignore_ascii_case(BOOT_VOLUME))
            );
            let sent = told.encode_to_vec();
            assert_eq!(Message::decode(sent.as_slice()), Ok(told), "callers can read it");
        }
        Err(status) => assert_ne!(check(&status), "NOT_STARTED", "{status:?}"),
    }
});
