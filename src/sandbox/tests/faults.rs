//! Every fault, seen on the wire.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Answer, Client, VOLUME, VOLUME_BACKUPS, World, verdict};
use crate::sandbox::{
    AnswerChange, CutPoint, Fault, FaultRule, Framing, HeaderChange, Part, StallPoint, Wire,
};

/// Injects `fault`, sends one create, and reads until the connection ends.
async fn struck_by(fault: Fault) -> (World, String, Result<(), ErrorKind>) {
    let world = World::start().await;
    world.inject(fault);
    let (read, end) = world.connect().await.until_it_ends(&world.create(VOLUME, "t").bytes()).await;
    (world, read, end)
}

fn commits(world: &World) -> usize {
    world.sandbox.ledger().commits.len()
}

/// Sends one create with a fault that leaves the answer whole.
async fn answered_with(fault: Fault) -> (World, Answer) {
    let world = World::start().await;
    world.inject(fault);
    let answer = world.send(&world.create(VOLUME, "t")).await;
    (world, answer)
}

#[tokio::test]
async fn a_status_takes_the_place_of_the_operation() {
    let (world, answer) =
        answered_with(Fault::status(503, "ServiceUnavailable", "later").header("Retry-After", "7")).await;
    assert_eq!(answer.verdict(), verdict(503, "ServiceUnavailable"));
    assert_eq!(answer.text("message"), "later");
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(commits(&world), 0);
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.status, 200, "once only, and the token is free");
}

#[tokio::test]
async fn a_status_can_hide_an_operation_that_was_carried_out() {
    let (world, answer) = answered_with(Fault::status(500, "InternalServerError", "oops").committed()).await;
    assert_eq!(answer.verdict(), verdict(500, "InternalServerError"));
    assert_eq!(commits(&world), 1);
    let made = world.sandbox.ledger().commits[0].id.clone();
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.text("id"), made);
}

#[tokio::test]
async fn a_status_without_a_code_is_named_by_its_reason() {
    for (status, code) in
        [(429, "TooManyRequests"), (500, "InternalServerError"), (502, "BadGateway"), (599, "Unknown")]
    {
        let change = AnswerChange { status: Some(status), ..AnswerChange::default() };
        assert_eq!(answered_with(Fault::answer(change)).await.1.verdict(), verdict(status, code));
    }
}

#[tokio::test]
async fn an_empty_success_and_a_redirect_have_no_body() {
    let change = AnswerChange { status: Some(204), ..AnswerChange::default() };
    let (world, answer) = answered_with(Fault::answer(change)).await;
    assert_eq!((answer.status, answer.body.len(), commits(&world)), (204, 0, 1));
    assert_eq!(answer.header("content-type"), None);

    let change = AnswerChange { status: Some(307), ..AnswerChange::default() };
    let (world, answer) =
        answered_with(Fault::answer(change).header("location", "http://127.0.0.1:1/")).await;
    assert_eq!((answer.status, answer.body.len(), commits(&world)), (307, 0, 0));
    assert_eq!(answer.header("location"), Some("http://127.0.0.1:1/"));
}

#[tokio::test]
async fn any_body_can_be_answered_after_the_commit_or_without_it() {
    let (world, answer) = answered_with(Fault::body("text/html", "<html>proxy</html>")).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"<html>proxy</html>".as_slice()));
    assert_eq!((answer.header("content-type"), commits(&world)), (Some("text/html"), 1));

    let (world, answer) = answered_with(Fault::body("application/json", "{\"id\":").uncommitted()).await;
    assert_eq!((answer.body.as_slice(), commits(&world)), (b"{\"id\":".as_slice(), 0));

    let change = AnswerChange { body_base64: Some("/wA=".to_owned()), ..AnswerChange::default() };
    assert_eq!(answered_with(Fault::answer(change)).await.1.body, [255, 0]);
}

