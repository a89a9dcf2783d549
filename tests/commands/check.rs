//! What `check` says about an OCI that takes the credential, one that does not, and what is no OCI at all.

use crate::process::Ended;
use crate::process::program;
use crate::upstream::IDENTITY;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::CutPoint;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::Transport;
use std::time::Duration;

/// The lines of a report, under their names.
fn report(ended: &Ended, code: i32) -> Vec<(String, String)> {
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(code), ""), "{ended:?}");
    let mut name = String::new();
    let lines = ended.stdout.lines().map(|line| {
        let (first, text) = line.split_at_checked(13).unwrap_or_else(|| panic!("{line:?}"));
        if !first.trim().is_empty() {
            name = first.trim().to_owned();
        }
        (name.clone(), text.to_owned())
    });
    lines.collect()
}

/// The text under one name.
fn under(report: &[(String, String)], name: &str) -> String {
    report.iter().filter(|(of, _)| of == name).map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")
}

fn check(upstream: &Upstream) -> Ended {
    upstream.sign_in(program("check")).run()
}

/// What `check` says about an OCI that answers like this.
async fn about(fault: Fault) -> Vec<(String, String)> {
    let upstream = Upstream::start().await;
    upstream.sandbox.inject(FaultRule::new(fault).forever()).unwrap();
    report(&check(&upstream), 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_credential_is_told_whole() {
    let upstream = Upstream::with(Transport::Tls, Duration::ZERO).await;
    let report = report(&check(&upstream), 0);
    let names: Vec<_> = report.iter().map(|(name, _)| name.as_str()).collect();
    let expected =
        "auth credential user tenancy key fingerprint expires region endpoint clock OCI".split(' ');
    assert_eq!(names, expected.collect::<Vec<_>>());
    for (name, expected) in [
        ("auth", "api_key (the default)".to_owned()),
        ("credential", format!("{} (from OCI_CLI_CONFIG_FILE), profile DEFAULT", upstream.path("config"))),
        ("user", IDENTITY.user().to_owned()),
        ("tenancy", IDENTITY.tenancy().to_owned()),
        ("key", upstream.path("key.pem")),
        ("fingerprint", format!("{}, that of the key", IDENTITY.fingerprint())),
        ("expires", "not by itself".to_owned()),
        ("region", "not known: the endpoint names none, and --region is not given".to_owned()),
        ("endpoint", upstream.sandbox.endpoint()),
        ("clock", "within 2 s of OCI's".to_owned()),
        ("OCI", "takes the credential and lists backups in the root compartment: all is well".to_owned()),
    ] {
        assert_eq!(under(&report, name), expected);
    }
    let mixed = upstream.sign_in(program("check")).env("OCI_CLI_USER", IDENTITY.user()).run();
    assert!(mixed.stdout.contains("\n             OCI_CLI_USER\nuser "), "{mixed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_oci_does_not_know_is_named_to_compare() {
    let (upstream, stranger) = (Upstream::start().await, Identity::generate().unwrap());
    let ended = upstream
        .sign_in(program("check"))
        .env("OCI_CLI_FINGERPRINT", stranger.fingerprint())
        .env("OCI_CLI_KEY_CONTENT", stranger.private_key_pem())
        .run();
    let report = report(&ended, 1);
    let said = under(&report, "OCI");
    assert!(said.starts_with("refuses the credential (HTTP 401)\n"), "{said}");
    assert!(said.contains(&format!("is {} among the user's API keys", stranger.fingerprint())), "{said}");
    assert!(said.contains("is that right within 5 minutes?"), "{said}");
    assert!(under(&report, "request id").len() > 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_by_how_much() {
    let upstream = Upstream::with(Transport::Plaintext, Duration::from_secs(600)).await;
    let report = report(&check(&upstream), 0);
    let said = under(&report, "clock");
    let (seconds, rest) = said.split_once(' ').unwrap();
    // Dates have no fractions of a second.
    assert!((599..=601).contains(&seconds.parse().unwrap()), "{said}");
    assert!(rest.starts_with("s ahead of OCI's, which refuses what is 300 s off: set it (NTP)\n"), "{said}");
    assert!(under(&report, "OCI").ends_with("all is well"), "the gateway signs with OCI's time");
}

/// Long before OCI refuses anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_told_where_oci_still_takes_it() {
    let upstream = Upstream::with(Transport::Plaintext, Duration::from_secs(60)).await;
    let report = report(&check(&upstream), 0);
    let said = under(&report, "clock");
    let (seconds, rest) = said.split_once(' ').unwrap();
    assert!((59..=61).contains(&seconds.parse().unwrap()), "{said}");
    assert_eq!(rest, "s ahead of OCI's, which refuses what is 300 s off: set it (NTP)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_policy_is_told_as_the_lines_to_add() {
    let report = about(Fault::status(404, "NotAuthorizedOrNotFound", "no")).await;
    let said = under(&report, "OCI");
    assert!(said.starts_with("takes the credential, but a policy is missing (HTTP 404)\n"), "{said}");
    for line in ["use volumes", "manage volume-backups", "manage boot-volume-backups"] {
        assert!(said.contains(&format!("\n  Allow group <group> to {line} in tenancy\n")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_oci_is_said_not_to_be() {
    let html = |status| AnswerChange {
        status: Some(status),
        content_type: Some("text/html".to_owned()),
        body: Some("<html>a proxy's page</html>".to_owned()),
        ..AnswerChange::default()
    };
    for (status, expected) in [
        (200, "the answer could not be read: no valid JSON"),
        (302, "answers HTTP 302 without an error of OCI's"),
        (401, "answers HTTP 401 without an error of OCI's"),
        (403, "answers HTTP 403 without an error of OCI's"),
        (502, "answers HTTP 502 without an error of OCI's"),
    ] {
        let said = under(&about(Fault::answer(html(status))).await, "OCI");
        assert!(said.starts_with(expected), "{said}");
        assert!(
            said.contains("is that OCI at http://127.0.0.1:") && !said.contains("a proxy's page"),
            "{said}"
        );
    }
    let said = under(&about(Fault::status(404, "NotFound", "nothing is here")).await, "OCI");
    assert!(
        said.starts_with("answers HTTP 404 NotFound: nothing is here\nis that OCI at http://127.0.0.1:"),
        "{said}"
    );
    let no_list = AnswerChange { body: Some("{}".to_owned()), ..AnswerChange::default() };
    let said = under(&about(Fault::answer(no_list)).await, "OCI");
    assert!(said.contains("is that OCI at http://127.0.0.1:"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_in_trouble_is_told_with_its_words_and_the_request_id() {
    let report = about(Fault::status(500, "InternalServerError", "out of order")).await;
    let said = under(&report, "OCI");
    assert!(
        said.starts_with("answers HTTP 500 InternalServerError: out of order\nOCI is in trouble; try again"),
        "{said}"
    );
    assert!(under(&report, "request id").len() > 32);
}

/// Whoever checks wants to know how it is, and not how it was after four pauses.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_told_after_one_attempt() {
    for fault in [
        Fault::status(500, "InternalServerError", "out of order"),
        Fault::status(503, "ServiceUnavailable", "busy"),
        Fault::status(429, "TooManyRequests", "slow down"),
        Fault::status(401, "NotAuthenticated", "no"),
        Fault::reset(CutPoint::BeforeCommit),
        Fault::body("text/html", "<html>a proxy's page</html>"),
    ] {
        let upstream = Upstream::start().await;
        upstream.sandbox.inject(FaultRule::new(fault.clone()).forever()).unwrap();
        report(&check(&upstream), 1);
        assert_eq!(upstream.sandbox.ledger().attempts.len(), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_cannot_be_reached_is_told_with_what_to_check() {
    let upstream = Upstream::with(Transport::Tls, Duration::ZERO).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (endpoint, bundle, expected, remedy) in [
        (
            format!("https://{nobody}"),
            "ca.pem",
            "gives no answer: no connection could be made: Connection refused",
            "check the network",
        ),
        (
            "https://nobody.invalid".to_owned(),
            "ca.pem",
            "gives no answer: the host's name could not be resolved: ",
            "check the region's spelling",
        ),
        (
            upstream.sandbox.endpoint(),
            "other.pem",
            "gives no answer: the TLS handshake failed: invalid peer certificate",
            "check --cert-bundle",
        ),
    ] {
        let other = Upstream::with(Transport::Tls, Duration::ZERO).await;
        std::fs::copy(other.path("ca.pem"), upstream.path("other.pem")).unwrap();
        let program = upstream.sign_in_at(program("check"), &endpoint);
        let ended = program.env("OCI_CLI_CERT_BUNDLE", upstream.path(bundle)).run();
        let report = report(&ended, 1);
        let said = under(&report, "OCI");
        assert!(said.starts_with(expected) && said.contains(&format!("\n{remedy}")), "{said}");
        assert_eq!(under(&report, "request id"), "", "OCI never saw the request");
        assert_eq!(
            under(&report, "clock"),
            "not compared with OCI's: no answer that tells the time has come"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_stays_narrow() {
    let report = about(Fault::status(404, "NotAuthorizedOrNotFound", "no")).await;
    assert!(report.iter().all(|(_, text)| text.chars().count() <= 110), "{report:#?}");
}
