//! Which host is called for which region: `serve` says it at start. Nobody is called: the way leads to a proxy that is not
//! there, which is the one warning of each.

use crate::process::Program;
use crate::process::program;
use crate::upstream::Upstream;
use serde_json::Value;
use tempfile::TempDir;

const OWN: &str = r#"{"realmKey":"OC99","realmDomainComponent":"Example.COM","regionKey":"XYZ","regionIdentifier":"my-region-1"}"#;

/// The endpoint and the warnings of a program that starts.
fn starts(program: Program) -> (String, Vec<String>) {
    let mut running = program.start();
    running.address();
    let endpoint = running.logged("starting")["endpoint"].as_str().unwrap().to_owned();
    let lines = running.stderr();
    let lines = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let warnings = lines.filter(|line| line["level"] == "WARN");
    let warnings = warnings.map(|line| line["message"].as_str().unwrap().to_owned());
    (endpoint, warnings.filter(|warning| !warning.starts_with("OCI could not be asked")).collect())
}

/// `serve` with a key, a region of `us-ashburn-1` in its profile, and these arguments.
fn serve(files: &TempDir, arguments: &str) -> Program {
    let program = program("serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --proxy http://127.0.0.1:1");
    let program = program.arg("--config-file");
    arguments.split_whitespace().fold(program.arg(files.path().join("config")), Program::arg)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_becomes_the_host_that_the_sdks_would_call() {
    let upstream = Upstream::start().await;
    let serve = |arguments: &str| serve(&upstream.files, arguments);
    let of = |host: &str| (format!("https://iaas.{host}"), Vec::<String>::new());

    assert_eq!(starts(serve("")), of("us-ashburn-1.oraclecloud.com"), "the profile's");
    assert_eq!(starts(serve("--region fra")), of("eu-frankfurt-1.oraclecloud.com"), "a short code");
    assert_eq!(starts(serve("--region PHX")), of("us-phoenix-1.oraclecloud.com"), "in capitals");
    assert_eq!(
        starts(serve("").env("OCI_CLI_REGION", "lhr")),
        of("uk-london-1.oraclecloud.com"),
        "a variable"
    );
    assert_eq!(
        starts(serve("--region us-langley-1")),
        of("us-langley-1.oraclegovcloud.com"),
        "another realm"
    );
    assert_eq!(starts(serve("--region r1.cloud.example")), of("r1.cloud.example"), "a whole domain");

    let own = serve("--region xyz").env("OCI_REGION_METADATA", OWN);
    assert_eq!(starts(own), of("my-region-1.example.com"), "OCI_REGION_METADATA");
    let own = serve("--region my-region-1").file(".oci/regions-config.json", format!("[{OWN}]"));
    assert_eq!(starts(own), of("my-region-1.example.com"), "regions-config.json");
    let own = serve("--region new-region-1").env("OCI_DEFAULT_REALM", "oraclecloud20.com");
    assert_eq!(starts(own), of("new-region-1.oraclecloud20.com"), "OCI_DEFAULT_REALM");

    let (given, warnings) = starts(serve("--region fra --endpoint https://iaas.example.com:8443/"));
    assert_eq!(
        (given.as_str(), warnings.len()),
        ("https://iaas.example.com:8443", 0),
        "--endpoint beats --region"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_odd_about_a_region_is_a_warning() {
    let upstream = Upstream::start().await;
    let serve = |arguments: &str| serve(&upstream.files, arguments);

    let (endpoint, warnings) = starts(serve("--region us-asburn-1"));
    assert_eq!(endpoint, "https://iaas.us-asburn-1.oraclecloud.com");
    assert_eq!(
        warnings,
        ["the region us-asburn-1 is not known; oraclecloud.com is assumed to be its domain"]
    );

    let (endpoint, warnings) =
        starts(serve("").env("OCI_REGION_METADATA", "{").env("OCI_DEFAULT_REALM", "a/b"));
    assert_eq!(endpoint, "https://iaas.us-ashburn-1.oraclecloud.com");
    assert!(warnings.iter().any(|line| line.starts_with("OCI_REGION_METADATA is ignored: ")), "{warnings:?}");
    assert!(warnings.iter().any(|line| line.starts_with("OCI_DEFAULT_REALM is ignored: ")), "{warnings:?}");

    let (_, warnings) = starts(serve("").file(".oci/regions-config.json", "{}"));
    assert!(
        matches!(&warnings[..], [one] if one.starts_with("regions-config.json is ignored: ")),
        "{warnings:?}"
    );
}
