//! The metadata of the contract, both ways, on every kind of answer.

use crate::rig::Rig;
use crate::rig::Setup;
use crate::rig::create;
use crate::rig::create_boot;
use crate::rig::hasty;
use oci_backup_gateway::pb;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::transport::reqwest::Trust;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::Request;
use tonic::metadata::MetadataMap;

fn with<T>(message: T, pairs: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (key, value) in pairs {
        request.metadata_mut().insert(*key, value.parse().unwrap());
    }
    request
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> &'a str {
    metadata.get(key).unwrap_or_else(|| panic!("no {key}")).to_str().unwrap()
}

#[tokio::test]
async fn ids_and_tokens_go_both_ways_on_success() {
    let rig = Rig::start().await;
    let request = with(create(), &[("opc-request-id", "customer/stack-1/call_1")]);
    let token = request.get_ref().retry_token.clone().unwrap();
    let response = rig.caller.clone().create_volume_backup(request).await.unwrap();
    let sent = rig.creates().pop().unwrap();
    assert_eq!(sent.opc_request_id.as_deref(), Some("customer/stack-1/call_1"));
    assert_eq!(sent.retry_token.as_ref(), Some(&token));
    assert_eq!(text(response.metadata(), "opc-retry-token"), token);
    assert!(!text(response.metadata(), "opc-request-id").is_empty());
    let etag = text(response.metadata(), "etag").to_owned();
    assert_eq!(response.into_inner().volume_backup.unwrap().etag, Some(etag));
}

#[tokio::test]
async fn what_oci_answered_is_told_and_what_was_sent_where_it_answered_nothing() {
    let rig = Rig::with(Setup { retry: hasty(1), ..Setup::default() }).await;
    rig.break_next(Fault::default().header("opc-request-id", "ocis/own/id"));
    rig.break_next(Fault::status(409, "ResourceLocked", "busy").header("opc-request-id", "ocis/other/id"));
    rig.break_next(Fault::reset(oci_backup_gateway::sandbox::CutPoint::AfterCommit));
    let call = async || {
        let request = with(create_boot(), &[("opc-request-id", "mine")]);
        rig.caller.clone().create_boot_volume_backup(request).await
    };
    assert_eq!(text(call().await.unwrap().metadata(), "opc-request-id"), "ocis/own/id");
    assert_eq!(text(call().await.unwrap_err().metadata(), "opc-request-id"), "ocis/other/id");
    assert_eq!(text(call().await.unwrap_err().metadata(), "opc-request-id"), "mine");
}

