//! A panic ends one call, with an answer, and nothing else.

use crate::rig;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use oci_backup_gateway::oci;
use oci_backup_gateway::telemetry;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::Error;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::Response;
use oci_backup_gateway::transport::reqwest;
use oci_backup_gateway::transport::reqwest::Trust;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use tonic::Code;
use tonic_types::StatusExt;

/// Panics once, and then sends.
struct Frail {
    broke: AtomicBool,
    http: reqwest::Client,
}

impl HttpService for Frail {
    fn send(
        &self,
        request: http::Request<bytes::Bytes>,
        limits: Limits,
    ) -> BoxFuture<'_, Result<Response, Error>> {
        assert!(self.broke.swap(true, Ordering::Relaxed), "a canary that nobody else is to hear of");
        self.http.send(request, limits)
    }
}

/// As the process does, but what failed assertions say goes on to be seen.
fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        telemetry::note_panic(panic);
        before(panic);
    }));
}

#[tokio::test]
async fn a_panic_while_oci_is_called_ends_one_call_with_internal_and_an_unknown_outcome() {
    let config =
        reqwest::Config { trust: Trust::Plaintext, proxy: None, user_agent: oci::USER_AGENT.to_owned() };
    let frail = Frail { broke: AtomicBool::new(false), http: reqwest::Client::new(&config).unwrap() };
    let rig = Rig::with(Setup { http: Some(Arc::new(frail)), ..Setup::default() }).await;
    count_panics();
    let message = create();
    let status = rig.caller.clone().create_volume_backup(message.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("INTERNAL", "oci-backup-gateway"));
    assert_eq!(info.metadata["outcome"], "UNKNOWN");
    assert!(!status.message().contains("canary"), "{}", status.message());
    assert_eq!(status.metadata().get("opc-retry-token").unwrap(), message.retry_token.as_deref().unwrap());
    assert!(status.metadata().contains_key("opc-request-id"));
    assert_eq!(status.metadata().get("grpc-retry-pushback-ms").unwrap(), "-1");
    rig.caller.clone().create_volume_backup(message).await.expect("the process lives");
    let (_status, _headers, metrics) = rig::page(rig.server.admin_address(), "/metrics").await;
    assert!(
        !metrics.contains("gateway_panics_total 0\n") && metrics.contains("gateway_panics_total "),
        "{metrics}"
    );
    rig.mutations.end();
    rig.mutations.ended().await;
}
