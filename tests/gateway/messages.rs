//! Messages that are none, and calls of what does not exist: refused in the contract's words, never in tonic's.

use crate::raw;
use crate::raw::Answer;
use crate::raw::CREATE_VOLUME_BACKUP;
use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use prost::Message;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

/// The limit of one message.
const MAX: usize = 64 * 1024;

/// Holds an answer to be a refusal in the contract's words, with nothing sent upstream.
fn refused(rig: &Rig, answer: &Answer, code: Code, reason: &str) {
    assert_eq!(answer.status.code(), code, "{answer:?}");
    let details = answer.status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (reason, "oci-backup-gateway"), "{answer:?}");
    assert_eq!(info.metadata["outcome"], "NOT_STARTED", "{answer:?}");
    assert_eq!(details.request_info().unwrap().request_id, "mine");
    assert_eq!(answer.headers["opc-request-id"], "mine");
    assert_eq!(answer.headers["grpc-retry-pushback-ms"], "-1");
    assert!(!answer.status.message().is_empty(), "{answer:?}");
    assert!(rig.creates().is_empty(), "nothing was sent");
}

async fn call(rig: &Rig, path: &str, more: &[(&str, &str)], body: Vec<u8>) -> Answer {
    let headers = [&[("opc-request-id", "mine")], more].concat();
    raw::call(rig.server.address(), path, &headers, body).await
}