#[tokio::test]
async fn fields_of_the_right_answer_can_be_written_and_taken_out() {
    let patch = json!({"lifecycleState": "NEW_STATE", "kmsKeyId": null, "unknownField": 1, "definedTags": {"a": {"b": 2}}});
    let change =
        AnswerChange { patch: Some(patch), remove: vec!["id".to_owned()], ..AnswerChange::default() };
    let (_, answer) = answered_with(Fault::answer(change)).await;
    let fields = answer.json();
    assert_eq!(fields["lifecycleState"], "NEW_STATE");
    assert_eq!((&fields["kmsKeyId"], &fields["unknownField"]), (&json!(null), &json!(1)));
    assert!(fields.as_object().unwrap().contains_key("kmsKeyId"));
    assert_eq!(fields["definedTags"], json!({"a": {"b": 2}}));
    assert_eq!(fields["volumeId"], VOLUME);
    assert_eq!(fields.get("id"), None);
}

#[tokio::test]
async fn headers_can_be_replaced_repeated_and_taken_away() {
    let fault = Fault::default().header("date", "garbage").header("opc-request-id", "other");
    let (_, answer) = answered_with(fault).await;
    assert_eq!(
        (answer.status, answer.header("date"), answer.header("opc-request-id")),
        (200, Some("garbage"), Some("other"))
    );

    let headers = [
        ("Date".to_owned(), HeaderChange::Remove(())),
        ("x".to_owned(), HeaderChange::SetAll(vec!["1".to_owned(), "2".to_owned()])),
    ];
    let change = AnswerChange { headers: headers.into(), ..AnswerChange::default() };
    let (_, answer) = answered_with(Fault::answer(change)).await;
    assert_eq!(answer.header("date"), None);
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "x").count(), 2);
}

#[tokio::test]
async fn a_reset_is_a_reset_wherever_it_comes() {
    for (at, made, read_something) in [
        (CutPoint::Accept, 0, false),
        (CutPoint::BeforeCommit, 0, false),
        (CutPoint::AfterCommit, 1, false),
        (CutPoint::MidAnswer, 1, true),
        (CutPoint::AfterAnswer, 1, true),
    ] {
        let (world, read, end) = struck_by(Fault::reset(at)).await;
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "{at:?}");
        assert_eq!((commits(&world), !read.is_empty()), (made, read_something), "{at:?}");
        assert_eq!(world.send(&world.create(VOLUME, "t")).await.status, 200);
        assert_eq!(commits(&world), 1, "{at:?}");
    }
}

#[tokio::test]
async fn hanging_up_is_an_orderly_end_without_an_answer() {
    for (at, made) in [(CutPoint::BeforeCommit, 0), (CutPoint::AfterCommit, 1)] {
        let (world, read, end) = struck_by(Fault::hang_up(at)).await;
        assert_eq!((read.as_str(), end, commits(&world)), ("", Ok(()), made), "{at:?}");
        let attempt = &world.sandbox.ledger().attempts[0];
        assert_eq!((attempt.status, attempt.cut.is_some()), (None, true));
    }
    let world = World::start().await;
    world.inject(Fault::hang_up(CutPoint::Accept));
    assert_eq!(world.connect().await.until_it_ends(b"").await, (String::new(), Ok(())));
    let ledger = world.sandbox.ledger();
    assert_eq!((ledger.connections.accepted, ledger.connections.cut, ledger.attempts.len()), (1, 1, 0));
}

#[tokio::test]
async fn a_connection_can_end_after_a_whole_answer_that_promised_to_keep_it() {
    let (_, read, end) = struck_by(Fault::hang_up(CutPoint::AfterAnswer)).await;
    assert_eq!(end, Ok(()));
    assert!(!read.contains("connection: close"));
    assert!(announced(&read) == Some(body_of(&read).len()), "{read}");
}

fn body_of(read: &str) -> &str {
    read.split_once("\r\n\r\n").unwrap().1
}

fn announced(read: &str) -> Option<usize> {
    read.split("\r\n").find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())
}

