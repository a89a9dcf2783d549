//! Backups: what a create says, how they age, lists, changes.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Answer, STAGE, VOLUME, VOLUME_BACKUPS, World, verdict};

const BOOT_VOLUME_BACKUPS: &str = "/20160918/bootVolumeBackups";

async fn create(world: &World, path: &str, body: Value) -> Answer {
    world.send(&world.request("POST", path, &body.to_string())).await
}

#[tokio::test]
async fn a_created_volume_backup_has_every_field_that_oci_fills() {
    let world = World::start().await;
    let answer = create(&world, VOLUME_BACKUPS, json!({"volumeId": VOLUME})).await;

    assert_eq!(answer.status, 200);
    assert!(answer.header("etag").is_some());
    assert_eq!(answer.header("date"), Some("Fri, 15 Jan 2027 08:00:00 GMT"));
    let mut fields = answer.json();
    let id = fields["id"].take();
    assert!(id.as_str().unwrap().starts_with("ocid1.volumebackup.oc1.iad."), "{id}");
    let wanted = json!({
        "compartmentId": world.sandbox.identity().tenancy(),
        "definedTags": {}, "freeformTags": {}, "systemTags": {},
        "displayName": "volumebackup20270115080000",
        "expirationTime": null, "kmsKeyId": null, "sourceVolumeBackupId": null, "volumeGroupBackupId": null,
        "retentionPeriod": null, "timeRetentionExpiresAt": null,
        "isIndefiniteRetentionEnabled": false, "isPreventDeletionEnabled": false, "isRetentionLockEnabled": false,
        "id": null,
        "lifecycleState": "REQUEST_RECEIVED",
        "sizeInGBs": 50, "sizeInMBs": 51200, "uniqueSizeInGBs": 1, "uniqueSizeInMbs": 1024,
        "sourceType": "MANUAL",
        "timeCreated": "2027-01-15T08:00:00.000Z", "timeRequestReceived": "2027-01-15T08:00:00.000Z",
        "type": "INCREMENTAL",
        "volumeId": VOLUME,
    });
    assert_eq!(fields, wanted);
}

#[tokio::test]
async fn a_boot_volume_backup_has_no_megabytes() {
    let world = World::start().await;
    let answer =
        create(&world, BOOT_VOLUME_BACKUPS, json!({"bootVolumeId": "ocid1.bootvolume.oc1.iad.b"})).await;

    assert_eq!(answer.status, 200);
    let fields = answer.json();
    assert!(answer.text("id").starts_with("ocid1.bootvolumebackup.oc1.iad."));
    let sizes: Vec<&String> =
        fields.as_object().unwrap().keys().filter(|name| name.to_lowercase().contains("size")).collect();
    assert_eq!(sizes, ["sizeInGBs", "uniqueSizeInGBs"]);
    assert!(fields.as_object().unwrap().contains_key("imageId"));
}

#[tokio::test]
async fn what_was_said_on_create_is_echoed() {
    let world = World::start().await;
    let said = json!({
        "volumeId": VOLUME, "displayName": "näme", "type": "FULL", "kmsKeyId": "ocid1.key.oc1.iad.k",
        "freeformTags": {"a": "b"}, "definedTags": {"ns": {"n": 42, "s": "t"}},
        "retentionPeriod": {"retentionTimeUnit": "DAYS", "retentionTimeAmount": 3},
        "isPreventDeletionEnabled": true, "isRetentionLockEnabled": true, "isIndefiniteRetentionEnabled": false,
    });
    let shown = create(&world, VOLUME_BACKUPS, said.clone()).await.json();
    for (name, value) in said.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name}");
    }
}