/// A valid message of exactly this length: the rest is a field that no version knows.
fn padded(length: usize) -> Vec<u8> {
    let mut message = create().encode_to_vec();
    // Field 1000, length-delimited: a tag of two bytes and a length of three.
    let filler = length - message.len() - 5;
    prost::encoding::bytes::encode(1000, &vec![0; filler], &mut message);
    assert_eq!(message.len(), length);
    message
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_one_within_it_is_read() {
    let rig = Rig::start().await;
    let answer = call(&rig, CREATE_VOLUME_BACKUP, &[], raw::frame(&padded(MAX + 1))).await;
    refused(&rig, &answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(answer.status.message().contains("64 KiB"), "{answer:?}");
    let answer = call(&rig, CREATE_VOLUME_BACKUP, &[], raw::frame(&padded(MAX))).await;
    assert_eq!(answer.status.code(), Code::Ok, "{answer:?}");
}

#[tokio::test]
async fn a_compressed_message_is_refused_with_what_is_understood_instead() {
    let rig = Rig::start().await;
    let mut message = raw::frame(b"\x1f\x8b\x08");
    message[0] = 1;
    let answer = call(&rig, CREATE_VOLUME_BACKUP, &[("grpc-encoding", "gzip")], message.clone()).await;
    refused(&rig, &answer, Code::Unimplemented, "INVALID_REQUEST");
    assert!(answer.status.message().contains("gzip"), "{answer:?}");
    // github.com/grpc/grpc/blob/master/doc/compression.md
    assert_eq!(answer.headers["grpc-accept-encoding"], "identity");
    let answer = call(&rig, CREATE_VOLUME_BACKUP, &[], message).await;
    refused(&rig, &answer, Code::InvalidArgument, "INVALID_REQUEST");
}

/// `CreateVolumeBackupRequest.defined_tags`
const DEFINED_TAGS: u32 = 6;

/// `defined_tags` with lists in lists, so many of them.
fn nested(depth: usize) -> Vec<u8> {
    use prost::encoding::bytes::encode;
    let wrap = |tag, inner: Vec<u8>| {
        let mut outer = Vec::new();
        encode(tag, &inner, &mut outer);
        outer
    };
    // google/protobuf/struct.proto: Value.list_value = 6, ListValue.values = 1, Struct.fields = 1.
    let value = (0..depth).fold(Vec::new(), |value, _| wrap(6, wrap(1, value)));
    let entry = [wrap(1, b"key".to_vec()), wrap(2, value)].concat();
    let namespace = [wrap(1, b"namespace".to_vec()), wrap(2, wrap(1, entry))].concat();
    [create().encode_to_vec(), wrap(DEFINED_TAGS, namespace)].concat()
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let rig = Rig::start().await;
    for (what, body) in [
        ("garbage", raw::frame(b"\xff\xff\xff\xff")),
        ("a text that is no UTF-8", raw::frame(b"\x0a\x02\xff\xfe")),
        ("nested beyond the limit", raw::frame(&nested(200))),
        ("nothing", Vec::new()),
        ("half a frame", raw::frame(&create().encode_to_vec())[..12].to_vec()),
        ("an unknown kind of frame", vec![7, 0, 0, 0, 0]),
    ] {
        let answer = call(&rig, CREATE_VOLUME_BACKUP, &[], body).await;
        let told = answer.status.message();
        assert!(told.starts_with("the message cannot be read: "), "{what}: {told}");
        refused(&rig, &answer, Code::InvalidArgument, "INVALID_REQUEST");
    }
    call(&rig, CREATE_VOLUME_BACKUP, &[], raw::frame(&nested(10))).await;
    assert_eq!(rig.creates().len(), 1, "whatever can be read is for OCI to judge");
}

#[tokio::test]
async fn a_message_that_never_comes_ends_with_the_deadline() {
    let rig = Rig::start().await;
    let headers = [("opc-request-id", "mine"), ("grpc-timeout", "600m")];
    for sent in [&b""[..], &raw::frame(&create().encode_to_vec())[..12]] {
        let began = Instant::now();
        let (response, mut stream) = raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &headers).await;
        stream.send_data(sent.to_vec().into(), false).unwrap();
        refused(&rig, &raw::answer(response).await, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
        // tonic's own CANCELLED would come at 600 ms; the rest is for a busy machine.
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn what_does_not_exist_is_unimplemented() {
    let rig = Rig::start().await;
    for path in ["/ocibackup.v1.BackupService/Nothing", "/ocibackup.v2.BackupService/CreateVolumeBackup", "/"]
    {
        for messages in [1, 2] {
            let answer = call(&rig, path, &[], raw::frame(&[]).repeat(messages)).await;
            refused(&rig, &answer, Code::Unimplemented, "INVALID_REQUEST");
        }
        // Nor is a message waited for that nobody would read.
        let (response, _stream) = raw::begin(rig.server.address(), path, &[("opc-request-id", "mine")]).await;
        let answer = tokio::time::timeout(Duration::from_secs(1), raw::answer(response)).await.unwrap();
        refused(&rig, &answer, Code::Unimplemented, "INVALID_REQUEST");
    }
}

/// Whoever announces too much need not send it to be told, and nothing waits for it.
#[tokio::test]
async fn a_message_that_is_announced_too_long_is_refused_before_it_comes() {
    let rig = Rig::start().await;
    let announced = raw::frame(&padded(MAX + 1))[..5].to_vec();
    let began = Instant::now();
    let headers = [("opc-request-id", "mine")];
    let (response, mut stream) = raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &headers).await;
    stream.send_data(announced.into(), false).unwrap();
    refused(&rig, &raw::answer(response).await, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// As grpc-go and grpc-java do. Whichever of the two was meant is nobody's to guess.
#[tokio::test]
async fn a_second_message_is_refused_and_none_of_the_two_is_carried_out() {
    let rig = Rig::start().await;
    let message = raw::frame(&create().encode_to_vec());
    for second in [&message[..], &[0], &raw::frame(&[])] {
        let both = [&message, second].concat();
        let answer = call(&rig, CREATE_VOLUME_BACKUP, &[], both.clone()).await;
        refused(&rig, &answer, Code::Internal, "INVALID_REQUEST");
        assert!(answer.status.message().contains("exactly one"), "{answer:?}");
        let headers = [("opc-request-id", "mine")];
        let (response, mut stream) = raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &headers).await;
        // Nor is it waited for whether a third one comes.
        stream.send_data(both.into(), false).unwrap();
        refused(&rig, &raw::answer(response).await, Code::Internal, "INVALID_REQUEST");
    }
}

/// Who speaks another protocol could not read the answer to what it had started.
#[tokio::test]
async fn what_is_not_grpc_is_answered_in_the_words_of_http_and_starts_nothing() {
    let rig = Rig::start().await;
    let message = raw::frame(&create().encode_to_vec());
    for (method, content_type, expected) in [
        ("POST", Some("application/grpc-web+proto"), 415),
        ("POST", Some("application/json"), 415),
        ("POST", None, 415),
        ("GET", Some("application/grpc"), 405),
        ("POST", Some("application/grpc+proto"), 200),
    ] {
        let url = format!("http://{}{CREATE_VOLUME_BACKUP}", rig.server.address());
        let mut request = http::Request::builder().method(method).uri(url).header("te", "trailers");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let mut requests = raw::connect(rig.server.address()).await.ready().await.unwrap();
        let (response, mut stream) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let _ = stream.send_data(message.clone().into(), true);
        let status = response.await.unwrap().status();
        assert_eq!(status.as_u16(), expected, "{method} {content_type:?}");
        assert_eq!(rig.commits(), usize::from(expected == 200), "{method} {content_type:?}");
    }
}

/// A call keeps its place from others: one that never comes whole must not keep it for long.
#[tokio::test]
async fn a_message_that_never_comes_whole_is_not_waited_for_and_gives_its_place_back() {
    let mut setup = Setup::default();
    setup.server.max_in_flight = 1;
    setup.server.deadlines.message = Duration::from_millis(300);
    let rig = Rig::with(setup).await;
    let message = raw::frame(&create().encode_to_vec());
    let began = Instant::now();
    let (response, mut stream) =
        raw::begin(rig.server.address(), CREATE_VOLUME_BACKUP, &[("opc-request-id", "mine")]).await;
    stream.reserve_capacity(20);
    stream.send_data(message[..20].to_vec().into(), false).unwrap();
    let answer = raw::answer(response).await;
    refused(&rig, &answer, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(answer.status.message().contains("message did not come"), "{answer:?}");
    assert!((300..1000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    rig.caller.clone().create_volume_backup(create()).await.expect("there is room again");
}
