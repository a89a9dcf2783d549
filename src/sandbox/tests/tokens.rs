//! Session tokens where the OCI face meets them.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::client::{Answer, World, identity, verdict};
use super::issuing::{HOUR, TOKEN_LIFE, claims, session_key};
use super::signing::Signed;
use crate::sandbox::{IssuerChange, SessionKind};

/// The reason for which the request is refused.
async fn refusal(world: &World, request: &Signed) -> String {
    let answer = world.send(request).await;
    assert_eq!(answer.verdict(), verdict(401, "NotAuthenticated"));
    assert!(world.sandbox.ledger().commits.is_empty());
    world.sandbox.ledger().attempts.pop().unwrap().refusal.unwrap()
}

async fn status(world: &World, token: &str, key: &str) -> u16 {
    let answer: Answer = world.send(&world.signed_by(token, key)).await;
    answer.status
}

#[tokio::test]
async fn a_session_of_each_kind_signs_calls() {
    let world = World::with_issuers().await;
    assert_eq!(status(&world, &world.token().await, session_key()).await, 200);
    for (kind, subject) in
        [(SessionKind::User, identity().user()), (SessionKind::Resource, "ocid1.computecontainerinstance.")]
    {
        let session = world.issuers().session(kind, HOUR).unwrap();
        assert!(claims(session.token())["sub"].as_str().unwrap().starts_with(subject));
        assert_eq!(format!("{session:?}"), "Session { .. }");
        world.pass(Duration::from_secs(60));
        assert_eq!(
            status(&world, session.token(), &session.private_key_pem().unwrap()).await,
            200,
            "{kind:?}"
        );
    }
}

#[tokio::test]
async fn a_token_is_worth_nothing_with_another_key() {
    let world = World::with_issuers().await;
    let token = world.token().await;
    let stolen = world.signed_by(&token, identity().private_key_pem());
    assert_eq!(refusal(&world, &stolen).await, "the signature does not match the signing string");
}

#[tokio::test]
async fn a_token_ends_with_its_last_second() {
    let world = World::with_issuers().await;
    let token = world.token().await;
    world.pass(TOKEN_LIFE - Duration::from_secs(1));
    assert_eq!(status(&world, &token, session_key()).await, 200);

    let world = World::with_issuers().await;
    let token = world.token().await;
    world.pass(TOKEN_LIFE);
    let late = world.signed_by(&token, session_key());
    assert_eq!(refusal(&world, &late).await, "the token in the key id expired 0 seconds ago");
    world.pass(Duration::from_secs(5));
    let late = world.signed_by(&token, session_key());
    assert_eq!(refusal(&world, &late).await, "the token in the key id expired 5 seconds ago");
}

#[tokio::test]
async fn tokens_live_as_long_as_they_are_told_to() {
    let world = World::with_issuers().await;
    let change = IssuerChange { token_life_seconds: Some(3), ..IssuerChange::default() };
    world.issuers().change(change).unwrap();
    let told = claims(&world.token().await);
    assert_eq!(told["exp"].as_u64().unwrap() - told["iat"].as_u64().unwrap(), 3);
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_a_later_one_taken() {
    let world = World::with_issuers().await;
    let early = world.token().await;
    world.issuers().change(IssuerChange { revoke_tokens: true, ..IssuerChange::default() }).unwrap();
    let late = world.token().await;
    let revoked = world.signed_by(&early, session_key());
    assert_eq!(refusal(&world, &revoked).await, "the token in the key id was revoked");
    assert_eq!(status(&world, &late, session_key()).await, 200);
}

#[tokio::test]
async fn what_the_sandbox_did_not_issue_is_no_token() {
    let world = World::with_issuers().await;
    let token = world.token().await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, body) = signed.split_once('.').unwrap();
    let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut forged = claims(&token);
    forged["exp"] = json!(4_000_000_000_u64);
    let forged = format!("{header}.{}.{signature}", url_safe.encode(forged.to_string()));
    let unsigned = format!("{}.{body}.", url_safe.encode(json!({"alg": "none"}).to_string()));
    let account = world.issuers().service_account_token(HOUR).unwrap();
    let cases = [
        ("", "is not a JWT"),
        ("one.two", "is not a JWT"),
        (STANDARD.encode("one.two.three").as_str(), "is not a JWT"),
        (unsigned.as_str(), "is not signed with RS256"),
        (forged.as_str(), "has a signature that does not fit"),
        (account.as_str(), "has a signature that does not fit"),
    ]
    .map(|(token, why)| (token.to_owned(), why));
    for (token, why) in cases {
        let request = world.signed_by(&token, session_key());
        assert_eq!(refusal(&world, &request).await, format!("the token in the key id {why}"), "{token}");
    }
}

