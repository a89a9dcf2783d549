//! Calls that a gRPC library repeats by itself, and says so (gRFC A6): the earlier tries may have got further.

use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::hasty;
use oci_backup_gateway::pb::CreateVolumeBackupRequest;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::retry;
use std::time::Duration;
use tonic::Code;
use tonic::Request;
use tonic::Status;
use tonic_types::StatusExt;

/// The second try of a library.
fn again(message: CreateVolumeBackupRequest) -> Request<CreateVolumeBackupRequest> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("grpc-previous-rpc-attempts", "1".parse().unwrap());
    request
}

fn outcome(status: &Status) -> String {
    status.get_error_details().error_info().unwrap().metadata["outcome"].clone()
}

#[tokio::test]
async fn a_failure_is_told_for_all_the_tries_of_a_call() {
    let rig = Rig::with(Setup::default()).await;
    let refused = Fault::status(401, "NotAuthenticated", "who are you?");
    let wrong = CreateVolumeBackupRequest { volume_id: "that".to_owned(), ..create() };
    for (message, code) in [(create(), Code::Unauthenticated), (wrong, Code::InvalidArgument)] {
        for (request, told) in
            [(Request::new(message.clone()), "NOT_STARTED"), (again(message.clone()), "UNKNOWN")]
        {
            rig.break_next(refused.clone());
            let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
            assert_eq!((status.code(), outcome(&status).as_str()), (code, told), "{status:?}");
            let details = status.get_error_details();
            assert_eq!(details.bad_request().is_some(), code == Code::InvalidArgument);
            assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
            assert_eq!(status.metadata().get_all("grpc-status-details-bin").iter().count(), 0);
        }
    }
}

/// The gateway made a token for each try and told none of them: another would be another backup.
#[tokio::test]
async fn without_a_token_of_the_callers_a_repeated_create_is_refused_and_nothing_is_sent() {
    let rig = Rig::with(Setup::default()).await;
    let unguarded = CreateVolumeBackupRequest { retry_token: None, ..create() };
    let status = rig.caller.clone().create_volume_backup(again(unguarded.clone())).await.unwrap_err();
    assert_eq!((status.code(), outcome(&status).as_str()), (Code::InvalidArgument, "UNKNOWN"), "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "retry_token");
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    assert!(rig.creates().is_empty());
    // With one, in metadata too, it is served as ever.
    let mut guarded = again(unguarded);
    guarded.metadata_mut().insert("opc-retry-token", "mine".parse().unwrap());
    rig.caller.clone().create_volume_backup(guarded).await.unwrap();
    assert_eq!(rig.creates().len(), 1);
}

/// A library would wait for the pushback, and its caller would hear of its deadline and not of what happened.
#[tokio::test]
async fn a_library_is_to_repeat_only_what_its_callers_deadline_leaves_time_for() {
    let breaker = breaker::Config { attempts: 1, ..breaker::Config::default() };
    let rig = Rig::with(Setup { retry: retry::Config { breaker, ..hasty(1) }, ..Setup::default() }).await;
    rig.break_next(Fault::status(503, "ServiceUnavailable", "down"));
    rig.caller.clone().create_volume_backup(create()).await.unwrap_err();
    for (timeout, may) in [(Some(5), false), (None, true), (Some(55), true)] {
        let mut request = Request::new(create());
        timeout.into_iter().for_each(|seconds| request.set_timeout(Duration::from_secs(seconds)));
        let status = rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        let details = status.get_error_details();
        assert_eq!(details.error_info().unwrap().reason, "BREAKER_OPEN");
        assert!(details.retry_info().unwrap().retry_delay > Some(Duration::from_secs(10)), "{details:?}");
        let pushback: i64 =
            status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(pushback > 0, may, "{timeout:?}: {pushback}");
    }
}
