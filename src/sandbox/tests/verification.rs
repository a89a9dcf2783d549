//! One wrong byte, one missing header, one wrong minute: refused, each by name.

use std::time::Duration;

use super::client::{VOLUME, VOLUME_BACKUPS, World, verdict};
use super::signing::{BODY_HEADERS, Signed, unsigned};

const ALL: [&str; 6] =
    ["date", "(request-target)", "host", "content-length", "content-type", "x-content-sha256"];

fn body() -> String {
    format!(r#"{{"volumeId":"{VOLUME}"}}"#)
}

/// The message with which `request` is refused.
async fn refusal(world: &World, request: &Signed) -> String {
    let answer = world.send(request).await;
    assert_eq!(answer.verdict(), verdict(401, "NotAuthenticated"));
    assert!(answer.header("date").is_some() && answer.header("opc-request-id").is_some());
    let last = world.sandbox.ledger().attempts.pop().unwrap();
    assert!(last.refusal.is_some_and(|refusal| answer.text("message").contains(&refusal)));
    assert!(world.sandbox.ledger().commits.is_empty());
    answer.text("message").replace("Not authenticated: ", "")
}

fn flip_last(value: &str) -> String {
    let (rest, last) = value.split_at(value.len() - 1);
    format!("{rest}{}", if last == "x" { "y" } else { "x" })
}

#[tokio::test]
async fn a_right_request_is_accepted() {
    let world = World::start().await;
    assert_eq!(world.send(&world.request("POST", VOLUME_BACKUPS, &body())).await.status, 200);
    let read = format!("{VOLUME_BACKUPS}?compartmentId=x&displayName=a+b%2Fc%20d");
    assert_eq!(world.get(&read).await.status, 200);
    assert!(world.sandbox.ledger().attempts.iter().all(|attempt| attempt.refusal.is_none()));
}

#[tokio::test]
async fn a_flipped_byte_in_any_signed_part_is_refused() {
    let world = World::start().await;
    let right = || world.request("POST", VOLUME_BACKUPS, &body());
    let mismatch = "the signature does not match the signing string.";

    let other_date = httpdate::fmt_http_date(world.now() + Duration::from_secs(1));
    assert_eq!(refusal(&world, &right().alter("date", |_| other_date)).await, mismatch);
    assert_eq!(refusal(&world, &right().alter("host", flip_last)).await, mismatch);
    assert_eq!(refusal(&world, &right().alter("content-type", flip_last)).await, mismatch);
    let hash = refusal(&world, &right().alter("x-content-sha256", |hash| format!("x{}", &hash[1..]))).await;
    assert_eq!(hash, "x-content-sha256 is not the hash of the body.");

    for target in ["/20160918/volumeBackupt", "/20160918/volumeBackups?", "/20160918/volumeBackups?a=b"] {
        let mut request = right();
        request.target = target.to_owned();
        assert_eq!(refusal(&world, &request).await, mismatch, "{target}");
    }
    let mut request = right();
    request.method = "PUT".to_owned();
    assert_eq!(refusal(&world, &request).await, mismatch);

    let mut request = right();
    request.body[2] ^= 1;
    assert_eq!(refusal(&world, &request).await, "x-content-sha256 is not the hash of the body.");
    let mut longer = right().alter("content-length", |length| format!("0{length}"));
    assert!(refusal(&world, &longer).await.starts_with("content-length is \"0"));
    longer = right().alter("content-length", |length| (length.parse::<usize>().unwrap() + 1).to_string());
    longer.body.push(b' ');
    assert_eq!(refusal(&world, &longer).await, "x-content-sha256 is not the hash of the body.");
}

#[tokio::test]
async fn a_content_length_other_than_the_signed_one_is_refused() {
    let world = World::start().await;
    // The hash fits the longer body, so that the signature alone stands against it.
    let longer = format!("{} ", body());
    let host = world.sandbox.oci_addr().to_string();
    let mut request = unsigned("POST", VOLUME_BACKUPS, &host, &longer, world.now());
    let true_length = longer.len().to_string();
    request = request.alter("content-length", |_| body().len().to_string());
    request.authorize(&ALL);
    let request = request.alter("content-length", |_| true_length);
    assert_eq!(refusal(&world, &request).await, "the signature does not match the signing string.");
}

#[tokio::test]
async fn a_query_is_signed_byte_for_byte() {
    let world = World::start().await;
    let mut request = world.request("GET", &format!("{VOLUME_BACKUPS}?compartmentId=a%2Fb"), "");
    request.target = format!("{VOLUME_BACKUPS}?compartmentId=a/b");
    assert_eq!(refusal(&world, &request).await, "the signature does not match the signing string.");
}

#[tokio::test]
async fn a_wrong_authorization_header_is_refused() {
    let world = World::start().await;
    let right = || world.request("POST", VOLUME_BACKUPS, &body());
    let altered = |from: &'static str, to: &'static str| {
        right().alter("authorization", |value| value.replace(from, to))
    };

    let signature = right().alter("authorization", |value| {
        let at = value.find("signature=\"").unwrap() + 20;
        let other = if value.as_bytes()[at] == b'A' { "B" } else { "A" };
        format!("{}{other}{}", &value[..at], &value[at + 1..])
    });
    assert_eq!(refusal(&world, &signature).await, "the signature does not match the signing string.");
    assert!(refusal(&world, &altered("keyId=\"ocid1", "keyId=\"ocid2")).await.starts_with("key id \"ocid2"));
    assert_eq!(
        refusal(&world, &altered("rsa-sha256", "rsa-sha1")).await,
        "algorithm \"rsa-sha1\" is not rsa-sha256."
    );
    assert_eq!(refusal(&world, &altered("version=\"1\"", "version=\"2\"")).await, "version \"2\" is not 1.");
    assert_eq!(
        refusal(&world, &altered("version=\"1\",", "")).await,
        "the authorization header has no version."
    );
    assert_eq!(
        refusal(&world, &altered("algorithm=\"rsa-sha256\",", "")).await,
        "the authorization header has no algorithm."
    );
    let twice = altered("version=\"1\",", "version=\"1\",version=\"1\",");
    assert_eq!(refusal(&world, &twice).await, "the authorization header has version more than once.");
    assert_eq!(
        refusal(&world, &altered("signature=\"", "signature=\"*")).await,
        "the signature is not base64."
    );
    for unreadable in
        ["Signature", "Bearer x", "Signature version=1", "Signature version=\"1", "Signature version=\"1\" x"]
    {
        let request = right().alter("authorization", |_| unreadable.to_owned());
        assert!(
            refusal(&world, &request).await.starts_with("the authorization header cannot be read"),
            "{unreadable}"
        );
    }
    assert_eq!(refusal(&world, &right().without("authorization")).await, "header authorization is missing.");
    let value = right().value("authorization").to_owned();
    let doubled = right().header("authorization", &value);
    assert_eq!(refusal(&world, &doubled).await, "header authorization is there more than once.");
}

#[tokio::test]
async fn attributes_may_come_in_any_order_and_names_in_any_case() {
    let world = World::start().await;
    let host = world.sandbox.oci_addr().to_string();
    let mut request = unsigned("POST", VOLUME_BACKUPS, &host, &body(), world.now());
    let date = request.value("date").to_owned();
    request = request.without("date").header("x-date", &date);
    let order = ["x-date", "(request-target)", "host", "Content-Type", "Content-Length", "x-content-sha256"];
    let signature = request.signature(&order);
    let value = format!(
        r#"Signature signature="{signature}",algorithm="rsa-sha256", keyId="{}",headers="{}",version="1""#,
        Signed::key_id(),
        order.join(" "),
    );
    assert_eq!(world.send(&request.header("authorization", &value)).await.status, 200);
}

#[tokio::test]
async fn an_x_date_is_judged_like_a_date() {
    let world = World::start().await;
    let host = world.sandbox.oci_addr().to_string();
    let stale = httpdate::fmt_http_date(world.now() - Duration::from_secs(301));
    let mut request = unsigned("GET", VOLUME_BACKUPS, &host, "", world.now()).header("x-date", &stale);
    request.authorize(&["x-date", "(request-target)", "host"]);
    assert_eq!(refusal(&world, &request).await, "x-date is 301 seconds off; 300 are allowed.");
}

#[tokio::test]
async fn each_header_that_must_be_signed_is_missed() {
    let world = World::start().await;
    let host = world.sandbox.oci_addr().to_string();
    for missing in ALL {
        let names: Vec<&str> = ALL.into_iter().filter(|name| *name != missing).collect();
        let mut request = unsigned("POST", VOLUME_BACKUPS, &host, &body(), world.now());
        request.authorize(&names);
        assert_eq!(refusal(&world, &request).await, format!("{missing} is not signed."));
    }
    for missing in ALL.into_iter().filter(|name| !BODY_HEADERS.contains(name)) {
        let names: Vec<&str> =
            ["date", "(request-target)", "host"].into_iter().filter(|name| *name != missing).collect();
        let mut request = unsigned("GET", VOLUME_BACKUPS, &host, "", world.now());
        request.authorize(&names);
        assert_eq!(refusal(&world, &request).await, format!("{missing} is not signed."));
    }
}

#[tokio::test]
async fn each_signed_header_must_be_sent_once() {
    let world = World::start().await;
    for name in ["date", "host", "content-type", "x-content-sha256"] {
        let right = world.request("POST", VOLUME_BACKUPS, &body());
        assert_eq!(refusal(&world, &right.clone().without(name)).await, format!("header {name} is missing."));
        let value = right.value(name).to_owned();
        let doubled = right.header(name, &value);
        assert_eq!(refusal(&world, &doubled).await, format!("header {name} is there more than once."));
    }
    let mut request = unsigned("GET", VOLUME_BACKUPS, "h", "", world.now());
    request.authorize(&["date", "(request-target)", "host", "date"]);
    assert_eq!(refusal(&world, &request).await, "headers= names \"date\" more than once.");
}

#[tokio::test]
async fn a_body_without_a_length_is_refused() {
    let world = World::start().await;
    let mut request = world.request("POST", VOLUME_BACKUPS, &body()).without("content-length");
    request = request.header("transfer-encoding", "chunked");
    request.body = format!("{:x}\r\n{}\r\n0\r\n\r\n", body().len(), body()).into_bytes();
    assert_eq!(refusal(&world, &request).await, "header content-length is missing.");
}

#[tokio::test]
async fn a_date_more_than_five_minutes_off_is_refused_either_way() {
    let world = World::start().await;
    let host = world.sandbox.oci_addr().to_string();
    let limit = Duration::from_secs(300);
    let second = Duration::from_secs(1);
    let signed_at =
        |date| super::signing::sign("GET", "/20160918/volumeBackups?compartmentId=x", &host, "", date);

    for date in [world.now() - limit, world.now() + limit] {
        assert_eq!(world.send(&signed_at(date)).await.status, 200);
    }
    for date in [world.now() - limit - second, world.now() + limit + second] {
        assert_eq!(refusal(&world, &signed_at(date)).await, "date is 301 seconds off; 300 are allowed.");
    }
    for date in ["yesterday", "2027-01-15T08:00:00Z", "Fri Jan 15 08:00:00 2027"] {
        let mut request =
            unsigned("GET", VOLUME_BACKUPS, &host, "", world.now()).alter("date", |_| date.to_owned());
        request.authorize(&["date", "(request-target)", "host"]);
        assert_eq!(refusal(&world, &request).await, "date is not an HTTP date.");
    }
}

#[tokio::test]
async fn keys_are_rotated_one_beside_the_other() {
    let world = World::start().await;
    let next = super::client::identity().rotated().unwrap();
    let sign = || {
        let host = world.sandbox.oci_addr().to_string();
        let target = format!("{VOLUME_BACKUPS}?compartmentId=x");
        let mut request = unsigned("GET", &target, &host, "", world.now());
        let key_id = format!("{}/{}/{}", next.tenancy(), next.user(), next.fingerprint());
        request.authorize_as(&["date", "(request-target)", "host"], &key_id, next.private_key_pem());
        request
    };
    assert!(refusal(&world, &sign()).await.ends_with("is not known."));
    world.sandbox.accept(&next);
    assert_eq!(world.send(&sign()).await.status, 200);
    assert_eq!(world.get(&format!("{VOLUME_BACKUPS}?compartmentId=x")).await.status, 200);
    world.sandbox.refuse(&super::client::identity());
    let old = world.request("GET", &format!("{VOLUME_BACKUPS}?compartmentId=x"), "");
    assert!(refusal(&world, &old).await.ends_with("is not known."));
    assert_eq!(world.send(&sign()).await.status, 200);
}
