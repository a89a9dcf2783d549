//! Every flag and variable that can be wrong, and which of several beats which.

use crate::process::Program;
use crate::process::program;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::Transport;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

const SERVING: &[&str] = &["serve", "sandbox"];
const CALLING: &[&str] = &["serve", "check"];
const LOGGING: &[&str] = &["serve", "sandbox", "check"];

/// A value that a setting of these commands refuses, and the words that its refusal must have.
struct Row(&'static [&'static str], &'static str, &'static str, &'static str, &'static [&'static str]);

const ADDRESS: &[&str] = &["an IP address with a port such as 127.0.0.1:50051 is expected"];
const DURATION: &[&str] = &["a duration such as 500ms, 30s or 15m is expected, at most 24h"];
const COUNT: &[&str] = &["a whole number from 1 to 1000000 is expected"];
const URL: &[&str] = &["a URL such as http://proxy.example.com:3128 is expected"];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row(&["serve", "sandbox", "healthcheck"], "--listen", "GATEWAY_LISTEN", "localhost:50051", ADDRESS),
    Row(&["serve", "sandbox", "healthcheck"], "--listen", "GATEWAY_LISTEN", "127.0.0.1", ADDRESS),
    Row(&["serve", "sandbox", "healthcheck"], "--listen", "GATEWAY_LISTEN", ":50051", ADDRESS),
    Row(&["serve", "sandbox", "healthcheck"], "--listen", "GATEWAY_LISTEN", "127.0.0.1:70000", ADDRESS),
    Row(SERVING, "--admin-listen", "GATEWAY_ADMIN_LISTEN", "9464", ADDRESS),
    Row(&["serve", "sandbox", "healthcheck"], "--health-listen", "GATEWAY_HEALTH_LISTEN", "50052", ADDRESS),
    Row(&["serve"], "--tls-cert", "GATEWAY_TLS_CERT", "/none/tls.crt", &["needs --tls-key (GATEWAY_TLS_KEY) beside it"]),
    Row(&["serve"], "--tls-key", "GATEWAY_TLS_KEY", "/none/tls.key", &["needs --tls-cert (GATEWAY_TLS_CERT) beside it"]),
    Row(&["serve"], "--tls-client-ca", "GATEWAY_TLS_CLIENT_CA", "/none/ca.crt", &["needs --tls-cert (GATEWAY_TLS_CERT) beside it"]),
    Row(&["sandbox"], "--oci-listen", "GATEWAY_SANDBOX_OCI_LISTEN", "x:1", ADDRESS),
    Row(&["sandbox"], "--control-listen", "GATEWAY_SANDBOX_CONTROL_LISTEN", "x:1", ADDRESS),
    Row(SERVING, "--max-in-flight", "GATEWAY_MAX_IN_FLIGHT", "0", COUNT),
    Row(SERVING, "--max-connections", "GATEWAY_MAX_CONNECTIONS", "all", COUNT),
    Row(SERVING, "--default-deadline", "GATEWAY_DEFAULT_DEADLINE", "30", DURATION),
    Row(SERVING, "--default-deadline", "GATEWAY_DEFAULT_DEADLINE", "61s", &["longer than --max-deadline, 60s"]),
    Row(SERVING, "--max-deadline", "GATEWAY_MAX_DEADLINE", "-1s", DURATION),
    Row(SERVING, "--max-deadline", "GATEWAY_MAX_DEADLINE", "300ms", &["300ms leaves no time for an attempt"]),
    Row(SERVING, "--default-deadline", "GATEWAY_DEFAULT_DEADLINE", "200ms", &["200ms leaves no time for an attempt"]),
    Row(SERVING, "--max-connection-age", "GATEWAY_MAX_CONNECTION_AGE", "soon", DURATION),
    Row(SERVING, "--drain-timeout", "GATEWAY_DRAIN_TIMEOUT", "25h", DURATION),
    Row(LOGGING, "--attempt-timeout", "GATEWAY_ATTEMPT_TIMEOUT", "0s", DURATION),
    Row(LOGGING, "--log-format", "GATEWAY_LOG_FORMAT", "xml", &["json or text is expected"]),
    Row(CALLING, "--config-file", "OCI_CLI_CONFIG_FILE", "/no/such/file", &["/no/such/file", "does not exist; correct the path"]),
    Row(CALLING, "--config-file", "OCI_CLI_CONFIG_FILE", "/", &["is a directory, a file was expected"]),
    Row(CALLING, "--profile", "OCI_CLI_PROFILE", "NOBODY", &["profile NOBODY", "is not in the file, which has [DEFAULT]"]),
    Row(CALLING, "--region", "OCI_CLI_REGION", "us/ashburn", &["has the character '/', a region has letters, digits"]),
    Row(CALLING, "--region", "OCI_CLI_REGION", "a..b", &["has a part that is empty"]),
    Row(CALLING, "--endpoint", "OCI_CLI_ENDPOINT", "http://example.com", &["plain http is refused unless the host is a loopback address"]),
    Row(CALLING, "--endpoint", "OCI_CLI_ENDPOINT", "iaas.example.com", &["not a URL such as https://"]),
    Row(CALLING, "--endpoint", "OCI_CLI_ENDPOINT", "ftp://example.com", &["the scheme must be https"]),
    Row(CALLING, "--endpoint", "OCI_CLI_ENDPOINT", "https://example.com/20160918", &["only scheme, host and port may be given"]),
    Row(CALLING, "--cert-bundle", "OCI_CLI_CERT_BUNDLE", "/no/such/file", &["/no/such/file", "No such file"]),
    Row(CALLING, "--cert-bundle", "OCI_CLI_CERT_BUNDLE", "/dev/null", &["/dev/null: ", "it holds no certificate; PEM certificates are expected"]),
    Row(CALLING, "--cert-bundle", "OCI_CLI_CERT_BUNDLE", "/", &["directory"]),
    Row(CALLING, "--cert-bundle", "OCI_CLI_CERT_BUNDLE", "/dev/zero", &["/dev/zero: it is longer than 4 MiB"]),
    Row(CALLING, "--config-file", "OCI_CLI_CONFIG_FILE", "/dev/zero", &["is longer than 1 MiB"]),
    Row(CALLING, "--cert-bundle", "OCI_CLI_CERT_BUNDLE", env!("CARGO_MANIFEST_PATH"), &["it holds no certificate"]),
    Row(CALLING, "--proxy", "GATEWAY_PROXY", "proxy.example.com", URL),
    Row(CALLING, "--proxy", "GATEWAY_PROXY", "socks5://proxy.example.com", URL),
    Row(CALLING, "--proxy", "GATEWAY_PROXY", "http://", URL),
];

