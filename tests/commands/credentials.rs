//! What can be wrong with a credential, through the program: one line each, and the way out of it.

use crate::process::Ended;
use crate::process::Program;
use crate::process::program;
use crate::upstream::Upstream;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

const CONFIG: &str = "[DEFAULT]
user=ocid1.user.oc1..aaaaaaaatestuser
tenancy=ocid1.tenancy.oc1..aaaaaaaatesttenancy
fingerprint=be:ba:33:6a:e0:32:6e:6c:b6:13:40:59:31:02:eb:f7
key_file=~/.oci/key.pem
region=us-ashburn-1
";
const FILE: &str = "~/.oci/config (the default)";
const AT: &str = "~/.oci/config (the default), profile DEFAULT";
const KEY: &str = "~/.oci/key.pem (~/.oci/config (the default), profile DEFAULT, key_file)";

/// The key of [`CONFIG`], in one of its forms.
fn pem(form: &str) -> String {
    let vectors: Value = serde_json::from_str(include_str!("../data/signing-vectors.json")).unwrap();
    vectors["fresh_key"]["pem"][form].as_str().unwrap().to_owned()
}

/// `serve` with this configuration and this key in its home, where nobody answers.
fn with(config: &str, key: &str) -> Program {
    let program =
        program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --endpoint http://127.0.0.1:1");
    private(program.file(".oci/config", config).file(".oci/key.pem", key))
}

fn private(program: Program) -> Program {
    let key = program.home().join(".oci/key.pem");
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o600)).unwrap();
    program
}

/// The refusal, with the home as `~`.
#[track_caller]
fn refusal(program: Program) -> String {
    let home = program.home().to_str().unwrap().to_owned();
    let ended: Ended = program.run();
    ended.refusal(2).replace(&home, "~")
}

/// What is wrong, the configuration file, the key's file, and the words that the refusal must have.
type Row = (&'static str, String, String, Vec<&'static str>);

#[rustfmt::skip]
fn wrong() -> Vec<Row> {
    let key = || pem("pkcs8");
    let locked = || pem("pkcs8_enc");
    let config = |from: &str, to: &str| CONFIG.replace(from, to);
    vec![
        ("no user", config("user=", "#"), key(), vec![AT, ": has no user; add it or set OCI_CLI_USER"]),
        ("wrong user", config("user=ocid1", "user=nobody"), key(), vec![AT, ", user: "]),
        ("a group", config(".user.", ".group."), key(), vec![AT, ", user: is the OCID of a group, that of a user was expected"]),
        ("no tenancy", config("tenancy=", "#"), key(), vec![AT, ": has no tenancy; add it or set OCI_CLI_TENANCY"]),
        ("fingerprint", config("be:ba", "be:ba:ba"), key(), vec![AT, ", fingerprint: is no fingerprint; 16 pairs"]),
        ("other key", config("be:", "00:"), key(), vec![AT, ", fingerprint: is 00:ba:", KEY, " has be:ba:"]),
        ("no key", config("key_file=", "#"), key(), vec![AT, ": has no key_file; add it or set OCI_CLI_KEY_FILE"]),
        ("lost key", config("key.pem", "lost.pem"), key(), vec!["~/.oci/lost.pem (", AT, "does not exist; correct the path"]),
        ("a directory", config("key.pem", ""), key(), vec!["~/.oci (", AT, "is a directory, a file was expected"]),
        ("no key in it", CONFIG.to_owned(), "nothing".to_owned(), vec![KEY]),
        ("no passphrase", CONFIG.to_owned(), locked(), vec![KEY, "pass_phrase", "OCI_CLI_PASSPHRASE"]),
        ("wrong passphrase", format!("{CONFIG}pass_phrase=wrong horse\n"), locked(), vec![KEY, "passphrase"]),
        ("wrong region", config("us-ashburn-1", "us/ashburn"), key(), vec![AT, ", region: has the character '/'"]),
        ("twice", format!("{CONFIG}user=x\n"), key(), vec![FILE, ": line 7 gives user of profile DEFAULT a second time; keep one"]),
        ("session token", config("user=", "security_token_file=/t\n#"), key(), vec![AT, "a session token", "say --auth security_token, or use a profile with an API key"]),
        ("no profile", "# empty\n".to_owned(), key(), vec![AT, "is not in the file, which has no profile"]),
        ("no INI", "user=x\n".to_owned(), key(), vec![FILE, ": has a line before the first profile"]),
    ]
}

#[test]
fn a_wrong_credential_is_one_line_with_file_profile_key_and_remedy() {
    for (name, config, pem, expected) in wrong() {
        let line = refusal(with(&config, &pem));
        assert!(expected.iter().all(|words| line.contains(words)), "{name}: {line}");
        assert!(!line.contains("wrong horse"), "{line}");
    }
}