#[tokio::test]
async fn a_body_that_oci_would_refuse_is_refused() {
    let world = World::start().await;
    let cases = [
        ("{", "CannotParseRequest"),
        ("[]", "CannotParseRequest"),
        ("{}", "MissingParameter"),
        (r#"{"volumeId":null}"#, "MissingParameter"),
        (r#"{"volumeId":"nothing"}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.bootvolume.oc1.iad.b"}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","colour":"red"}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","displayName":7}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","type":"HALF"}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","freeformTags":{"a":1}}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","definedTags":{"a":"b"}}"#, "InvalidParameter"),
        (r#"{"volumeId":"ocid1.volume.oc1.iad.a","isRetentionLockEnabled":"yes"}"#, "InvalidParameter"),
        (
            r#"{"volumeId":"ocid1.volume.oc1.iad.a","retentionPeriod":{"retentionTimeUnit":"DAYS"}}"#,
            "InvalidParameter",
        ),
    ];
    for (body, code) in cases {
        let answer = world.send(&world.request("POST", VOLUME_BACKUPS, body)).await;
        assert_eq!(answer.verdict(), verdict(400, code), "{body}");
    }
    assert!(world.sandbox.ledger().commits.is_empty());
}

#[tokio::test]
async fn a_volume_called_missing_is_not_found() {
    let world = World::start().await;
    let answer = create(&world, VOLUME_BACKUPS, json!({"volumeId": "ocid1.volume.oc1.iad.missing7"})).await;
    assert_eq!(answer.verdict(), verdict(404, "NotAuthorizedOrNotFound"));
}

#[tokio::test]
async fn a_backup_ages_stage_by_stage() {
    let world = World::start().await;
    let id = create(&world, VOLUME_BACKUPS, json!({"volumeId": VOLUME})).await.text("id");
    let path = format!("{VOLUME_BACKUPS}/{id}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(world.get(&path).await.text("lifecycleState"));
        world.pass(STAGE);
    }
    assert_eq!(world.send(&world.request("DELETE", &path, "")).await.status, 204);
    for _ in 0..2 {
        seen.push(world.get(&path).await.text("lifecycleState"));
        world.pass(STAGE);
    }
    assert_eq!(seen, ["REQUEST_RECEIVED", "CREATING", "AVAILABLE", "TERMINATING", "TERMINATED"]);
}

#[tokio::test]
async fn a_second_backup_of_a_volume_waits_for_the_first() {
    let world = World::start().await;
    let body = json!({"volumeId": VOLUME});
    assert_eq!(create(&world, VOLUME_BACKUPS, body.clone()).await.status, 200);
    assert_eq!(
        create(&world, VOLUME_BACKUPS, json!({"volumeId": "ocid1.volume.oc1.iad.two"})).await.status,
        200
    );
    world.pass(STAGE * 2 - Duration::from_millis(1));
    assert_eq!(create(&world, VOLUME_BACKUPS, body.clone()).await.verdict(), verdict(409, "Conflict"));
    world.pass(Duration::from_millis(1));
    assert_eq!(create(&world, VOLUME_BACKUPS, body).await.status, 200);
}

#[tokio::test]
async fn a_backup_is_found_only_under_its_own_resource() {
    let world = World::start().await;
    let id = create(&world, VOLUME_BACKUPS, json!({"volumeId": VOLUME})).await.text("id");
    assert_eq!(world.get(&format!("{VOLUME_BACKUPS}/{id}")).await.text("id"), id);
    let elsewhere = world.get(&format!("{BOOT_VOLUME_BACKUPS}/{id}")).await;
    assert_eq!(elsewhere.verdict(), verdict(404, "NotAuthorizedOrNotFound"));
}

#[tokio::test]
async fn what_is_no_operation_is_told_from_what_is_no_method() {
    let world = World::start().await;
    for path in [
        "/",
        "/20160918/volumes",
        "/20160918/volumeBackups/a/b",
        "/20160918/volumeBackups/",
        "/volumeBackups",
    ] {
        assert_eq!(world.get(path).await.verdict(), verdict(404, "NotFound"), "{path}");
    }
    for (method, path) in
        [("DELETE", VOLUME_BACKUPS), ("POST", "/20160918/volumeBackups/x"), ("PUT", VOLUME_BACKUPS)]
    {
        let answer = world.send(&world.request(method, path, "")).await;
        assert_eq!(answer.verdict(), verdict(405, "MethodNotAllowed"), "{method} {path}");
    }
}

#[tokio::test]
async fn a_change_under_if_match_needs_the_current_etag() {
    let world = World::start().await;
    let created =
        create(&world, VOLUME_BACKUPS, json!({"volumeId": VOLUME, "freeformTags": {"a": "1", "b": "2"}}))
            .await;
    let path = format!("{VOLUME_BACKUPS}/{}", created.text("id"));
    let first = created.header("etag").unwrap();
    let put =
        |etag: &str, body: Value| world.request("PUT", &path, &body.to_string()).header("if-match", etag);

    let updated = world.send(&put(first, json!({"displayName": "new", "freeformTags": {"c": "3"}}))).await;
    assert_eq!((updated.status, updated.text("displayName").as_str()), (200, "new"));
    assert_eq!(updated.json()["freeformTags"], json!({"c": "3"}), "a tag map is replaced whole");
    let second = updated.header("etag").unwrap();
    assert_ne!(first, second);

    assert_eq!(world.send(&put(first, json!({}))).await.verdict(), verdict(412, "NoEtagMatch"));
    let delete = |etag: &str| world.request("DELETE", &path, "").header("if-match", etag);
    assert_eq!(world.send(&delete(first)).await.verdict(), verdict(412, "NoEtagMatch"));
    assert_eq!(world.send(&delete(second)).await.status, 204);
    assert_eq!(world.send(&delete(second)).await.verdict(), verdict(404, "NotAuthorizedOrNotFound"));
    assert_eq!(world.send(&put(second, json!({}))).await.verdict(), verdict(404, "NotAuthorizedOrNotFound"));
    let operations: Vec<String> =
        world.sandbox.ledger().commits.into_iter().map(|entry| entry.operation).collect();
    assert_eq!(operations, ["create", "update", "delete"]);
}

#[tokio::test]
async fn an_update_takes_no_field_of_create() {
    let world = World::start().await;
    let id = create(&world, VOLUME_BACKUPS, json!({"volumeId": VOLUME})).await.text("id");
    let put = world.request("PUT", &format!("{VOLUME_BACKUPS}/{id}"), r#"{"type":"FULL"}"#);
    assert_eq!(world.send(&put).await.verdict(), verdict(400, "InvalidParameter"));
}

/// Three backups a second apart: `b` (deleted), `a`, `c`.
async fn three(world: &World) {
    for name in ["b", "a", "c"] {
        let body = json!({"volumeId": format!("ocid1.volume.oc1.iad.{name}"), "displayName": name});
        let id = create(world, VOLUME_BACKUPS, body).await.text("id");
        if name == "b" {
            world.send(&world.request("DELETE", &format!("{VOLUME_BACKUPS}/{id}"), "")).await;
        }
        world.pass(Duration::from_secs(1));
    }
}

fn list_path(world: &World, query: &str) -> String {
    format!("{VOLUME_BACKUPS}?compartmentId={}{query}", world.sandbox.identity().tenancy())
}

fn names(page: &Answer) -> Vec<String> {
    let page = page.json();
    page.as_array().unwrap().iter().map(|backup| backup["displayName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_is_filtered_and_sorted() {
    let world = World::start().await;
    three(&world).await;
    let cases: [(&str, &[&str]); 11] = [
        ("", &["c", "a", "b"]),
        ("&sortBy=TIMECREATED&sortOrder=ASC", &["b", "a", "c"]),
        ("&sortBy=DISPLAYNAME", &["a", "b", "c"]),
        ("&sortBy=DISPLAYNAME&sortOrder=DESC", &["c", "b", "a"]),
        ("&displayName=a", &["a"]),
        ("&displayName=%61", &["a"]),
        ("&displayName=A", &[]),
        ("&lifecycleState=terminating", &["b"]),
        ("&volumeId=ocid1.volume.oc1.iad.c", &["c"]),
        ("&sourceVolumeBackupId=ocid1.volumebackup.oc1.iad.x", &[]),
        ("x", &[]),
    ];
    for (query, wanted) in cases {
        assert_eq!(names(&world.get(&list_path(&world, query)).await), wanted, "{query}");
    }
    let boot = list_path(&world, "").replace("volumeBackups", "bootVolumeBackups");
    assert_eq!(world.get(&boot).await.json(), json!([]));
}

#[tokio::test]
async fn a_list_is_paged_without_loss_when_entries_come_and_change() {
    let world = World::start().await;
    three(&world).await;
    let first = world.get(&list_path(&world, "&limit=1")).await;
    assert_eq!(names(&first), ["c"]);
    three(&world).await;
    let token = first.header("opc-next-page").unwrap();
    let second = world.get(&list_path(&world, &format!("&limit=1&page={token}"))).await;
    assert_eq!(names(&second), ["a"]);
    let token = second.header("opc-next-page").unwrap();
    let last = world.get(&list_path(&world, &format!("&limit=1&page={token}"))).await;
    assert_eq!((names(&last), last.header("opc-next-page")), (vec!["b".to_owned()], None));
}

#[tokio::test]
async fn a_list_refuses_what_it_does_not_know() {
    let world = World::start().await;
    assert_eq!(world.get(VOLUME_BACKUPS).await.verdict(), verdict(400, "MissingParameter"));
    let bad = [
        "limit=0",
        "limit=1001",
        "limit=x",
        "page=0",
        "page=zz",
        "sortBy=AGE",
        "sortOrder=UP",
        "lifecycleState=OLD",
        "colour=red",
        "displayName=%zz",
        "limit=1&limit=2",
    ];
    for query in bad {
        let answer = world.get(&list_path(&world, &format!("&{query}"))).await;
        assert_eq!(answer.verdict(), verdict(400, "InvalidParameter"), "{query}");
    }
}
