//! One token, one backup.

use std::time::Duration;

use super::client::{STAGE, VOLUME, VOLUME_BACKUPS, World, verdict};
use crate::sandbox::request::RawRequest;
use crate::sandbox::{Fault, StallPoint};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn the_same_token_and_body_give_the_same_backup_as_it_is_now() {
    let world = World::start().await;
    let first = world.send(&world.create(VOLUME, "t")).await;
    world.pass(STAGE);
    let again = world.send(&world.create(VOLUME, "t")).await;

    assert_eq!((first.status, again.status), (200, 200));
    assert_eq!(first.text("id"), again.text("id"));
    assert_eq!(again.text("lifecycleState"), "CREATING");
    let ledger = world.sandbox.ledger();
    assert_eq!(ledger.commits.len(), 1);
    assert_eq!(ledger.commits_per_token["t"], 1);
    assert_eq!(ledger.attempts.len(), 2);
}

#[tokio::test]
async fn a_token_with_another_body_or_path_is_invalidated() {
    let world = World::start().await;
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.status, 200);
    let other = world.create("ocid1.volume.oc1.iad.two", "t");
    assert_eq!(world.send(&other).await.verdict(), verdict(409, "InvalidatedRetryToken"));
    let spaced = world
        .request("POST", VOLUME_BACKUPS, &format!(r#"{{"volumeId": "{VOLUME}"}}"#))
        .header("opc-retry-token", "t");
    assert_eq!(world.send(&spaced).await.verdict(), verdict(409, "InvalidatedRetryToken"));
    let boot = r#"{"bootVolumeId":"ocid1.bootvolume.oc1.iad.b"}"#;
    let boot = world.request("POST", "/20160918/bootVolumeBackups", boot).header("opc-retry-token", "t");
    assert_eq!(world.send(&boot).await.verdict(), verdict(409, "InvalidatedRetryToken"));
}

#[test]
fn the_same_body_to_another_path_is_other_content() {
    let content = |target: &str| {
        let request = RawRequest {
            method: http::Method::POST,
            target: target.to_owned(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            unread: None,
            body_sha256: [7; 32],
        };
        request.content()
    };
    assert_ne!(content("/a"), content("/b"));
    assert_eq!(content("/a"), content("/a?query"));
}

#[tokio::test]
async fn a_token_dies_with_its_backup() {
    let world = World::start().await;
    let id = world.send(&world.create(VOLUME, "t")).await.text("id");
    world.send(&world.request("DELETE", &format!("{VOLUME_BACKUPS}/{id}"), "")).await;
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.verdict(), verdict(409, "InvalidatedRetryToken"));
}

#[tokio::test]
async fn a_token_is_forgotten_after_a_day() {
    let world = World::start().await;
    let first = world.send(&world.create(VOLUME, "t")).await.text("id");
    world.pass(DAY - Duration::from_millis(1));
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.text("id"), first);
    world.pass(Duration::from_millis(1));
    let later = world.send(&world.create(VOLUME, "t")).await;
    assert_eq!(later.status, 200);
    assert_ne!(later.text("id"), first);
}

#[tokio::test]
async fn a_token_whose_first_request_is_in_flight_is_an_incorrect_state() {
    let world = World::start().await;
    world.inject(Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(1)));
    let (first, second) = (world.create(VOLUME, "t"), world.create(VOLUME, "t"));
    let (first, second) = tokio::join!(world.send(&first), async {
        world.until_struck().await;
        world.send(&second).await
    });
    assert_eq!(second.verdict(), verdict(409, "IncorrectState"));
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.text("id"), first.text("id"));
}

#[tokio::test]
async fn a_token_whose_backup_is_committed_but_not_answered_gives_that_backup() {
    let world = World::start().await;
    world.inject(Fault::stall(StallPoint::AfterCommit, Duration::from_secs(1)));
    let (first, second) = (world.create(VOLUME, "t"), world.create(VOLUME, "t"));
    let (first, second) = tokio::join!(world.send(&first), async {
        world.until_struck().await;
        world.send(&second).await
    });
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.text("id"), second.text("id"));
}

#[tokio::test]
async fn a_refused_create_leaves_its_token_free() {
    let world = World::start().await;
    assert_eq!(world.send(&world.create(VOLUME, "first")).await.status, 200);
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.verdict(), verdict(409, "Conflict"));
    world.pass(STAGE * 2);
    assert_eq!(world.send(&world.create(VOLUME, "t")).await.status, 200);
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_the_create() {
    let world = World::start().await;
    world.inject(Fault::stall(StallPoint::BeforeCommit, Duration::from_millis(100)));
    let mut client = world.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut client.0, &world.create(VOLUME, "t").bytes()).await.unwrap();
    world.until_struck().await;
    drop(client);
    while world.sandbox.ledger().commits.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(world.sandbox.ledger().commits_per_token["t"], 1);
}

#[tokio::test]
async fn a_token_of_no_or_too_many_characters_is_refused() {
    let world = World::start().await;
    for token in [String::new(), "x".repeat(65), "ä".to_owned()] {
        let answer = world.send(&world.create(VOLUME, &token)).await;
        assert_eq!(answer.verdict(), verdict(400, "InvalidParameter"), "{token:?}");
    }
    let twice = world.create(VOLUME, "a").header("opc-retry-token", "a");
    assert_eq!(world.send(&twice).await.verdict(), verdict(400, "InvalidParameter"));
    assert_eq!(world.send(&world.create(VOLUME, &"x".repeat(64))).await.status, 200);
}
