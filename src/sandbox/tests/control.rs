//! The control listener, as a test in any language uses it.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::client::{Answer, Client, VOLUME, VOLUME_BACKUPS, World};
use super::signing::unsigned;
use crate::sandbox::{
    AnswerChange, CutPoint, Fault, FaultRule, HeaderChange, Ledger, StallPoint, Times, Wire,
};

async fn control(world: &World, method: &str, path: &str, body: &str) -> Answer {
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: control\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let tcp = TcpStream::connect(world.sandbox.control_addr()).await.unwrap();
    Client(tcp).send(request.as_bytes()).await
}

async fn list_status(world: &World) -> u16 {
    world.get(&format!("{VOLUME_BACKUPS}?compartmentId=x")).await.status
}

#[tokio::test]
async fn faults_come_and_go_one_or_many_at_a_time() {
    let world = World::start().await;
    let rule = json!({"method": "GET", "times": null, "fault": {"answer": {"status": 503}}});
    assert_eq!(control(&world, "POST", "/sandbox/faults", &rule.to_string()).await.status, 204);
    assert_eq!(list_status(&world).await, 503);
    assert_eq!(control(&world, "DELETE", "/sandbox/faults", "").await.status, 204);
    assert_eq!(list_status(&world).await, 200);

    let rules = json!([{"fault": {"answer": {"status": 500}}}, {"fault": {"answer": {"status": 502}}}]);
    assert_eq!(control(&world, "POST", "/sandbox/faults", &rules.to_string()).await.status, 204);
    assert_eq!(
        [list_status(&world).await, list_status(&world).await, list_status(&world).await],
        [500, 502, 200]
    );
}

#[tokio::test]
async fn keys_are_rotated_over_the_control_listener() {
    let world = World::start().await;
    let made = control(&world, "POST", "/sandbox/api-keys", "").await;
    let identity = super::client::identity();
    let list = format!("{VOLUME_BACKUPS}?compartmentId=x");
    let with = async |fingerprint: &str, private_key_pem: &str| {
        let mut request = unsigned("GET", &list, &world.sandbox.oci_addr().to_string(), "", world.now());
        let key_id = format!("{}/{}/{fingerprint}", identity.tenancy(), identity.user());
        request.authorize_as(&["date", "(request-target)", "host"], &key_id, private_key_pem);
        world.send(&request).await.status
    };
    let next = async || with(&made.text("fingerprint"), &made.text("private_key_pem")).await;
    assert_eq!((next().await, list_status(&world).await), (200, 200), "one beside the other");
    let old = format!("/sandbox/api-keys/{}", identity.fingerprint());
    assert_eq!(control(&world, "DELETE", &old, "").await.status, 204);
    assert_eq!((next().await, list_status(&world).await), (200, 401));
    assert_eq!(control(&world, "DELETE", &old, "").await.status, 404);
    assert_eq!(control(&world, "GET", "/sandbox/api-keys", "").await.status, 405);
}

