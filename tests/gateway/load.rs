//! More calls than there is room for: refused at once, and nobody else is any the worse for it.

use crate::frames;
use crate::frames::Peer;
use crate::raw;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig;
use crate::rig::Created;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use bytes::Bytes;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::server;
use oci_backup_gateway::transport::BoxFuture;
use oci_backup_gateway::transport::Error;
use oci_backup_gateway::transport::HttpService;
use oci_backup_gateway::transport::Limits;
use oci_backup_gateway::transport::Response;
use prost::Message;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;
use tokio::task::JoinSet;
use tonic::Code;
use tonic::Status;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

fn at_most(max_in_flight: usize) -> Setup {
    Setup { server: server::Config { max_in_flight, ..Setup::default().server }, ..Setup::default() }
}

/// Holds a status to be the refusal of a call too many, and tells when its library may come back.
fn overloaded(status: &Status) -> Duration {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    let details = status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), ("OVERLOADED", "oci-backup-gateway"));
    assert_eq!((info.metadata["outcome"].as_str(), info.metadata["attempts"].as_str()), ("NOT_STARTED", "0"));
    let pushback = status.metadata().get("grpc-retry-pushback-ms").unwrap().to_str().unwrap();
    let pushback = Duration::from_millis(pushback.parse().unwrap());
    assert!((500..=1500).contains(&pushback.as_millis()), "{pushback:?}");
    let told = details.retry_info().unwrap().retry_delay.unwrap();
    assert_eq!(told.as_millis(), pushback.as_millis());
    pushback
}

async fn created(rig: &Rig) -> Created {
    rig.caller.clone().create_volume_backup(create()).await
}

#[tokio::test]
async fn a_call_too_many_is_refused_at_once_and_nothing_of_it_is_sent() {
    let rig = Rig::with(at_most(2)).await;
    let stall = Duration::from_millis(1500);
    let within = [rig.stalled(stall).await, rig.stalled(stall).await];
    let mut pushbacks = BTreeSet::new();
    for _ in 0..10 {
        let began = Instant::now();
        let status = created(&rig).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
        assert!(status.metadata().contains_key("opc-request-id"));
        pushbacks.insert(overloaded(&status));
    }
    assert!(pushbacks.len() > 1, "who was refused together does not come back together: {pushbacks:?}");
    // Its message has not even been sent.
    let headers = [("opc-request-id", "mine"), ("opc-retry-token", "the-token")];
    let (response, _message) = raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &headers).await;
    let answer = raw::answer(response).await;
    overloaded(&answer.status);
    for (name, value) in headers {
        assert_eq!(answer.headers[name], value);
    }
    assert_eq!(rig.creates().len(), 2, "nothing of all that was sent");
    for call in within {
        call.await.unwrap().expect("a call within the limit is served");
    }
    created(&rig).await.expect("there is room again");
}

#[tokio::test]
async fn health_and_reflection_need_no_room() {
    let rig = Rig::with(at_most(1)).await;
    let call = rig.stalled(Duration::from_millis(300)).await;
    overloaded(&created(&rig).await.unwrap_err());
    let channel = rig::channel(rig.server.address()).await;
    let answer = HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let question = ServerReflectionRequest { host: String::new(), message_request };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    assert!(answers.message().await.unwrap().is_some());
    call.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_place_is_held_by_the_work_and_not_only_by_the_caller() {
    let rig = Rig::with(at_most(1)).await;
    rig.stalled(Duration::from_millis(1500)).await.abort();
    // The caller has left; its create has not ended.
    for _ in 0..10 {
        overloaded(&created(&rig).await.unwrap_err());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(rig.commits(), 0, "all that was before it ended");
    rig.mutations.end();
    rig.mutations.ended().await;
    created(&rig).await.expect("there is room again");
    assert_eq!(rig.commits(), 2);
}

/// An OCI that answers at once.
struct AtOnce;

impl HttpService for AtOnce {
    fn send(&self, request: http::Request<Bytes>, _: Limits) -> BoxFuture<'_, Result<Response, Error>> {
        let asked: serde_json::Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let made = serde_json::json!({
            "id": "ocid1.volumebackup.oc1.iad.made",
            "volumeId": asked["volumeId"],
            "lifecycleState": "CREATING",
        });
        Box::pin(async move { Ok(http::Response::new(Ok(made.to_string().into()))) })
    }
}

type Caller = BackupServiceClient<Channel>;

/// Callers who each come back as soon as they are answered.
fn storm(callers: &[Caller], count: usize) -> JoinSet<()> {
    let each = |caller: &Caller| {
        let mut caller = caller.clone();
        async move {
            loop {
                if let Err(status) = caller.create_volume_backup(create()).await {
                    overloaded(&status);
                }
            }
        }
    };
    callers.iter().cycle().take(count).map(each).collect()
}

/// The clock is asked where a request is signed: by the thread that serves the network, or by another.
#[tokio::test]
async fn signatures_that_are_due_together_are_made_by_threads_that_serve_nobody_else() {
    let (serving, signed, signed_here) =
        (std::thread::current().id(), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (all, here, system) = (Arc::clone(&signed), Arc::clone(&signed_here), Clock::system());
    let source = move || {
        all.fetch_add(1, Ordering::Relaxed);
        here.fetch_add(usize::from(std::thread::current().id() == serving), Ordering::Relaxed);
        system.now()
    };
    let http = Arc::new(AtOnce);
    let setup = Setup { clock: Clock::with_source(Arc::new(source)), http: Some(http), ..Setup::default() };
    let rig = Rig::with(setup).await;
    let _storm = storm(std::slice::from_ref(&rig.caller), 40);
    while signed.load(Ordering::Relaxed) < 300 {
        tokio::task::yield_now().await;
    }
    let here = signed_here.load(Ordering::Relaxed);
    assert!(here < 30, "{here} of 300 held up whoever is served");
}

#[tokio::test]
async fn a_peer_that_takes_no_answers_keeps_no_place_and_nobody_waiting() {
    const CALLS: usize = 100;
    let rig = Rig::with(Setup { http: Some(Arc::new(AtOnce)), ..at_most(CALLS) }).await;
    // SETTINGS_INITIAL_WINDOW_SIZE = 0 (RFC 9113, 6.5.2): not one byte of an answer may be sent.
    let no_window = frames::frame(frames::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let mut peer = Peer::connect(rig.server.address()).await;
    peer.send(&no_window).await;
    for stream in frames::streams().take(CALLS) {
        let message = raw::frame(&create().encode_to_vec());
        peer.send(&frames::call(stream, CREATE_VOLUME_BACKUP, &[], 0)).await;
        peer.send(&frames::frame(frames::DATA, frames::END_STREAM, stream, &message)).await;
    }
    for _ in 0..CALLS {
        let answer = peer.next_of(frames::HEADERS).await.unwrap();
        assert_eq!(answer.flags & frames::END_STREAM, 0, "an answer whose message waits: {answer:?}");
    }
    // All are answered, none is delivered, and there is room for as many.
    let began = Instant::now();
    let others: JoinSet<Created> = (0..CALLS)
        .map(|_| {
            let mut caller = rig.caller.clone();
            async move { caller.create_volume_backup(create()).await }
        })
        .collect();
    others.join_all().await.into_iter().for_each(|created| drop(created.unwrap()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    peer.settle().await.expect("the peer itself is none the worse");
    rig.mutations.end();
    rig.mutations.ended().await;
}
