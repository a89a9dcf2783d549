//! `sandbox`, as a newcomer runs it, and as the OCI of another process.

use crate::process::Program;
use crate::process::Running;
use crate::process::program;
use crate::serve::create;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const ANY_PORTS: &str = "--listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";

fn sandbox(arguments: &str) -> Program {
    program(&format!("sandbox {ANY_PORTS} {arguments}"))
}

fn upstream_only(arguments: &str) -> Program {
    program("sandbox --upstream-only --write-config files").args(arguments)
}

#[test]
fn once_makes_both_backups_and_shows_them() {
    let ended = sandbox("--once --stage 50ms").run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    for words in [
        "\nboot volume   AVAILABLE ",
        "\nvolume        AVAILABLE ",
        "\n  id              ocid1.bootvolumebackup.oc1.iad.",
        "\n  id              ocid1.volumebackup.oc1.iad.",
        " ms ",
        " s\n",
    ] {
        assert!(ended.stdout.contains(words), "{words:?}: {}", ended.stdout);
    }
    let ids = ended.stdout.lines().filter_map(|line| line.strip_prefix("  opc-request-id  "));
    assert_eq!(ids.filter(|id| id.split('/').count() == 3).count(), 2, "{}", ended.stdout);
}

#[test]
fn once_fails_when_a_backup_does() {
    let ended = sandbox("--once --attempt-timeout 1ns").run();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    // A create may be done within the shortest time that a timer measures; then it is the look at it that fails.
    assert!(ended.stderr.contains("OCI did not answer: no answer came in time"), "{ended:?}");
}

#[test]
fn a_newcomer_is_told_where_everything_is_and_what_to_paste() {
    let mut running = sandbox("--stage 50ms").start();
    let gateway: SocketAddr = running.said("gateway").parse().unwrap();
    for name in ["admin", "OCI", "control"] {
        assert!(running.said(name).starts_with("http://127.0.0.1:"));
    }
    running.until(|running| running.stdout().contains("print(answer.volume_backup.id").then_some(()));
    let stdout = running.stdout();
    assert!(stdout.contains(&format!("{gateway} ocibackup.v1.BackupService/CreateVolumeBackup")), "{stdout}");
    assert!(stdout.contains(&format!("insecure_channel(\"{gateway}\")")), "{stdout}");
    assert_eq!(program("healthcheck").arg(gateway.to_string()).run().code, Some(0));
    running.signal("INT");
    let ended = running.wait();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
}

#[test]
fn logs_are_there_for_who_asks_for_them() {
    let ended = sandbox("--once --stage 50ms").env("RUST_LOG", "info").run();
    assert_eq!(ended.stderr.matches("\"message\":\"call\"").count(), 2, "{ended:?}");
}

#[test]
fn a_signal_ends_it_in_the_midst_of_the_demonstration() {
    let mut running = sandbox("--stage 1h").start();
    running.until(|running| running.stdout().contains("Making a backup").then_some(()));
    running.signal("TERM");
    assert_eq!(running.wait().code, Some(0));
}

/// What the files of a sandbox that runs let a process do.
async fn served_by(running: &mut Running, arguments: &str) {
    let files = running.home().join("files");
    let endpoint = running.said("OCI");
    running.until(|running| running.stdout().contains("Serving until").then_some(()));
    let flags = || {
        let config = files.join("config");
        program(&format!("{arguments} --config-file"))
            .arg(config)
            .arg("--endpoint")
            .arg(&endpoint)
            .bundle(&files)
    };
    let mut serve = flags().args(ANY_PORTS).start();
    let address = serve.address();
    let answer = create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
    assert!(answer.into_inner().volume_backup.is_some());
}

impl Program {
    fn args(self, arguments: &str) -> Self {
        arguments.split_whitespace().fold(self, Self::arg)
    }

    fn bundle(self, files: &Path) -> Self {
        match files.join("ca.pem") {
            bundle if bundle.exists() => self.arg("--cert-bundle").arg(bundle),
            _ => self,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_it_is_the_oci_of_another_process() {
    for (arguments, scheme) in [
        ("", "http://127.0.0.1:"),
        ("--oci-tls", "https://127.0.0.1:"),
        ("--oci-listen 0.0.0.0:0", "https://127.0.0.1:"),
    ] {
        let mut running = upstream_only(arguments).start();
        assert!(running.said("OCI").starts_with(scheme), "{}", running.stdout());
        served_by(&mut running, "serve").await;
        let files = running.home().join("files");
        for (name, mode) in [("config", 0o600), ("key.pem", 0o600)] {
            let permissions = std::fs::metadata(files.join(name)).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, mode, "{name}");
        }
        assert_eq!(files.join("ca.pem").exists(), scheme.starts_with("https"));
        assert_eq!(running.said("config"), files.join("config").to_str().unwrap());
        running.signal("TERM");
        let ended = running.wait();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_that_it_prints_to_paste_signs_in() {
    let mut running = upstream_only("--oci-tls").start();
    running.until(|running| running.stdout().contains("Serving until").then_some(()));
    let stdout = running.stdout();
    let line = stdout.lines().find_map(|line| line.strip_prefix("oci-backup-gateway ")).unwrap();
    let ended = program(line).run();
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn files_that_cannot_be_written_are_told_with_their_flag() {
    let ended = program("sandbox --once --write-config here").file("here", "a file").run();
    let line = ended.refusal(2);
    assert!(line.starts_with("--write-config: cannot write /") && line.contains("here: "), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_files_it_plays_every_other_way_to_sign_in() {
    let mut running = upstream_only("--imds-listen 127.0.0.3:0 --oke-listen 127.0.0.4:0").start();
    running.until(|running| running.stdout().contains("Serving until").then_some(()));
    for (name, start) in
        [("metadata", "http://127.0.0.3:"), ("auth", "http://127.0.0.3:"), ("OKE", "https://127.0.0.4:")]
    {
        assert!(running.said(name).starts_with(start), "{}", running.stdout());
    }
    let files = running.home().join("files");
    let text = |name: &str| std::fs::read_to_string(files.join(name)).unwrap();
    let metadata = running.said("metadata");
    assert!(text("instance-principal.env").contains(&format!("\nOCI_METADATA_BASE_URL={metadata}\n")));
    let cluster = running.said("OKE").replace("https://", "");
    assert!(text("oke-workload-identity.env").contains(&format!("\nKUBERNETES_SERVICE_HOST={cluster}\n")));
    for name in ["security-token.env", "resource-principal.env"] {
        assert!(text(name).contains(&format!("\nOCI_CLI_ENDPOINT={}\n", running.said("OCI"))), "{name}");
        assert!(running.stdout().contains(files.join(name).to_str().unwrap()), "{name}");
    }
}

#[test]
fn without_its_files_it_plays_no_other_way_to_sign_in() {
    for flag in ["--imds-listen 127.0.0.1:0", "--oke-listen 127.0.0.1:0", "--token-life 1m"] {
        let ended = sandbox(&format!("--once {flag}")).run();
        let line = ended.refusal(2);
        assert!(line.contains("--write-config"), "{line}");
    }
    let ended = sandbox("--once --stage 50ms").run();
    assert!(!ended.stdout.contains("OKE"), "{ended:?}");
}
