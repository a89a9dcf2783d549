//! What a newcomer is told first: what runs here, and where. Scripts read the first two words of a line.

use crate::commands::healthcheck::reachable;
use crate::sandbox::IssuerFiles;
use crate::sandbox::Sandbox;
use crate::sandbox::WrittenFiles;
use crate::server::Server;

/// The gateway, and the OCI behind it.
pub(super) fn all(server: &Server, sandbox: &Sandbox) -> String {
    let admin = format!("http://{}", server.admin_address());
    [
        "The gateway, in front of an OCI that lives in this process: nothing leaves the machine.\n"
            .to_owned(),
        line("gateway", &server.address().to_string(), "gRPC, plaintext"),
        line("admin", &admin, "/livez /readyz /metrics"),
        upstream(sandbox),
    ]
    .join("\n")
}

/// The OCI.
pub(super) fn upstream(sandbox: &Sandbox) -> String {
    let control = format!("http://{}", sandbox.control_addr());
    let mut lines = vec![
        line("OCI", &endpoint(sandbox), "Block Volume API; checks signatures"),
        line("control", &control, "/sandbox/faults /sandbox/ledger"),
    ];
    if let Some(issuers) = sandbox.issuers() {
        let cluster = format!("https://{}", issuers.cluster_addr());
        lines.push(line("metadata", &issuers.metadata_url(), "IMDS of an instance"));
        lines.push(line("auth", &issuers.federation_url(), "/v1/x509: federation of instances"));
        lines.push(line("OKE", &cluster, "workload identity of a pod"));
    }
    lines.join("\n")
}

/// What lets another process in, and how.
pub(super) fn files(files: &WrittenFiles, sandbox: &Sandbox) -> String {
    let config = files.config.display();
    let mut lines = vec![line("config", &config.to_string(), "")];
    let mut flags = format!("--config-file {config} --endpoint {}", endpoint(sandbox));
    if let Some(authority) = &files.certificate_authority {
        let authority = authority.display();
        lines.push(line("authority", &authority.to_string(), ""));
        flags.push_str(&format!(" --cert-bundle {authority}"));
    }
    let others = files.issuers.iter().flat_map(IssuerFiles::all);
    lines.extend(others.map(|file| line("variables", &file.display().to_string(), "")));
    lines.push(format!("\nTo sign in from another terminal:\noci-backup-gateway check {flags}"));
    lines.join("\n")
}

/// Where the OCI is called from this machine.
fn endpoint(sandbox: &Sandbox) -> String {
    let listening = sandbox.oci_addr();
    sandbox.endpoint().replace(&listening.to_string(), &reachable(listening).to_string())
}

fn line(name: &str, address: &str, what: &str) -> String {
    format!("{name:<9} {address:<25} {what}").trim_end().to_owned()
}
