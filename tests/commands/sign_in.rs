//! Every way in which OCI lets a service sign in, through the program: each works, keeps working, and says what is
//! wrong when it does not.

use crate::leaks;
use crate::leaks::Secret;
use crate::process::Program;
use crate::process::Running;
use crate::process::program;
use crate::serve::create;
use crate::upstream::Upstream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::ClusterType;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Framing;
use oci_backup_gateway::sandbox::IssuerChange;
use oci_backup_gateway::sandbox::NewCertificate;
use oci_backup_gateway::sandbox::Session;
use oci_backup_gateway::sandbox::SessionKind;
use oci_backup_gateway::sandbox::StallPoint;
use oci_backup_gateway::sandbox::Wire;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tonic::Code;
use tonic_types::StatusExt;

const WAYS: [&str; 4] =
    ["security-token", "instance-principal", "oke-workload-identity", "resource-principal"];
const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const VOLUME: &str = "ocid1.volume.oc1.iad.one";

/// A proxy that is not there, so that nothing leaves for OCI itself.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) fn serve() -> Program {
    program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0")
}

/// A page of the admin listener: its status and its text.
pub(crate) async fn page(serve: &mut Running, path: &str) -> (u16, String) {
    let address = serve.logged("listening")["admin_address"].as_str().unwrap().to_owned();
    let mut admin = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    admin.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    admin.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Waits until the process is ready, or not, and says why.
pub(crate) async fn readiness(serve: &mut Running, status: u16) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let (is, said) = page(serve, "/readyz").await;
        if is == status {
            return said;
        }
        assert!(Instant::now() < end, "{said}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The figure of a metric.
pub(crate) async fn metric(serve: &mut Running, name: &str) -> Option<u64> {
    let (_, text) = page(serve, "/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// How long until a create succeeds.
pub(crate) async fn served_after(address: SocketAddr) -> Duration {
    let began = Instant::now();
    while create(address, VOLUME).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "not served");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// Puts a new file into the place of another, as tools do that know what they do.
fn replace(path: &str, content: &str) {
    let new = format!("{path}.new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn replace_session(dir: &str, session: &Session) {
    replace(&format!("{dir}/key.pem"), &session.private_key_pem().unwrap());
    replace(&format!("{dir}/token"), session.token());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_signs_in_by_the_variables_of_the_sdks() {
    let upstream = Upstream::with_issuers().await;
    for way in WAYS {
        let checked = upstream.sign_in_by(way, program("check")).run();
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{way}: {checked:?}");
        let name = way.replace('-', "_");
        assert!(
            checked.stdout.starts_with(&format!("auth         {name} (from OCI_CLI_AUTH)\n")),
            "{checked:?}"
        );
        for line in [
            "\ncredential   ",
            "\ntenancy      ocid1.tenancy.",
            "\nexpires      ",
            "\nregion       us-ashburn-1\n",
            "\nclock        within 2 s of OCI's\n",
        ] {
            assert!(checked.stdout.contains(line), "{way}: {line} is not in {}", checked.stdout);
        }
        let kind = match way {
            "security-token" => "user         ocid1.user.",
            "instance-principal" => "instance     ocid1.instance.",
            "oke-workload-identity" => "workload     system:",
            _ => "resource     ocid1.",
        };
        println!("{}", checked.stdout);
        assert!(checked.stdout.contains(kind), "{way}: {}", checked.stdout);
        let mut serve = upstream.sign_in_by(way, serve()).start();
        let address = serve.address();
        create(address, VOLUME).await.unwrap();
        assert!(
            metric(&mut serve, "gateway_credential_expiry_timestamp_seconds").await.unwrap() > 1_700_000_000
        );
        assert_eq!(metric(&mut serve, "gateway_credential_refresh_failures_total").await, Some(0));
        let limits = serve.proc("limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).collect::<Vec<_>>(), ["0", "0", "bytes"], "{core}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_names_no_tenancy_is_shown_to_oci_all_the_same() {
    let upstream = Upstream::with_issuers().await;
    let nobodys = NewCertificate { tenancy: Some("nobody".to_owned()), ..NewCertificate::default() };
    let change = IssuerChange { certificate: Some(nobodys), ..IssuerChange::default() };
    upstream.issuers().change(change).unwrap();
    let session = upstream.issuers().session(SessionKind::Resource, HOUR).unwrap();
    replace_session(&upstream.path("resource-principal"), &session);
    let checked = upstream.sign_in_by("resource-principal", program("check")).run();
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
    let said = "\nOCI          takes the credential; the token does not say in which tenancy,\n";
    assert!(checked.stdout.contains(said) && !checked.stdout.contains("\ntenancy"), "{checked:?}");
    assert!(checked.stdout.contains("\nclock        within 2 s of OCI's\n"), "{checked:?}");
    let revoked = IssuerChange { revoke_tokens: true, ..IssuerChange::default() };
    upstream.issuers().change(revoked).unwrap();
    let checked = upstream.sign_in_by("resource-principal", program("check")).run();
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.stdout.contains("\nOCI          refuses the credential (HTTP 401)\n"), "{checked:?}");
}

/// `http://[fd00:c1::a9fe:a9fe]/opc/v2` is where an instance without IPv4 finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_service_over_ipv6_is_asked_at_its_address_in_brackets() {
    let loopback = std::net::Ipv6Addr::LOCALHOST;
    if TcpListener::bind((loopback, 0)).await.is_err() {
        println!("not tried: this machine has no IPv6");
        return;
    }
    let upstream = Upstream::with_issuers_on(loopback.into()).await;
    assert!(upstream.issuers().metadata_url().starts_with("http://[::1]:"));
    for slash in ["", "/"] {
        let program = upstream.sign_in_by("instance-principal", program("check"));
        let url = format!("{}{slash}", upstream.issuers().metadata_url());
        // Its region is asked for, too.
        let checked = program.env("OCI_METADATA_BASE_URL", &url).without("OCI_CLI_REGION").run();
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""), "{checked:?}");
        assert!(checked.stdout.contains("\ncredential   http://[::1]:"), "{checked:?}");
    }
}

/// Whichever of its three URLs is the first to fail.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_metadata_service_is_told_once() {
    let upstream = Upstream::with_issuers().await;
    let down = || Fault::status(503, "ServiceUnavailable", "no");
    let certificate = "/opc/v2/identity/cert.pem";
    // The first time it fails after the others, and then with them.
    let slow = down().stalled(StallPoint::BeforeCommit, Duration::from_millis(300));
    upstream.issuers().inject(FaultRule::new(slow).path(certificate).times(1)).unwrap();
    for path in [certificate, "/opc/v2/identity/key.pem", "/opc/v2/identity/intermediate.pem"] {
        upstream.issuers().inject(FaultRule::new(down()).path(path).forever()).unwrap();
    }
    let mut serve = upstream.sign_in_by("instance-principal", serve()).start();
    serve.address();
    let end = Instant::now() + Duration::from_secs(20);
    while metric(&mut serve, "gateway_credential_refresh_failures_total").await.unwrap() < 4 {
        assert!(Instant::now() < end, "not tried again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(
        serve.stderr().matches("the credential could not be refreshed").count(),
        1,
        "{}",
        serve.stderr()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_put_right_when_the_certificate_is_shown() {
    let upstream = Upstream::with_issuers_behind(Duration::from_secs(600)).await;
    let checked = upstream.sign_in_by("instance-principal", program("check")).run();
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stdout.contains("s ahead of OCI's, which refuses what is 300 s off"), "{checked:?}");
    assert!(
        checked.stdout.contains(", in 19 min\n") || checked.stdout.contains(", in 20 min\n"),
        "{checked:?}"
    );
    assert_eq!(upstream.issuers().exchanges().len(), 2);
    let attempts = upstream.sandbox.ledger().attempts;
    assert_eq!(attempts.len(), 1, "OCI itself has nothing to correct");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_costs_one_exchange_and_no_call() {
    for way in ["instance-principal", "oke-workload-identity"] {
        let upstream = Upstream::with_issuers().await;
        let mut serve = upstream.sign_in_by(way, serve()).start();
        let address = serve.address();
        create(address, VOLUME).await.unwrap();
        assert_eq!(upstream.issuers().exchanges().len(), 1, "{way}");
        let revoked = IssuerChange { revoke_tokens: true, ..IssuerChange::default() };
        upstream.issuers().change(revoked).unwrap();
        let calls = (0..20).map(|_| tokio::spawn(create(address, VOLUME)));
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap().unwrap();
        }
        assert_eq!(upstream.issuers().exchanges().len(), 2, "{way}");
        let said = "OCI refused the credential: signing with another";
        serve.until(|serve| serve.stderr().contains(said).then_some(()));
        create(address, VOLUME).await.unwrap();
        assert_eq!(serve.stderr().matches(said).count(), 1, "{way}: one line for one change");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_tokens_and_new_certificates_follow_one_another_without_a_failed_call() {
    let upstream = Upstream::with_issuers().await;
    let short = IssuerChange { token_life_seconds: Some(3), ..IssuerChange::default() };
    upstream.issuers().change(short).unwrap();
    let mut serve = upstream.sign_in_by("instance-principal", serve()).start();
    let address = serve.address();
    let end = Instant::now() + Duration::from_secs(6);
    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    let mut leaf = 0;
    while Instant::now() < end {
        let began = Instant::now();
        create(address, VOLUME).await.unwrap();
        slowest = slowest.max(began.elapsed());
        calls += 1;
        if calls % 5 == 0 {
            leaf += 1;
            let certificate = Some(NewCertificate::default());
            upstream.issuers().change(IssuerChange { certificate, ..IssuerChange::default() }).unwrap();
        }
    }
    let exchanges = upstream.issuers().exchanges().len();
    println!("{calls} calls, {exchanges} exchanges, {leaf} leaf certificates, slowest {slowest:?}");
    never_refused(&upstream);
    assert!(exchanges >= 3 && leaf >= 2, "{exchanges} exchanges, {leaf} certificates");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_source_that_is_down_is_said_within_eight_seconds_and_used_when_it_is_back() {
    let trouble = || {
        [
            ("down", Fault::status(503, "ServiceUnavailable", "no"), "answers HTTP 503 ServiceUnavailable"),
            ("silent", Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(60)), ""),
        ]
    };
    let ways = ["instance-principal", "oke-workload-identity"];
    // Keys that are made meanwhile would keep the sandbox from answering.
    Upstream::with_issuers().await;
    let tests = ways.iter().flat_map(|way| trouble().map(|trouble| (*way, trouble)));
    let running = tests.map(|(way, (name, fault, said))| {
        tokio::spawn(async move {
            let upstream = Upstream::with_issuers().await;
            upstream.issuers().inject(FaultRule::new(fault).forever()).unwrap();
            let began = Instant::now();
            let mut serve = upstream.sign_in_by(way, serve()).start();
            let address = serve.address();
            let started = began.elapsed();
            assert!(started < Duration::from_secs(8), "{way} {name}: {started:?}");
            let told = readiness(&mut serve, 503).await;
            assert!(told.starts_with("not ready: ") && told.contains(said), "{way} {name}: {told}");
            let refused = create(address, VOLUME).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{way} {name}: {refused:?}");
            assert_eq!(refused.get_details_error_info().unwrap().reason, "CREDENTIAL_UNAVAILABLE");
            upstream.issuers().clear_faults();
            let back = served_after(address).await;
            println!("{way} {name}: started after {started:?}, served {back:?} after the return");
            assert!(back < Duration::from_secs(15), "{way} {name}: {back:?}");
            readiness(&mut serve, 200).await;
        })
    });
    for test in running.collect::<Vec<_>>() {
        test.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_does_not_know_its_region_yet_signs_in_when_it_does() {
    let upstream = Upstream::with_issuers().await;
    let silent = Fault::stall(StallPoint::BeforeCommit, Duration::from_secs(60));
    upstream.issuers().inject(FaultRule::new(silent).forever()).unwrap();
    let began = Instant::now();
    let serve = upstream.sign_in_by("instance-principal", serve());
    let mut serve = serve.without("OCI_CLI_REGION").without("OCI_CLI_ENDPOINT").start();
    serve.address();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let told = readiness(&mut serve, 503).await;
    assert!(told.contains("/opc/v2/") && told.contains("no answer came in time"), "{told}");
    upstream.issuers().clear_faults();
    assert_eq!(serve.logged("the instance's region is known")["region"], "us-ashburn-1");
    // It has one then; whether OCI is to be found in its region is the network's affair.
    let began = Instant::now();
    while page(&mut serve, "/readyz").await.1.contains("no credential") {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", serve.stderr());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_without_a_source_takes_readiness_away_until_there_is_one() {
    let upstream = Upstream::with_issuers().await;
    let short = IssuerChange { token_life_seconds: Some(3), ..IssuerChange::default() };
    upstream.issuers().change(short).unwrap();
    let mut serve = upstream.sign_in_by("instance-principal", serve()).start();
    let address = serve.address();
    create(address, VOLUME).await.unwrap();
    let down = Fault::status(503, "ServiceUnavailable", "no");
    upstream.issuers().inject(FaultRule::new(down).forever()).unwrap();
    create(address, VOLUME).await.unwrap();
    let told = readiness(&mut serve, 503).await;
    assert!(told.contains("not ready: no credential: ") && told.contains("answers HTTP 503"), "{told}");
    assert_eq!(page(&mut serve, "/livez").await.0, 200);
    assert!(metric(&mut serve, "gateway_credential_refresh_failures_total").await.unwrap() > 0);
    upstream.issuers().clear_faults();
    assert!(served_after(address).await < Duration::from_secs(15));
    readiness(&mut serve, 200).await;
}

/// That fifty are, and that no key is mixed with another's token, is shown in `tests/gateway/rotation.rs`.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_under_load_are_taken_within_ten_seconds_and_oci_refuses_nothing() {
    const EXPIRY: &str = "gateway_credential_expiry_timestamp_seconds";
    let upstream = Upstream::with_issuers().await;
    // Told apart by how long they last.
    let sessions =
        [2, 3, 4].map(|hours| upstream.issuers().session(SessionKind::User, hours * HOUR).unwrap());
    let mut serve = upstream.sign_in_by("security-token", serve()).start();
    let address = serve.address();
    let dir = upstream.path("session");
    let rotating = async {
        for session in &sessions {
            let (before, began) = (metric(&mut serve, EXPIRY).await, Instant::now());
            replace_session(&dir, session);
            while metric(&mut serve, EXPIRY).await == before {
                assert!(began.elapsed() < Duration::from_secs(10), "not taken");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let calls = async {
        loop {
            create(address, VOLUME).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { () = rotating => {}, () = calls => {} }
    create(address, VOLUME).await.unwrap();
    never_refused(&upstream);
}

/// OCI never met a signature, or a credential, that it did not take.
#[track_caller]
fn never_refused(upstream: &Upstream) {
    let attempts = upstream.sandbox.ledger().attempts;
    let refused: Vec<_> = attempts.iter().filter(|attempt| attempt.refusal.is_some()).collect();
    assert!(!attempts.is_empty() && refused.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_old_credential_and_says_so_once() {
    let upstream = Upstream::with_issuers().await;
    let mut serve = upstream.sign_in_by("resource-principal", serve()).start();
    let address = serve.address();
    create(address, VOLUME).await.unwrap();
    let token = upstream.path("resource-principal/token");
    let good = std::fs::read_to_string(&token).unwrap();
    replace(&token, &good[..good.len() / 2]);
    let end = Instant::now() + Duration::from_secs(10);
    while metric(&mut serve, "gateway_credential_refresh_failures_total").await == Some(0) {
        assert!(Instant::now() < end, "not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    create(address, VOLUME).await.unwrap();
    assert_eq!(page(&mut serve, "/readyz").await.0, 200);
    replace(&token, &good);
    serve.until(|serve| serve.stderr().contains("the credential can be refreshed again").then_some(()));
    let said = serve.stderr().matches("the credential could not be refreshed").count();
    assert_eq!(said, 1, "{}", serve.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_of_a_mounted_secret_is_followed_by_an_api_key() {
    let upstream = Upstream::start().await;
    let mount = |volume: &str, user: &str| {
        let dir = upstream.path(volume);
        std::fs::create_dir(&dir).unwrap();
        let config = std::fs::read_to_string(upstream.path("config")).unwrap();
        let config = config.lines().map(|line| match line.starts_with("user") {
            true => format!("user={user}\n"),
            false => format!("{line}\n"),
        });
        std::fs::write(format!("{dir}/config"), config.collect::<String>()).unwrap();
    };
    mount("..1", "ocid1.user.oc1..aaaanobody");
    mount("..2", upstream.sandbox.identity().user());
    std::os::unix::fs::symlink("..1", upstream.path("..data")).unwrap();
    let mut serve =
        upstream.sign_in(serve()).env("OCI_CLI_CONFIG_FILE", upstream.path("..data/config")).start();
    let address = serve.address();
    assert_eq!(create(address, VOLUME).await.unwrap_err().code(), Code::Unauthenticated);
    assert!(readiness(&mut serve, 503).await.contains("OCI refuses the gateway's credential (401)"));
    std::os::unix::fs::symlink("..2", upstream.path("..new")).unwrap();
    std::fs::rename(upstream.path("..new"), upstream.path("..data")).unwrap();
    assert!(served_after(address).await < Duration::from_secs(10));
    readiness(&mut serve, 200).await;
}

/// What is set or not, and the words of the refusal.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

#[rustfmt::skip]
const WRONG: [Row<'_>; 20] = [
    ("instance_principal", &[("OCI_METADATA_BASE_URL", "http://127.0.0.1:99999/opc/v2")], "OCI_METADATA_BASE_URL: a URL such as http://169.254.169.254/opc/v2 is expected"),
    ("resource_principal", &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"), ("OCI_RESOURCE_PRINCIPAL_RPST", "x"), ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "x"), ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", "/canary")], "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE: does not exist"),
    ("oke_workload_identity", &[], "KUBERNETES_SERVICE_HOST: is not set; Kubernetes sets it in every pod"),
    ("oke_workload_identity", &[("KUBERNETES_SERVICE_HOST", "a b")], "KUBERNETES_SERVICE_HOST: a host such as 10.96.0.1"),
    ("oke_workload_identity", &[("KUBERNETES_SERVICE_HOST", "127.0.0.1:1"), ("OCI_CLI_REGION", "")], "--region: no region is known; give it here, in OCI_CLI_REGION or in OCI_RESOURCE_PRINCIPAL_REGION"),
    ("oke_workload_identity", &[("KUBERNETES_SERVICE_HOST", "127.0.0.1:1"), ("OCI_RESOURCE_PRINCIPAL_REGION", "a/b"), ("OCI_CLI_REGION", "")], "OCI_RESOURCE_PRINCIPAL_REGION: \"a/b\": has the character '/'"),
    ("oke_workload_identity", &[("KUBERNETES_SERVICE_HOST", "127.0.0.1:1")], "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt (OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH, or its default): does not exist"),
    ("oke_workload_identity", &[("KUBERNETES_SERVICE_HOST", "127.0.0.1:1"), ("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", "/dev/null"), ("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", "/dev/null")], "/dev/null (OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH, or its default): holds no certificates in PEM; those of the cluster were expected"),
    ("instance_principal", &[("OCI_METADATA_BASE_URL", "169.254.169.254")], "OCI_METADATA_BASE_URL: a URL such as http://169.254.169.254/opc/v2 is expected"),
    ("instance_principal", &[("OCI_SDK_AUTH_CLIENT_REGION_URL", "http://auth.example.com")], "OCI_SDK_AUTH_CLIENT_REGION_URL: plain http is refused unless the host is a loopback address"),
    ("instance_principal", &[("OCI_SDK_AUTH_CLIENT_REGION_URL", "https://auth.example.com/v1/x509")], "OCI_SDK_AUTH_CLIENT_REGION_URL: only scheme, host and port may be given"),
    ("resource_principal", &[], "OCI_RESOURCE_PRINCIPAL_VERSION: is not set; Functions, Container Instances"),
    ("resource_principal", &[("OCI_RESOURCE_PRINCIPAL_VERSION", "3.0")], "OCI_RESOURCE_PRINCIPAL_VERSION: is \"3.0\"; this gateway signs in as a resource principal of version 2.2 only"),
    ("resource_principal", &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")], "OCI_RESOURCE_PRINCIPAL_RPST: is not set"),
    ("resource_principal", &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"), ("OCI_RESOURCE_PRINCIPAL_RPST", "/none"), ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "x")], "/none (OCI_RESOURCE_PRINCIPAL_RPST): does not exist"),
    ("resource_principal", &[("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"), ("OCI_RESOURCE_PRINCIPAL_RPST", "canary"), ("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", "x")], "OCI_RESOURCE_PRINCIPAL_RPST: is not a JWT"),
    ("security_token", &[], "~/.oci/config (the default): does not exist; make it with `oci setup config`, name another with --config-file, or set OCI_CLI_SECURITY_TOKEN_FILE, OCI_CLI_KEY_FILE"),
    ("security_token", &[("OCI_CLI_SECURITY_TOKEN_FILE", "/none"), ("OCI_CLI_KEY_FILE", "/none")], "/none (OCI_CLI_SECURITY_TOKEN_FILE): does not exist"),
    ("session_token", &[], "OCI_CLI_AUTH: \"session_token\": "),
    ("", &[], "~/.oci/config (the default): does not exist; make it with `oci setup config`"),
];

#[test]
fn a_wrong_setting_of_any_way_ends_the_start_with_one_line() {
    for (auth, variables, expected) in WRONG {
        let mut program = serve().env("OCI_CLI_AUTH", auth).env("OCI_CLI_REGION", "iad");
        let home = program.home().to_str().unwrap().to_owned();
        for (name, value) in variables {
            program = program.env(name, value);
        }
        let ended = program.run();
        let line = ended.refusal(2).replace(&home, "~");
        assert!(line.starts_with(expected) && !line.contains("canary"), "{auth} {variables:?}: {line}");
    }
}

/// While the first token is awaited nothing is served yet, and nothing is lost.
#[tokio::test]
async fn a_signal_ends_a_gateway_that_waits_for_its_first_token() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut program = serve().env("OCI_CLI_AUTH", "instance_principal").env("OCI_CLI_REGION", "iad");
    program = program.env("OCI_METADATA_BASE_URL", format!("{url}/opc/v2"));
    let serve = program.start();
    let (_asked, _peer) = silent.accept().await.unwrap();
    let began = Instant::now();
    serve.signal("TERM");
    assert_eq!(serve.wait().code, Some(0));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// What the issuers answer to whom, and the words of `check`.
fn answers() -> Vec<(&'static str, &'static str, Fault, &'static str)> {
    let html = || {
        Fault::answer(AnswerChange {
            status: Some(200),
            content_type: Some("text/html".to_owned()),
            body: Some("<html>canary</html>".to_owned()),
            ..AnswerChange::default()
        })
    };
    let status = |status| Fault::status(status, "Code", "canary");
    let json = |text: &str| Fault::body("application/json", text);
    let (instance, workload) = ("instance-principal", "oke-workload-identity");
    let (leaf, key, x509) = ("/opc/v2/identity/cert.pem", "/opc/v2/identity/key.pem", "/v1/x509");
    let tokens = "/resourcePrincipalSessionTokens";
    let short = || Fault::wire(Wire::Truncate { framing: Framing::ContentLength });
    vec![
        (instance, leaf, short(), "gives an answer that breaks off: "),
        (instance, key, short(), "gives an answer that breaks off: "),
        (instance, x509, short(), "gives an answer that breaks off: "),
        (workload, tokens, short(), "gives an answer that breaks off: "),
        // Where nothing says how long an answer is.
        (
            instance,
            x509,
            Fault::wire(Wire::Truncate { framing: Framing::Close }),
            "answers with something else than a token in JSON",
        ),
        (
            instance,
            x509,
            json(r#"{"token":"e30.eyJleHAiOiJjYW5hcnkifQ.e30"}"#),
            "gives what is a JWT whose claim `exp` is a text, and no time in seconds since 1970",
        ),
        (instance, leaf, status(404), "answers HTTP 404 Code\nis this an OCI instance"),
        (instance, leaf, status(403), "answers HTTP 403 Code\nis the metadata service enabled"),
        (instance, leaf, html(), "gives what is no certificate in PEM"),
        (instance, key, html(), "gives a key that holds no PEM"),
        (instance, x509, status(401), "answers HTTP 401 Code\nit does not take the instance's certificate"),
        (instance, x509, status(404), "answers HTTP 404 Code\nit gives this instance no token"),
        (instance, x509, status(500), "answers HTTP 500 Code\nit is in trouble"),
        (instance, x509, html(), "answers with something else than a token in JSON"),
        (instance, x509, json(r#"{"token":"a\nb"}"#), "gives what has a line break or a space inside"),
        (instance, x509, json(r#"{"token":"canary"}"#), "gives what is not a JWT"),
        (instance, x509, json(r#"{"token":"e30.e30.e30"}"#), "gives what is a JWT without the claim `exp`"),
        (
            instance,
            x509,
            json(r#"{"token":"e30.eyJleHAiOjF9.e30"}"#),
            "gives what is a token that expired at 1970-01-01T00:00:01Z",
        ),
        (workload, tokens, status(403), "answers HTTP 403 Code\nthe cluster must be an Enhanced one"),
        (
            workload,
            tokens,
            status(401),
            "answers HTTP 401 Code\nit does not take the service account's token",
        ),
        (workload, tokens, html(), "answers with something else than a token in base64"),
        (workload, tokens, json("\"e30=\""), "answers with something else than a token in base64"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_issuer_answers_wrongly_is_told_with_the_remedy() {
    let upstream = Upstream::with_issuers().await;
    for (way, path, fault, expected) in answers() {
        upstream.issuers().inject(FaultRule::new(fault).path(path).forever()).unwrap();
        let checked = upstream.sign_in_by(way, program("check")).run();
        upstream.issuers().clear_faults();
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""), "{way}: {checked:?}");
        let expected = expected.replace('\n', "\n             ");
        assert!(checked.stdout.contains(&expected), "{expected}\nis not in\n{}", checked.stdout);
        assert!(!checked.stdout.contains("canary"), "{checked:?}");
    }
    let basic = IssuerChange { cluster: Some(ClusterType::Basic), ..IssuerChange::default() };
    upstream.issuers().change(basic).unwrap();
    let checked = upstream.sign_in_by("oke-workload-identity", program("check")).run();
    assert!(checked.stdout.contains("the cluster must be an Enhanced one"), "{checked:?}");
    let nowhere = upstream.sign_in_by("instance-principal", program("check"));
    let checked = nowhere.env("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2").run();
    assert!(checked.stdout.contains("this is no OCI instance"), "{checked:?}");
    let empty = upstream.sign_in_by("oke-workload-identity", program("check"));
    let checked = empty.env("OCI_KUBERNETES_SERVICE_ACCOUNT_TOKEN_PATH", "/dev/null").run();
    let line = checked.refusal(2);
    assert!(
        line.ends_with(
            "is empty, a token was expected; the kubelet replaces it: is it mounted whole, without subPath?"
        ),
        "{line}"
    );
    let other = upstream.sign_in_by("oke-workload-identity", program("check"));
    let stranger = Upstream::with_issuers().await;
    let checked =
        other.env("OCI_KUBERNETES_SERVICE_ACCOUNT_CERT_PATH", stranger.path("service-account/ca.crt")).run();
    assert!(checked.stdout.contains("the TLS handshake failed"), "{checked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_together_is_told_and_is_not_used() {
    let upstream = Upstream::with_issuers().await;
    let other = upstream.issuers().session(SessionKind::Resource, HOUR).unwrap();
    let (instance, workload) = ("instance-principal", "oke-workload-identity");
    let told = |way: &str, path: &str, fault: Fault, expected: &str| {
        upstream.issuers().inject(FaultRule::new(fault).path(path).forever()).unwrap();
        let checked = upstream.sign_in_by(way, program("check")).run();
        upstream.issuers().clear_faults();
        assert_eq!((checked.code, checked.stderr.as_str()), (Some(1), ""), "{way}: {checked:?}");
        let expected = expected.replace('\n', "\n             ");
        assert!(checked.stdout.contains(&expected), "{expected}\nis not in\n{}", checked.stdout);
    };
    // A token for a key that is not the one which was sent.
    let another = "gives a token for another key than it was asked for";
    let token = serde_json::json!({"token": other.token()}).to_string();
    told(instance, "/v1/x509", Fault::body("application/json", &token), another);
    let wrapped = serde_json::json!({"token": format!("ST${}", other.token())}).to_string();
    let wrapped = serde_json::json!(STANDARD.encode(wrapped)).to_string();
    let tokens = "/resourcePrincipalSessionTokens";
    told(workload, tokens, Fault::body("application/json", &wrapped), another);
    // A certificate and a key between which the leaf was replaced.
    let key = other.private_key_pem().unwrap();
    told(
        instance,
        "/opc/v2/identity/key.pem",
        Fault::body("text/plain", &key),
        "gives a key that is not the certificate's: they are being replaced, and are read again",
    );
    // A token and a key of which one was replaced.
    let path = upstream.path("resource-principal/key.pem");
    replace(&path, &key);
    let checked = upstream.sign_in_by("resource-principal", program("check")).run();
    let line = checked.refusal(2);
    let expected =
        format!("is a token for another key than that in {path} (OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM)");
    assert!(line.contains(&expected), "{line}");
    // A certificate without a tenancy.
    let nobodys = NewCertificate { tenancy: Some("nobody".to_owned()), ..NewCertificate::default() };
    let change = IssuerChange { certificate: Some(nobodys), ..IssuerChange::default() };
    upstream.issuers().change(change).unwrap();
    let checked = upstream.sign_in_by(instance, program("check")).run();
    let expected = "is a certificate without a tenancy (opc-tenant) in its subject: is that an OCI instance?";
    assert!(checked.code == Some(1) && checked.stdout.contains(expected), "{checked:?}");
    assert_eq!(upstream.sandbox.ledger().attempts.len(), 0, "OCI was shown nothing of it");
}

/// The secrets in a file: of a key its base64, of a token its parts.
fn secrets(path: &Path) -> Vec<Secret> {
    secrets_of(path.file_name().unwrap().to_str().unwrap(), &std::fs::read_to_string(path).unwrap())
}

/// The same in a text.
fn secrets_of(name: &str, text: &str) -> Vec<Secret> {
    let is_key = text.contains("PRIVATE KEY");
    let parts: Vec<&str> = if is_key {
        text.lines().filter(|line| !line.contains("-----")).collect()
    } else {
        text.split('.').collect()
    };
    let parts = parts.into_iter().filter(|part| part.len() > 40);
    parts.map(|part| Secret::new(name, part.as_bytes())).collect()
}

/// The private key of the instance's certificate, as the metadata service has it.
async fn leaf_key(upstream: &Upstream) -> String {
    let url = upstream.issuers().metadata_url();
    let host = url.strip_prefix("http://").unwrap().strip_suffix("/opc/v2").unwrap();
    let mut imds = TcpStream::connect(host).await.unwrap();
    let request = "GET /opc/v2/identity/key.pem HTTP/1.1\r\nhost: x\r\nauthorization: Bearer Oracle\r\nconnection: close\r\n\r\n";
    imds.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    imds.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("PRIVATE KEY"), "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_key_or_passphrase_of_any_way_is_ever_written() {
    const PASSPHRASE: &str = "canary: open sesame";
    let upstream = Upstream::with_issuers().await;
    let leaf = leaf_key(&upstream).await;
    let mut behind = Vec::new();
    let mut text = String::new();
    let sign_in = |way: &str, program: Program| {
        let program = program.env("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", PASSPHRASE);
        upstream.sign_in_by(way, program).env("RUST_LOG", "trace")
    };
    for way in WAYS {
        if way == "resource-principal" {
            let resource = upstream.issuers().session(SessionKind::Resource, HOUR).unwrap();
            let locked = resource.encrypted_private_key_pem(PASSPHRASE).unwrap();
            replace(&upstream.path("resource-principal/key.pem"), &locked);
            replace(&upstream.path("resource-principal/token"), resource.token());
            behind = secrets_of("the key behind the passphrase", &resource.private_key_pem().unwrap());
        }
        let mut serve = sign_in(way, serve()).start();
        let address = serve.address();
        create(address, VOLUME).await.unwrap();
        let revoked = IssuerChange { revoke_tokens: true, ..IssuerChange::default() };
        let _ = create(address, "ocid1.volume.oc1.iad.missing").await;
        if way == "instance-principal" {
            upstream.issuers().change(revoked).unwrap();
            create(address, VOLUME).await.unwrap();
            upstream.sandbox.write_config(upstream.files.path()).unwrap();
        }
        serve.signal("TERM");
        let ended = serve.wait();
        text.push_str(&ended.stdout);
        text.push_str(&ended.stderr);
        let checked = sign_in(way, program("check")).run();
        text.push_str(&checked.stdout);
        text.push_str(&checked.stderr);
    }
    let wrong = "canary: open barley";
    let locked = sign_in("resource-principal", program("check"));
    let locked = locked.env("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE", wrong).run();
    assert_eq!(locked.code, Some(2), "{locked:?}");
    text.push_str(&locked.stderr);
    let mut all: Vec<Secret> = [
        "session/key.pem",
        "session/token",
        "resource-principal/key.pem",
        "resource-principal/token",
        "service-account/token",
    ]
    .iter()
    .flat_map(|file| secrets(Path::new(&upstream.path(file))))
    .collect();
    all.extend(secrets_of("the leaf's key", &leaf));
    all.extend(behind);
    all.push(Secret::new("the passphrase", PASSPHRASE.as_bytes()));
    all.push(Secret::new("the wrong passphrase", wrong.as_bytes()));
    let token = std::fs::read_to_string(upstream.path("session/token")).unwrap();
    all.push(Secret::new("any token's header", token.split('.').next().unwrap().as_bytes()));
    println!("{} bytes were written, {} secrets", text.len(), all.len());
    assert!(text.contains("TRACE"));
    assert_eq!(leaks::found(&text, &all), BTreeSet::new());
}