/// The variables of a file, by name.
fn variables(file: &Path) -> BTreeMap<String, String> {
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    let text = std::fs::read_to_string(file).unwrap();
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(pair).collect()
}

/// The content of a file that only its owner reads.
fn private(path: &str) -> String {
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{path}");
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn the_written_files_of_each_way_sign_in() {
    let world = World::with_issuers().await;
    let dir = tempfile::tempdir().unwrap();
    let written = world.sandbox.write_config(dir.path()).unwrap();
    let files = written.issuers.unwrap();
    for (file, auth) in files.all().into_iter().zip([
        "security_token",
        "instance_principal",
        "oke_workload_identity",
        "resource_principal",
    ]) {
        let variables = variables(file);
        assert_eq!(variables["OCI_CLI_AUTH"], auth);
        assert_eq!(variables["OCI_CLI_ENDPOINT"], world.sandbox.endpoint());
        assert_eq!(variables["OCI_CLI_REGION"], "us-ashburn-1");
    }

    let user = variables(&files.security_token);
    assert_eq!(user["OCI_CLI_CONFIG_FILE"], written.config.to_str().unwrap());
    let config = private(&user["OCI_CLI_CONFIG_FILE"]);
    let profile = config.split_once(&format!("\n[{}]\n", user["OCI_CLI_PROFILE"])).unwrap().1;
    let key = |name: &str| profile.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(key("tenancy="), identity().tenancy());
    let (token, pem) = (private(&key("security_token_file=")), private(&key("key_file=")));
    assert_eq!(status(&world, &token, &pem).await, 200);

    let resource = variables(&files.resource_principal);
    assert_eq!(resource["OCI_RESOURCE_PRINCIPAL_VERSION"], "2.2");
    let token = private(&resource["OCI_RESOURCE_PRINCIPAL_RPST"]);
    let pem = private(&resource["OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"]);
    assert_eq!(status(&world, &token, &pem).await, 200);

    let pod = variables(&files.oke_workload_identity);
    assert_eq!(pod["KUBERNETES_SERVICE_HOST"], world.issuers().cluster_addr().to_string());
    let token = private(&pod["OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH"]);
    let authority = std::fs::read_to_string(&pod["OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH"]).unwrap();
    assert_eq!(authority, world.issuers().cluster_authority_pem());
    assert_eq!(world.cluster(&format!("Bearer {token}"), &json!({})).await.status, 400, "no key, no more");

    let instance = variables(&files.instance_principal);
    assert_eq!(instance["OCI_METADATA_BASE_URL"], world.issuers().metadata_url());
    assert_eq!(instance["OCI_SDK_AUTH_CLIENT_REGION_URL"], world.issuers().federation_url());
}

#[tokio::test]
async fn without_issuers_no_token_is_known() {
    let issuing = World::with_issuers().await;
    let token = issuing.token().await;
    let world = World::start().await;
    let request = world.signed_by(&token, session_key());
    assert_eq!(refusal(&world, &request).await, "the key id is a token, and there are no issuers");
}
