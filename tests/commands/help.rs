//! What the program says of itself.

use crate::process::program;

const COMMANDS: [&str; 5] = ["serve", "sandbox", "check", "healthcheck", "proto"];

fn help(command: &str) -> String {
    let ended = program(command).arg("--help").run();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    ended.stdout
}

#[test]
fn help_fits_the_screen_and_has_no_colours_in_a_pipe() {
    for command in [&[""], &COMMANDS[..]].concat() {
        let help = help(command);
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert!(!help.contains('\u{1b}'), "{help}");
    }
}

#[test]
fn help_groups_flags_and_ends_with_examples() {
    for (command, groups) in [
        ("serve", &["Listeners:", "Time:", "OCI:", "Logs:", "Examples:"][..]),
        ("sandbox", &["Sandbox:", "Listeners:", "Time:", "Logs:", "Examples:"]),
        ("check", &["OCI:", "Time:", "Logs:", "Examples:"]),
        ("healthcheck", &["Arguments:", "Options:", "Examples:"]),
        ("proto", &["Options:", "Examples:"]),
    ] {
        let help = help(command);
        let at: Vec<_> = groups.iter().map(|group| help.find(&format!("\n{group}")).expect(group)).collect();
        assert!(at.is_sorted(), "{command}: {at:?}");
        assert!(
            help.contains(&format!("\n  oci-backup-gateway {command}")) && help.contains("\nExit code: 0 ")
        );
    }
}

#[test]
fn help_shows_the_variable_and_the_default_of_every_flag() {
    for (variable, default, commands) in [
        ("GATEWAY_LISTEN", "127.0.0.1:50051", &["serve", "sandbox", "healthcheck"][..]),
        ("GATEWAY_ADMIN_LISTEN", "127.0.0.1:9464", &["serve", "sandbox"]),
        ("GATEWAY_NO_REFLECTION", "", &["serve", "sandbox"]),
        ("GATEWAY_DEFAULT_DEADLINE", "30s, or the longest if that is less", &["serve", "sandbox"]),
        ("GATEWAY_MAX_DEADLINE", "60s", &["serve", "sandbox"]),
        ("GATEWAY_MAX_CONNECTION_AGE", "15m", &["serve", "sandbox"]),
        ("GATEWAY_DRAIN_TIMEOUT", "25s", &["serve", "sandbox"]),
        ("GATEWAY_ATTEMPT_TIMEOUT", "10s", &["serve", "sandbox", "check"]),
        ("GATEWAY_LOG_FORMAT", "text on a terminal, else json", &["serve", "sandbox", "check"]),
        ("GATEWAY_PROXY", "", &["serve", "check"]),
        ("OCI_CLI_CONFIG_FILE", "~/.oci/config", &["serve", "check"]),
        ("OCI_CLI_PROFILE", "DEFAULT", &["serve", "check"]),
        ("OCI_CLI_AUTH", "api_key", &["serve", "check"]),
        ("OCI_CLI_REGION", "the profile's, instance's or resource's", &["serve", "check"]),
        ("OCI_CLI_ENDPOINT", "", &["serve", "check"]),
        ("OCI_CLI_CERT_BUNDLE", "", &["serve", "check"]),
        ("GATEWAY_SANDBOX_OCI_LISTEN", "127.0.0.1:0", &["sandbox"]),
        ("GATEWAY_SANDBOX_CONTROL_LISTEN", "127.0.0.1:0", &["sandbox"]),
        ("RUST_LOG", "", &["serve", "sandbox", "check"]),
    ] {
        for command in COMMANDS {
            let help = help(command).split_whitespace().collect::<Vec<_>>().join(" ");
            let shown =
                help.contains(&format!("[env: {variable}]")) || help.contains(&format!("{variable} chooses"));
            assert_eq!(shown, commands.contains(&command), "{command}: {variable}");
            assert!(
                !shown || default.is_empty() || help.contains(&format!("[default: {default}]")),
                "{variable}"
            );
        }
    }
}

#[test]
fn version_names_the_revision_that_the_binary_was_built_from() {
    let ended = program("--version").run();
    let version = ended.stdout.strip_prefix(concat!("oci-backup-gateway ", env!("CARGO_PKG_VERSION"), " ("));
    let revision = version.unwrap().split(',').next().unwrap().trim_end_matches("-dirty");
    let hash = revision.len() == 12 && revision.bytes().all(|digit| digit.is_ascii_hexdigit());
    assert!(hash || revision == "unknown", "{ended:?}");
    assert!(ended.stdout.contains("linux") && ended.stdout.contains("rustc 1."), "{ended:?}");
}