#[tokio::test]
async fn a_malformed_request_id_is_replaced_and_a_local_refusal_has_one_too() {
    let rig = Rig::start().await;
    let long = "a".repeat(33);
    for bad in ["with space", "a/b/c/d", "semi;colon", "trailing/", long.as_str()] {
        let request = with(create(), &[("opc-request-id", bad)]);
        rig.caller.clone().create_volume_backup(request).await.unwrap();
        let sent = rig.creates().pop().unwrap().opc_request_id.unwrap();
        assert!(sent.len() == 32 && sent.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad:?} → {sent:?}");
    }
    let before = rig.creates().len();
    let wrong = pb::CreateVolumeBackupRequest { volume_id: "nonsense".to_owned(), ..create() };
    let token = wrong.retry_token.clone().unwrap();
    let status = rig
        .caller
        .clone()
        .create_volume_backup(with(wrong, &[("opc-request-id", "mine")]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(text(status.metadata(), "opc-request-id"), "mine");
    assert_eq!(text(status.metadata(), "opc-retry-token"), token);
    assert_eq!(rig.creates().len(), before, "nothing was sent");
}

/// Which of the two was meant is nobody's to guess.
#[tokio::test]
async fn what_is_given_twice_is_not_taken_for_either() {
    let rig = Rig::start().await;
    let twice = |key: &'static str, values: [&str; 2]| {
        let mut request = Request::new(pb::CreateVolumeBackupRequest { retry_token: None, ..create() });
        for value in values {
            request.metadata_mut().append(key, value.parse().unwrap());
        }
        request
    };
    let call = async |request| rig.caller.clone().create_volume_backup(request).await;
    for values in [["5S", "6S"], ["5S", "5S"], ["5S", "nonsense"]] {
        let refused = call(twice("grpc-timeout", values)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{values:?}: {refused:?}");
        assert!(refused.message().contains("grpc-timeout"), "{refused:?}");
    }
    for values in [["one", "two"], ["one", "one"]] {
        let refused = call(twice("opc-retry-token", values)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{values:?}: {refused:?}");
        assert_eq!(refused.metadata().get("opc-retry-token"), None, "none of them is told back");
    }
    assert!(rig.creates().is_empty(), "nothing was sent");
    call(twice("opc-request-id", ["one", "two"])).await.unwrap();
    let sent = rig.creates().pop().unwrap().opc_request_id.unwrap();
    assert!(sent.len() == 32 && sent.bytes().all(|byte| byte.is_ascii_hexdigit()), "one is made: {sent:?}");
}

#[tokio::test]
async fn the_token_may_come_as_field_or_metadata_and_is_made_and_told_back_without_either() {
    let rig = Rig::start().await;
    let bare = || pb::CreateVolumeBackupRequest { retry_token: None, ..create() };
    let told = async |request: Request<pb::CreateVolumeBackupRequest>| {
        let response = rig.caller.clone().create_volume_backup(request).await.unwrap();
        let told = text(response.metadata(), "opc-retry-token").to_owned();
        assert_eq!(rig.creates().pop().unwrap().retry_token, Some(told.clone()));
        told
    };
    assert_eq!(told(with(bare(), &[("opc-retry-token", "from metadata")])).await, "from metadata");
    let both = pb::CreateVolumeBackupRequest { retry_token: Some("the same".to_owned()), ..create() };
    assert_eq!(told(with(both, &[("opc-retry-token", "the same")])).await, "the same");
    let (one, other) = (told(Request::new(bare())).await, told(Request::new(bare())).await);
    assert_ne!(one, other);
    assert_eq!(one.len(), 32);
}

#[tokio::test]
async fn the_same_token_gets_the_same_backup() {
    let rig = Rig::start().await;
    let request = create();
    let id = async || {
        let answer = rig.caller.clone().create_volume_backup(request.clone()).await.unwrap().into_inner();
        answer.volume_backup.unwrap().id
    };
    assert_eq!(id().await, id().await);
    assert_eq!(rig.sandbox.ledger().commits.len(), 1);
}

/// Answers one request with nothing, and returns its head as it came over the wire.
async fn head_of_one_request(listener: TcpListener) -> String {
    let (mut stream, _peer) = listener.accept().await.unwrap();
    let (mut raw, mut buffer) = (Vec::new(), [0; 4096]);
    while !raw.windows(4).any(|window| window == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the request ended early");
        raw.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    String::from_utf8(raw).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn nothing_else_of_the_callers_metadata_reaches_oci() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let rig =
        Rig::with(Setup { endpoint: Some(endpoint), trust: Some(Trust::Plaintext), ..Setup::default() })
            .await;
    let seen = tokio::spawn(head_of_one_request(listener));
    let request = with(
        create(),
        &[
            ("authorization", "Bearer canary"),
            ("cookie", "canary=1"),
            ("if-match", "canary"),
            ("x-forwarded-for", "canary"),
            ("opc-obo-token", "canary"),
            ("opc-client-info", "canary"),
            ("host", "canary"),
            ("date", "canary"),
            ("baggage", "canary=1"),
        ],
    );
    rig.caller.clone().create_volume_backup(request).await.unwrap_err();
    let head = seen.await.unwrap();
    assert!(!head.contains("canary"), "{head}");
    let head = head.split("\r\n\r\n").next().unwrap();
    let mut names: Vec<_> = head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "accept",
            "authorization",
            "content-length",
            "content-type",
            "date",
            "host",
            "opc-client-info",
            "opc-client-retries",
            "opc-request-id",
            "opc-retry-token",
            "user-agent",
            "x-content-sha256",
        ]
    );
    let product = concat!("oci-backup-gateway/", env!("CARGO_PKG_VERSION"));
    assert!(head.contains(&format!("user-agent: {product}")), "{head}");
    assert!(head.contains(&format!("opc-client-info: {product}")), "{head}");
}

/// Where no spans are made, a caller's trace goes on as it came; what is none, or comes twice, does not.
#[tokio::test]
async fn a_callers_trace_goes_on_to_oci_as_it_came() {
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (parents, goes_on) in [
        (vec![PARENT], true),
        (vec![], false),
        (vec![PARENT, PARENT], false),
        (vec!["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"], false),
        (vec!["canary"], false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Some(format!("http://{}", listener.local_addr().unwrap()));
        let rig = Rig::with(Setup { endpoint, trust: Some(Trust::Plaintext), ..Setup::default() }).await;
        let seen = tokio::spawn(head_of_one_request(listener));
        let mut request = with(create(), &[("tracestate", "vendor=1"), ("baggage", "canary=1")]);
        for parent in &parents {
            request.metadata_mut().append("traceparent", parent.parse().unwrap());
        }
        rig.caller.clone().create_volume_backup(request).await.unwrap_err();
        let head = seen.await.unwrap();
        let trace = format!("traceparent: {PARENT}\r\ntracestate: vendor=1\r\n");
        assert_eq!(head.contains(&trace), goes_on, "{parents:?}: {head}");
        assert_eq!(head.contains("\r\ntrace"), goes_on, "{parents:?}: {head}");
        assert!(!head.contains("canary"), "{head}");
    }
}

#[tokio::test]
async fn a_work_request_id_is_passed_on_when_oci_sends_one() {
    let rig = Rig::start().await;
    rig.break_next(
        Fault::answer(AnswerChange::default()).header("opc-work-request-id", "ocid1.workrequest.x"),
    );
    let response = rig.caller.clone().create_volume_backup(create()).await.unwrap();
    assert_eq!(text(response.metadata(), "opc-work-request-id"), "ocid1.workrequest.x");
}