#[tokio::test]
async fn an_answer_is_cut_short_under_each_framing() {
    let (world, read, end) = struck_by(Fault::wire(Wire::Truncate { framing: Framing::ContentLength })).await;
    assert_eq!((end, commits(&world)), (Ok(()), 1));
    assert_eq!(announced(&read).unwrap() / 2, body_of(&read).len());

    let (_, read, end) = struck_by(Fault::wire(Wire::Truncate { framing: Framing::Chunked })).await;
    assert!(end.is_ok() && read.contains("transfer-encoding: chunked") && announced(&read).is_none());
    let (size, part) = body_of(&read).split_once("\r\n").unwrap();
    assert_eq!(usize::from_str_radix(size, 16).unwrap() / 2, part.len());

    let (_, read, end) = struck_by(Fault::wire(Wire::Truncate { framing: Framing::Close })).await;
    assert!(end.is_ok() && read.contains("connection: close") && announced(&read).is_none());
    assert!(serde_json::from_str::<serde_json::Value>(body_of(&read)).is_err());
}

#[tokio::test]
async fn an_answer_can_trickle() {
    for part in [Part::Head, Part::Body] {
        let started = Instant::now();
        let (_, read, end) = struck_by(Fault::wire(Wire::Slow { part, ms: 1 })).await;
        assert_eq!(end, Ok(()));
        assert!(started.elapsed() > Duration::from_millis(100), "{part:?}");
        assert_eq!(announced(&read), Some(body_of(&read).len()));
    }
}

#[tokio::test]
async fn a_stall_holds_the_answer_back_and_lets_it_through() {
    for at in [StallPoint::Accept, StallPoint::BeforeCommit, StallPoint::AfterCommit] {
        let started = Instant::now();
        let (world, answer) = answered_with(Fault::stall(at, Duration::from_millis(100))).await;
        assert!(started.elapsed() >= Duration::from_millis(100), "{at:?}");
        assert_eq!((answer.status, commits(&world)), (200, 1));
    }
}

#[tokio::test]
async fn a_body_can_be_giant_and_still_valid() {
    let (_, read, end) = struck_by(Fault::wire(Wire::GiantBody { bytes: 300_000 })).await;
    assert_eq!((end, announced(&read), body_of(&read).len()), (Ok(()), Some(300_000), 300_000));
    assert!(serde_json::from_str::<serde_json::Value>(body_of(&read)).is_ok());
}

#[tokio::test]
async fn a_head_can_be_absurd() {
    let (_, read, _) = struck_by(Fault::wire(Wire::Interim { count: 1000 })).await;
    assert_eq!(read.matches("HTTP/1.1 100 Continue\r\n\r\n").count(), 1000);
    assert!(read.contains("HTTP/1.1 200 OK\r\n"));

    let (_, read, _) = struck_by(Fault::wire(Wire::BulkyHead { headers: 500, bytes: 40 })).await;
    assert_eq!(read.matches(&format!(": {}\r\n", "x".repeat(40))).count(), 500);

    let (_, read, _) = struck_by(Fault::wire(Wire::TwoLengths {})).await;
    assert_eq!(read.matches("content-length: ").count(), 2);
}

#[tokio::test]
async fn parts_of_a_fault_combine() {
    let started = Instant::now();
    let fault =
        Fault::reset(CutPoint::AfterCommit).stalled(StallPoint::AfterCommit, Duration::from_millis(100));
    let (world, _, end) = struck_by(fault).await;
    assert_eq!((end, commits(&world)), (Err(ErrorKind::ConnectionReset), 1));
    assert!(started.elapsed() >= Duration::from_millis(100));
    assert_eq!(world.sandbox.ledger().attempts[0].fault.as_deref(), Some("stall, reset after commit"));
}

#[tokio::test]
async fn a_reused_connection_can_be_reset() {
    let world = World::start().await;
    let rule = FaultRule::new(Fault::reset(CutPoint::BeforeCommit)).skip(1);
    world.sandbox.inject(rule).unwrap();
    let mut client: Client = world.connect().await;
    assert_eq!(client.exchange(&world.create(VOLUME, "t").bytes()).await.status, 200);
    let (read, end) = client.until_it_ends(&world.create(VOLUME, "t").bytes()).await;
    assert_eq!((read.as_str(), end), ("", Err(ErrorKind::ConnectionReset)));
    assert_eq!(world.sandbox.ledger().connections.accepted, 1);
}