/// The command with all that it needs, so that only the setting in question is wrong.
fn good(command: &str, upstream: &Upstream) -> Program {
    match command {
        "serve" => upstream.sign_in(program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0")),
        "sandbox" => program("sandbox --once --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"),
        "check" => upstream.sign_in(program("check")),
        _ => program(command),
    }
}

/// The same, but free of a flag: one is refused when it is there twice, and beats its variable.
fn free_of(flag: &str, command: &str, upstream: &Upstream) -> Program {
    match flag {
        "--listen" | "--admin-listen" => program(command),
        _ => good(command, upstream),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_setting_is_one_line_that_names_it_as_it_was_given() {
    let upstream = Upstream::with(Transport::Tls, Duration::ZERO).await;
    for Row(commands, flag, variable, value, words) in ROWS {
        for command in *commands {
            let by_flag = free_of(flag, command, &upstream).arg(format!("{flag}={value}")).run();
            let by_variable = free_of(flag, command, &upstream).env(variable, value).run();
            for (ended, name, other) in [(by_flag, flag, variable), (by_variable, variable, flag)] {
                let line = ended.refusal(2);
                assert!(line.contains(name) && !line.contains(other), "{command} {name}={value}: {line}");
                assert!(words.iter().all(|words| line.contains(words)), "{command} {name}={value}: {line}");
            }
        }
    }
}

#[test]
fn a_wrong_command_line_says_what_is_wrong_and_where_help_is() {
    for (arguments, expected) in [
        ("", "no command is given; `oci-backup-gateway --help` lists them"),
        ("restore", "\"restore\": is no command; `oci-backup-gateway --help` lists them"),
        ("serve --fast", "--fast: is not known here; `--help` lists what is"),
        (
            "serve --lisen 1.2.3.4:5",
            "--lisen: is not known here; did you mean --listen? `--help` lists what is",
        ),
        ("serve now", "now: is not known here; `--help` lists what is"),
        ("serve --profile", "--profile: is empty; a value is expected"),
        ("serve --profile=", "--profile: is empty; a value is expected"),
        ("serve --config-file=", "--config-file: is empty; a value is expected"),
        ("serve --region=", "--region: is empty; a value is expected"),
        (
            "serve --no-reflection=yes",
            "unexpected value 'yes' for '--no-reflection' found; no more were expected",
        ),
        ("check --listen 1.2.3.4:5", "--listen: is not known here; `--help` lists what is"),
        ("sandbox --profile X", "--profile: is not known here; `--help` lists what is"),
        (
            "sandbox --stage=1",
            "--stage: \"1\": a duration such as 500ms, 30s or 15m is expected, at most 24h",
        ),
        (
            "sandbox --once --upstream-only --write-config x",
            "the argument '--once' cannot be used with '--upstream-only'",
        ),
        (
            "sandbox --upstream-only",
            "the following required arguments were not provided: --write-config <DIR>",
        ),
        (
            "healthcheck localhost",
            "[ADDRESS]: \"localhost\": an IP address with a port such as 127.0.0.1:50051 is expected",
        ),
        ("healthcheck --region iad", "--region: is not known here; `--help` lists what is"),
    ] {
        assert_eq!(program(arguments).run().refusal(2), expected, "{arguments}");
    }
    let twice = program("serve --profile A --profile B").run();
    assert_eq!(twice.refusal(2), "the argument '--profile <NAME>' cannot be used multiple times");
}

#[test]
fn a_flag_without_a_value_takes_its_word_from_a_variable() {
    for (value, expected) in [
        ("maybe", "GATEWAY_NO_REFLECTION: \"maybe\": true or false is expected"),
        ("2", "GATEWAY_NO_REFLECTION: \"2\": true or false is expected"),
    ] {
        for command in SERVING {
            assert_eq!(program(command).env("GATEWAY_NO_REFLECTION", value).run().refusal(2), expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_of_log_lines_that_is_none_names_its_variable() {
    let upstream = Upstream::start().await;
    let no_filter = ["info,oci_backup_gateway=loud", "=", "inof", "hyper=debug"].map(OsStr::new);
    for filter in no_filter.into_iter().chain([OsStr::from_bytes(b"\xff")]) {
        for command in LOGGING {
            let ended = good(command, &upstream).env("RUST_LOG", filter).run();
            let line = ended.refusal(2);
            assert!(line.starts_with("RUST_LOG: not a log filter such as `info`"), "{command}: {line}");
        }
    }
}

#[test]
fn a_value_that_is_no_text_is_named_wherever_it_stands() {
    let no_text = OsStr::from_bytes(b"a\xff\n");
    let glued = |flag: &str| OsStr::from_bytes(&[flag.as_bytes(), b"=a\xff\n"].concat()).to_owned();
    for (flag, variable) in [
        ("--listen", "GATEWAY_LISTEN"),
        ("--max-deadline", "GATEWAY_MAX_DEADLINE"),
        ("--profile", "OCI_CLI_PROFILE"),
        ("--region", "OCI_CLI_REGION"),
        ("--endpoint", "OCI_CLI_ENDPOINT"),
        ("--proxy", "GATEWAY_PROXY"),
    ] {
        for (ended, name) in [
            (program("serve").arg(flag).arg(no_text).run(), flag),
            (program("serve").arg(glued(flag)).run(), flag),
            (program("serve").env(variable, no_text).run(), variable),
        ] {
            assert_eq!(ended.refusal(2), format!("{name}: its value is not UTF-8"));
        }
    }
    for variable in [
        "OCI_CLI_USER",
        "OCI_CLI_TENANCY",
        "OCI_CLI_FINGERPRINT",
        "OCI_CLI_KEY_FILE",
        "OCI_CLI_KEY_CONTENT",
        "OCI_CLI_PASSPHRASE",
        "OCI_REGION_METADATA",
        "OCI_DEFAULT_REALM",
    ] {
        let ended = program("serve").env(variable, no_text).run();
        assert_eq!(ended.refusal(2), format!("{variable}: its value is not UTF-8"));
    }
    for ended in [
        program("").arg(no_text).run(),
        program("serve").arg(no_text).run(),
        program("serve").arg("a\nb").run(),
    ] {
        assert!(ended.refusal(2).contains("`"), "{ended:?}");
    }
    let path = program("serve").arg("--config-file").arg(no_text.to_string_lossy().replace('\n', "")).run();
    assert!(path.refusal(2).contains("does not exist"), "a path may have any name: {path:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_variable_counts_as_not_set() {
    let upstream = Upstream::start().await;
    let mut serve = good("serve", &upstream).env("RUST_LOG", "").env("GATEWAY_NO_REFLECTION", "");
    for variable in [
        "GATEWAY_DEFAULT_DEADLINE",
        "GATEWAY_MAX_DEADLINE",
        "GATEWAY_MAX_CONNECTION_AGE",
        "GATEWAY_DRAIN_TIMEOUT",
        "GATEWAY_ATTEMPT_TIMEOUT",
        "GATEWAY_LISTEN",
        "GATEWAY_ADMIN_LISTEN",
        "GATEWAY_HEALTH_LISTEN",
        "GATEWAY_PLAINTEXT",
        "GATEWAY_TLS_CERT",
        "GATEWAY_TLS_KEY",
        "GATEWAY_TLS_CLIENT_CA",
        "GATEWAY_LOG_FORMAT",
        "GATEWAY_PROXY",
        "OCI_CLI_PROFILE",
        "OCI_CLI_REGION",
        "OCI_CLI_CERT_BUNDLE",
        "OCI_CLI_USER",
        "OCI_CLI_TENANCY",
        "OCI_CLI_FINGERPRINT",
        "OCI_CLI_KEY_FILE",
        "OCI_CLI_KEY_CONTENT",
        "OCI_CLI_PASSPHRASE",
        "OCI_REGION_METADATA",
        "OCI_DEFAULT_REALM",
    ] {
        serve = serve.env(variable, "");
    }
    let mut serve = serve.start();
    serve.address();
    assert_eq!(serve.logged("readiness")["state"], "ready");
    let ended = program("serve").env("OCI_CLI_CONFIG_FILE", "").run();
    assert!(
        ended.refusal(2).starts_with("~/.oci/config (the default): does not exist; make it with"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_beats_its_variable_and_that_the_default() {
    let upstream = Upstream::start().await;
    let serve = || upstream.sign_in(program("serve --admin-listen 127.0.0.1:0"));
    let by_variable = serve().env("GATEWAY_LISTEN", "127.0.0.2:0").start().address();
    let by_flag = serve().env("GATEWAY_LISTEN", "127.0.0.2:0").arg("--listen=127.0.0.3:0").start().address();
    assert_eq!(
        (by_variable.ip().to_string(), by_flag.ip().to_string()),
        ("127.0.0.2".into(), "127.0.0.3".into())
    );
    let unread = serve().env("GATEWAY_LISTEN", "nonsense").arg("--listen=127.0.0.1:0").start().address();
    assert!(unread.ip().is_loopback());

    let text = good("serve", &upstream).env("GATEWAY_LOG_FORMAT", "json").arg("--log-format=text").start();
    text.until_stderr(" INFO ");
    let json = good("serve", &upstream).env("GATEWAY_LOG_FORMAT", "json").start();
    json.until_stderr("\"level\":\"INFO\"");

    let bad = good("serve", &upstream).env("OCI_CLI_PROFILE", "BY_VARIABLE");
    assert!(bad.run().refusal(2).contains("profile BY_VARIABLE (from OCI_CLI_PROFILE)"));
    let bad = good("serve", &upstream).env("OCI_CLI_PROFILE", "BY_VARIABLE").arg("--profile=BY_FLAG");
    assert!(bad.run().refusal(2).contains("profile BY_FLAG (from --profile)"));

    let deadlines =
        || good("serve", &upstream).env("GATEWAY_MAX_DEADLINE", "20s").arg("--default-deadline=30s");
    assert_eq!(
        deadlines().run().refusal(2),
        "--default-deadline: 30s is longer than GATEWAY_MAX_DEADLINE, 20s; at most that is expected"
    );
    deadlines().arg("--max-deadline=40s").start().address();
    // The default of the one makes way for the other.
    good("serve", &upstream).env("GATEWAY_MAX_DEADLINE", "20s").start().address();
}

#[test]
fn a_password_in_a_proxys_url_is_not_repeated() {
    for url in ["socks5://me:opensesame@proxy", "http://me:opensesame@proxy/path", "http://me:opensesame@a b"]
    {
        let ended = program("serve").env("GATEWAY_PROXY", url).run();
        assert!(ended.refusal(2).starts_with("GATEWAY_PROXY: a URL such as"), "{ended:?}");
        assert!(!ended.stderr.contains("opensesame"));
    }
    let help = program("serve --help").env("GATEWAY_PROXY", "http://me:opensesame@proxy").run();
    assert!(help.stdout.contains("[env: GATEWAY_PROXY]") && !help.stdout.contains("opensesame"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_a_failure_at_run_time_that_names_its_flag() {
    let upstream = Upstream::start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for (flag, command) in [
        ("--listen", "serve --admin-listen 127.0.0.1:0"),
        ("--admin-listen", "serve --listen 127.0.0.1:0"),
        ("--health-listen", "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"),
    ] {
        let ended = upstream
            .sign_in(program(command))
            .arg(flag)
            .arg(address.to_string())
            .env("RUST_LOG", "error")
            .run();
        let line = ended.refusal(1);
        assert!(
            line.starts_with(&format!("{flag}: cannot listen on {address}: Address already in use")),
            "{line}"
        );
    }
    for flag in ["--oci-listen", "--control-listen"] {
        let ended = program("sandbox --once").arg(flag).arg(address.to_string()).run();
        let line = ended.refusal(1);
        assert!(
            line.contains(flag)
                && line.contains(&format!("cannot listen on {address}: Address already in use")),
            "{line}"
        );
    }
}
