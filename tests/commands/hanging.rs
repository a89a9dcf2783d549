//! Files whose reading does not end, as on a mount whose server is gone: a terminal at which nobody types is one.

use crate::process::Program;
use crate::process::program;
use crate::serve::create;
use crate::sign_in::NOBODY;
use crate::sign_in::VOLUME;
use crate::sign_in::metric;
use crate::sign_in::page;
use crate::sign_in::readiness;
use crate::sign_in::serve;
use crate::sign_in::served_after;
use crate::upstream::Upstream;
use rustix::fd::OwnedFd;
use rustix::pty::OpenptFlags;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;
use tonic::Code;
use tonic_types::StatusExt;

const FAILURES: &str = "gateway_credential_refresh_failures_total";

/// A file that hangs, in the place of a good one.
pub(crate) struct Hung {
    path: String,
    terminal: OwnedFd,
}

impl Hung {
    pub(crate) fn at(path: String) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let terminal = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&terminal).unwrap();
        rustix::pty::unlockpt(&terminal).unwrap();
        let name = rustix::pty::ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        symlink(name, format!("{path}.hung")).unwrap();
        std::fs::copy(&path, format!("{path}.good")).unwrap();
        std::fs::rename(format!("{path}.hung"), &path).unwrap();
        Self { path, terminal }
    }

    /// The good one is back, and whoever still reads the other reads to its end.
    fn end(self) {
        std::fs::rename(format!("{}.good", self.path), &self.path).unwrap();
        drop(self.terminal);
    }
}

/// A way to sign in, and the file that hangs.
const WAYS: [(&str, &str); 6] = [
    ("api-key", "config"),
    ("api-key", "key.pem"),
    ("security-token", "session/token"),
    ("resource-principal", "resource-principal/key.pem"),
    ("oke-workload-identity", "service-account/token"),
    ("oke-workload-identity", "service-account/ca.crt"),
];

fn signed_in(upstream: &Upstream, way: &str, program: Program) -> Program {
    match way {
        "api-key" => upstream.sign_in(program),
        _ => upstream.sign_in_by(way, program),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_start_waits_for_no_file_that_hangs_and_says_which_it_is() {
    // Keys that are made meanwhile would keep the sandbox from answering.
    Upstream::with_issuers().await;
    let running = WAYS.map(|(way, file)| {
        tokio::spawn(async move {
            let upstream = Upstream::with_issuers().await;
            let hung = Hung::at(upstream.path(file));
            let began = Instant::now();
            let mut serve = signed_in(&upstream, way, serve()).start();
            let address = serve.address();
            let started = began.elapsed();
            assert!(started < Duration::from_secs(8), "{way} {file}: {started:?}");
            let told = readiness(&mut serve, 503).await;
            let line = format!("{}: has not been read to its end after 3 s", upstream.path(file));
            assert!(told.starts_with("not ready: ") && told.contains(&line), "{way} {file}: {told}");
            let refused = create(address, VOLUME).await.unwrap_err();
            assert_eq!(refused.code(), Code::Unavailable, "{way} {file}: {refused:?}");
            assert_eq!(refused.get_details_error_info().unwrap().reason, "CREDENTIAL_UNAVAILABLE");
            let (threads, failures) = (serve.memory("Threads"), metric(&mut serve, FAILURES).await.unwrap());
            while metric(&mut serve, FAILURES).await.unwrap() < failures + 3 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            // One is for what else is read beside the serving.
            assert!(serve.memory("Threads") <= threads + 1, "{way} {file}: a thread for each try");
            hung.end();
            let back = served_after(address).await;
            println!("{way} {file}: started after {started:?}, served {back:?} after the return");
            assert!(back < Duration::from_secs(15), "{way} {file}: {back:?}");
            readiness(&mut serve, 200).await;
        })
    });
    for test in running {
        test.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_begins_to_hang_keeps_the_credential_and_is_told_within_ten_seconds() {
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(serve()).start();
    let address = serve.address();
    create(address, VOLUME).await.unwrap();
    let hung = Hung::at(upstream.path("key.pem"));
    let end = Instant::now() + Duration::from_secs(10);
    while metric(&mut serve, FAILURES).await == Some(0) {
        assert!(Instant::now() < end, "not seen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    create(address, VOLUME).await.unwrap();
    assert_eq!(page(&mut serve, "/readyz").await.0, 200);
    let line = format!("{}: has not been read to its end", upstream.path("key.pem"));
    serve.until(|serve| serve.stderr().contains(&line).then_some(()));
    hung.end();
    serve.until(|serve| serve.stderr().contains("the credential can be refreshed again").then_some(()));
    assert_eq!(serve.stderr().matches("the credential could not be refreshed").count(), 1);
}

/// The region is in the file, and so is what the endpoint is named after.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_that_hangs_gives_its_region_when_it_is_read() {
    let upstream = Upstream::start().await;
    let hung = Hung::at(upstream.path("config"));
    // Then OCI is where its region is; nobody here goes there.
    let program = upstream.sign_in(serve()).without("OCI_CLI_ENDPOINT").env("GATEWAY_PROXY", NOBODY);
    let mut serve = program.start();
    serve.address();
    readiness(&mut serve, 503).await;
    let checked = upstream.sign_in(program_to_check()).without("OCI_CLI_ENDPOINT").run();
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for line in [
        "\nproblem      the source of the credential did not answer\n",
        "/config: has not been read to its end after 3 s\n",
        "\nregion       not known: the credential's source says it, and did not answer\n",
        "\nclock        not compared with OCI's: no answer that tells the time has come\n",
    ] {
        assert!(checked.stdout.contains(line), "{line} is not in {}", checked.stdout);
    }
    let config = std::fs::read_to_string(upstream.path("config.good")).unwrap();
    std::fs::write(upstream.path("config.good"), config + "usre=x\n").unwrap();
    hung.end();
    readiness(&mut serve, 200).await;
    serve.until(|serve| serve.stderr().contains("usre: is no known key and is ignored").then_some(()));
}

fn program_to_check() -> Program {
    program("check")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_settings_that_hangs_ends_the_start_or_is_done_without() {
    let upstream = Upstream::start().await;
    let pipe = upstream.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let began = Instant::now();
    let ended = upstream.sign_in(serve()).env("OCI_CLI_CERT_BUNDLE", &pipe).run();
    assert_eq!(
        ended.refusal(2),
        format!(
            "OCI_CLI_CERT_BUNDLE: {pipe}: it has not been read to its end after 2 s; \
             does the file system that it is on answer?"
        )
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());

    let began = Instant::now();
    let program = upstream.sign_in(serve().file(".oci/here", ""));
    symlink(&pipe, program.home().join(".oci/regions-config.json")).unwrap();
    let mut serve = program.start();
    create(serve.address(), VOLUME).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let warning = "regions-config.json is ignored: it has not been read to its end after 2 s";
    serve.until(|serve| serve.stderr().contains(warning).then_some(()));
}