#[test]
fn a_region_that_stands_nowhere_is_asked_for() {
    let program = program("serve");
    let line = refusal(private(
        program.file(".oci/config", CONFIG.replace("region=", "#")).file(".oci/key.pem", pem("pkcs8")),
    ));
    assert_eq!(
        line,
        "--region: no region is known; give it here, in OCI_CLI_REGION or as `region` in the profile"
    );
}

#[test]
fn a_file_of_somebody_else_is_not_read() {
    let program = with(CONFIG, &pem("pkcs8"));
    let key = program.home().join(".oci/key.pem");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::read(&key).is_ok() {
        return; // The superuser reads everything.
    }
    assert!(
        refusal(program)
            .ends_with("may not be read by the user that this process runs as; change its owner or its mode")
    );
}

#[test]
fn a_good_key_is_taken_in_any_form_and_from_anywhere() {
    let passphrase = format!("{CONFIG}pass_phrase=correct horse\n");
    let mut encrypted = with(&passphrase, &pem("pkcs1_aes256")).start();
    encrypted.address();
    let mut by_variable = with(CONFIG, &pem("pkcs8_enc")).env("OCI_CLI_PASSPHRASE", "correct horse").start();
    by_variable.address();
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_need_no_file_and_no_home() {
    let upstream = Upstream::start().await;
    let identity = upstream.sandbox.identity();
    let signed_in = |program: Program| {
        program
            .without("HOME")
            .env("OCI_CLI_USER", identity.user())
            .env("OCI_CLI_TENANCY", identity.tenancy())
            .env("OCI_CLI_FINGERPRINT", identity.fingerprint())
            .env("OCI_CLI_ENDPOINT", upstream.sandbox.endpoint())
    };
    let content = signed_in(program("check")).env("OCI_CLI_KEY_CONTENT", identity.private_key_pem()).run();
    assert_eq!(content.code, Some(0), "{content:?}");
    assert!(content.stdout.contains("key          OCI_CLI_KEY_CONTENT\n"), "{content:?}");
    let file = signed_in(program("check")).env("OCI_CLI_KEY_FILE", upstream.path("key.pem")).run();
    assert_eq!(file.code, Some(0), "{file:?}");
    let wrong = signed_in(program("check")).env("OCI_CLI_KEY_CONTENT", pem("pkcs8")).run();
    assert!(wrong.refusal(2).starts_with("OCI_CLI_FINGERPRINT: is "), "{wrong:?}");
    let misplaced = signed_in(program("check")).env("OCI_CLI_KEY_FILE", pem("pkcs8")).run();
    assert_eq!(
        misplaced.refusal(2),
        "OCI_CLI_KEY_FILE: holds a key, the name of its file was expected; a key itself goes into OCI_CLI_KEY_CONTENT"
    );
    let lost = signed_in(program("check")).env("OCI_CLI_KEY_FILE", "~/key.pem").run();
    assert_eq!(
        lost.refusal(2),
        "OCI_CLI_KEY_FILE: begins with ~ and there is no home directory; write the path in full"
    );
}

#[test]
fn a_key_that_others_may_read_is_a_warning_and_no_more() {
    let program = with(CONFIG, &pem("pkcs8"));
    let key = program.home().join(".oci/key.pem");
    std::fs::set_permissions(key, PermissionsExt::from_mode(0o644)).unwrap();
    let mut serve = program.start();
    serve.address();
    let said = serve.stderr();
    let warnings: Vec<_> = said.lines().filter(|line| line.contains("may be read by others")).collect();
    let expected =
        |line: &str| line.contains("\"WARN\"") && line.contains("(mode 644); `chmod 600` keeps it private");
    assert!(matches!(warnings[..], [one] if expected(one)), "{said}");
}

/// To open a pipe is to wait for whoever writes into it.
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_at_once() {
    let program = with(CONFIG, "");
    let key = program.home().join(".oci/key.pem");
    std::fs::remove_file(&key).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&key).status().unwrap().success());
    assert_eq!(refusal(program), format!("{KEY}: is a pipe or a socket, a file was expected"));
}

#[test]
fn a_file_without_end_in_the_place_of_a_key_is_not_read_to_its_end() {
    let serve = with(CONFIG, &pem("pkcs8")).env("OCI_CLI_KEY_FILE", "/dev/zero");
    assert_eq!(
        refusal(serve),
        "/dev/zero (OCI_CLI_KEY_FILE): is longer than 1 MiB: that is no credential; correct the path"
    );
    let serve = with(CONFIG, &pem("pkcs8"));
    std::os::unix::fs::symlink("/dev/zero", serve.home().join(".oci/regions-config.json")).unwrap();
    serve.start().until_stderr("regions-config.json is ignored: it is longer than 4 MiB");
}