#[tokio::test]
async fn a_rule_strikes_only_what_it_chooses() {
    let world = World::start().await;
    let teapot = || FaultRule::new(Fault::status(418, "Teapot", ""));
    let id = world.send(&world.create(VOLUME, "first")).await.text("id");
    let resource = format!("{VOLUME_BACKUPS}/{id}");
    let list = format!("{VOLUME_BACKUPS}?compartmentId=x");
    let rules = [
        (teapot().method("GET"), [200, 418, 418]),
        (teapot().path(VOLUME_BACKUPS), [418, 200, 418]),
        (teapot().path(&resource), [200, 418, 200]),
        (teapot().path_prefix("/20160918/volume"), [418, 418, 418]),
        (teapot().path_prefix("/20160918/boot"), [200, 200, 200]),
        (teapot().retry_token("first"), [418, 200, 200]),
        (teapot().retry_token("second"), [200, 200, 200]),
    ];
    for (rule, wanted) in rules {
        world.sandbox.inject(rule.clone().forever()).unwrap();
        let create = world.send(&world.create(VOLUME, "first")).await.status;
        let seen = [create, world.get(&resource).await.status, world.get(&list).await.status];
        assert_eq!(seen, wanted, "{rule:?}");
        world.sandbox.clear_faults();
    }
}

#[tokio::test]
async fn rules_skip_count_and_give_way_to_the_next() {
    let world = World::start().await;
    let path = format!("{VOLUME_BACKUPS}?compartmentId=x");
    world.sandbox.inject(FaultRule::new(Fault::status(500, "A", "")).skip(1).times(2)).unwrap();
    world.sandbox.inject(FaultRule::new(Fault::status(502, "B", "")).skip(1).forever()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(world.get(&path).await.status);
    }
    assert_eq!(seen, [200, 500, 500, 502, 502, 502]);
    world.sandbox.clear_faults();
    assert_eq!(world.get(&path).await.status, 200);
}

#[tokio::test]
async fn a_request_that_is_not_authenticated_uses_no_rule_up() {
    let world = World::start().await;
    world.inject(Fault::status(503, "ServiceUnavailable", ""));
    let path = format!("{VOLUME_BACKUPS}?compartmentId=x");
    assert_eq!(world.send(&world.request("GET", &path, "").without("authorization")).await.status, 401);
    assert_eq!(world.get(&path).await.status, 503);
}

#[tokio::test]
async fn a_chance_strikes_the_same_requests_again_whatever_comes_between() {
    let tokens: Vec<String> = (0..30).map(|number| format!("token-{number}")).collect();
    let mut runs = Vec::new();
    for backwards in [false, true] {
        let world = World::start().await;
        let rule = FaultRule::new(Fault::status(503, "ServiceUnavailable", ""));
        world.sandbox.inject(rule.forever().chance(50, 1)).unwrap();
        let mut order: Vec<&String> = tokens.iter().chain(&tokens).collect();
        if backwards {
            order.reverse();
        }
        let mut client = world.connect().await;
        for (number, token) in order.into_iter().enumerate() {
            let volume = format!("ocid1.volume.oc1.iad.{token}");
            let refused = client.exchange(&world.create(&volume, token).bytes()).await.status == 503;
            runs.push((backwards, token.clone(), number >= tokens.len(), refused));
        }
    }
    let struck = |backwards| {
        let of = runs.iter().filter(|run| run.0 == backwards && run.3);
        let mut struck: Vec<_> = of.map(|(_, token, again, _)| (token.clone(), *again)).collect();
        struck.sort();
        struck
    };
    assert_eq!(struck(false), struck(true));
    assert!((20..=40).contains(&struck(true).len()), "{:?}", struck(true));
}