#[tokio::test]
async fn a_wrong_rule_is_refused_with_what_is_wrong_and_nothing_is_added() {
    let world = World::start().await;
    let cases = [
        ("{", "EOF"),
        ("{}", "missing field `fault`"),
        (r#"{"fault":{},"colour":1}"#, "unknown field `colour`"),
        (r#"{"fault":{"answer":{"statuss":1}}}"#, "unknown field `statuss`"),
        (r#"{"fault":{"wire":{"reset":{"at":"accept","ms":1}}}}"#, "unknown field `ms`"),
        (r#"{"fault":{"wire":{"explode":{}}}}"#, "unknown variant `explode`"),
        (r#"{"fault":{},"times":"often"}"#, "times must be a number, null or \"forever\""),
        (r#"{"fault":{},"times":-1}"#, "times must be a number, null or \"forever\""),
        (r#"{"fault":{"answer":{"status":99}}}"#, "status must be 200 to 999"),
        (r#"{"fault":{"answer":{"body":"x","patch":{}}}}"#, "only one of body"),
        (r#"{"fault":{"answer":{"body_base64":"*"}}}"#, "body_base64 is not base64"),
        (r#"{"fault":{"answer":{"headers":{"a b":"c"}}}}"#, "header \"a b\""),
        (r#"{"fault":{"answer":{"headers":{"Content-Length":"1"}}}}"#, "header \"Content-Length\""),
        (r#"{"fault":{"answer":{"content_type":"a\nb"}}}"#, "content_type cannot be sent"),
        (r#"{"fault":{"commit":"never"}}"#, "must say what to answer"),
        (r#"{"fault":{"commit":"before","wire":{"reset":{"at":"before_commit"}}}}"#, "cannot come after it"),
        (r#"{"method":"GET","fault":{"wire":{"reset":{"at":"accept"}}}}"#, "cannot choose"),
        (r#"{"fault":{"answer":{"status":500},"wire":{"reset":{"at":"accept"}}}}"#, "no other part"),
        (r#"{"chance":{"percent":101,"seed":1},"fault":{"answer":{"status":500}}}"#, "at most 100"),
        (r#"[{"fault":{"answer":{"status":500}}},{"fault":{"answer":{"status":1}}}]"#, "status must be"),
    ];
    for (rule, wanted) in cases {
        let answer = control(&world, "POST", "/sandbox/faults", rule).await;
        let message = answer.text("message");
        assert_eq!(answer.status, 400, "{rule}");
        assert!(message.contains(wanted) && !message.contains('\n'), "{rule}: {message}");
        assert_eq!(list_status(&world).await, 200, "{rule}");
    }
}

#[test]
fn rules_read_from_json_are_those_built_in_rust() {
    let cases = [
        (json!({"fault": {}}), FaultRule::new(Fault::default())),
        (json!({"times": 3, "skip": 1, "fault": {}}), FaultRule::new(Fault::default()).skip(1).times(3)),
        (
            json!({"times": "forever", "fault": {}}),
            FaultRule { times: Times::Forever, ..FaultRule::default() },
        ),
        (
            json!({"method": "POST", "path": "/a", "path_prefix": "/b", "retry_token": "t", "fault": {}}),
            FaultRule::new(Fault::default()).method("POST").path("/a").path_prefix("/b").retry_token("t"),
        ),
        (
            json!({"fault": {"commit": "before", "stall": {"at": "after_commit", "ms": 5}, "wire": {"reset": {"at": "mid_answer"}}}}),
            FaultRule::new(
                Fault::reset(CutPoint::MidAnswer)
                    .stalled(StallPoint::AfterCommit, std::time::Duration::from_millis(5))
                    .committed(),
            ),
        ),
        (
            json!({"chance": {"percent": 20, "seed": 7}, "fault": {}}),
            FaultRule::new(Fault::default()).chance(20, 7),
        ),
        (json!({"fault": {"wire": {"two_lengths": {}}}}), FaultRule::new(Fault::wire(Wire::TwoLengths {}))),
        (
            json!({"fault": {"answer": {"headers": {"a": "b", "c": null, "d": ["e", "f"]}}}}),
            FaultRule::new(Fault::answer(AnswerChange {
                headers: [
                    ("a".to_owned(), HeaderChange::Set("b".to_owned())),
                    ("c".to_owned(), HeaderChange::Remove(())),
                    ("d".to_owned(), HeaderChange::SetAll(vec!["e".to_owned(), "f".to_owned()])),
                ]
                .into(),
                ..AnswerChange::default()
            })),
        ),
    ];
    for (json, rule) in cases {
        assert_eq!(serde_json::from_value::<FaultRule>(json).unwrap(), rule);
        let again = serde_json::to_value(&rule).unwrap();
        assert_eq!(serde_json::from_value::<FaultRule>(again).unwrap(), rule, "what is written is read");
    }
}

#[tokio::test]
async fn the_ledger_tells_every_attempt_and_every_commit() {
    let world = World::start().await;
    let create = world.create(VOLUME, "t").header("opc-request-id", "me");
    world.inject(Fault::reset(CutPoint::AfterCommit));
    let _ = world.connect().await.until_it_ends(&create.bytes()).await;
    let id = world.send(&create).await.text("id");
    world.send(&world.request("GET", VOLUME_BACKUPS, "").without("date")).await;

    let read = control(&world, "GET", "/sandbox/ledger", "").await;
    let ledger = read.json();
    let hash = "8f6de1f5cbda5ea2f5fe2e0a3c9a6bb5";
    assert_eq!(ledger["attempts"].as_array().unwrap().len(), 3);
    let first = &ledger["attempts"][0];
    assert_eq!((&first["method"], &first["path"]), (&json!("POST"), &json!(VOLUME_BACKUPS)));
    assert_eq!((&first["status"], &first["cut"]), (&Value::Null, &json!("reset after commit")));
    assert_eq!((&first["retry_token"], &first["opc_request_id"]), (&json!("t"), &json!("me")));
    assert_eq!(
        (&first["date"], &first["time"]),
        (&json!("Fri, 15 Jan 2027 08:00:00 GMT"), &json!("2027-01-15T08:00:00.000Z"))
    );
    assert_eq!((&first["refusal"], &first["fault"]), (&Value::Null, &json!("reset after commit")));
    assert_eq!(first["body_sha256"].as_str().unwrap().len(), hash.len() * 2);
    assert_eq!(ledger["attempts"][1]["status"], 200);
    assert_eq!(ledger["attempts"][2]["refusal"], "header date is missing");
    let commit = json!({
        "seq": 0, "attempt": 0, "operation": "create", "token": "t", "resource": "volumeBackups",
        "id": id, "volume_id": VOLUME, "body_sha256": first["body_sha256"],
        "time": "2027-01-15T08:00:00.000Z",
    });
    assert_eq!(ledger["commits"], json!([commit]));
    assert_eq!(ledger["commits_per_token"], json!({"t": 1}));
    assert_eq!(serde_json::from_slice::<Ledger>(&read.body).unwrap(), world.sandbox.ledger());
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let world = World::start().await;
    assert_eq!(control(&world, "GET", "/sandbox", "").await.status, 404);
    assert_eq!(control(&world, "GET", "/sandbox/faults", "").await.status, 405);
    assert_eq!(control(&world, "POST", "/sandbox/ledger", "").await.status, 405);
}
