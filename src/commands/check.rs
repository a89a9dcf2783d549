//! `check`: is everything there that `serve` needs, and does OCI agree? In plain words.

use super::Failure;
use super::connect::Connected;
use super::connect::connect;
use crate::config::Check;
use crate::oci;
use crate::oci::error::Cause;
use crate::oci::error::TransportKind;
use crate::oci::probe::Probe;
use std::io::Write;
use std::process::ExitCode;

pub(super) async fn run(settings: Check) -> Result<ExitCode, Failure> {
    let oci = connect(&settings.upstream)?;
    let mut report = Report(std::io::stdout());
    for (name, place) in &oci.places {
        report.line(name, place);
    }
    report.line("user", oci.user.as_str());
    report.line("fingerprint", &format!("{}, that of the key", oci.fingerprint));
    report.line("endpoint", &oci.endpoint);
    for warning in &oci.warnings {
        report.line("warning", warning);
    }
    let probe = Probe { compartment_id: oci.tenancy.clone() };
    let asked = oci.client.probe(probe, oci::Call::default()).await;
    clock(&oci, &mut report);
    match asked {
        Ok(()) => {
            report.line("OCI", "takes the credential and lists backups in the root compartment: all is well");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            report.line("OCI", &wrong(&oci, &error));
            Ok(ExitCode::from(1))
        }
    }
}

fn clock(oci: &Connected, report: &mut Report) {
    match oci.clock.offset_ms() {
        0 => report.line("clock", "close enough to OCI's"),
        offset => {
            let (seconds, way) =
                (offset.unsigned_abs() / 1000, if offset > 0 { "behind" } else { "ahead of" });
            report.line(
                "clock",
                &format!(
                    "{seconds} s {way} OCI's, which refuses more than 300 s; the gateway signs with OCI's time, but \
                     set the machine's clock (NTP)"
                ),
            );
        }
    }
}

/// What is wrong and whose move it is.
fn wrong(oci: &Connected, error: &oci::Error) -> String {
    let (user, tenancy) = (&oci.user, &oci.tenancy);
    match &*error.cause {
        Cause::Service(service) => match (service.status.as_u16(), service.code.as_deref()) {
            (401, _) => format!(
                "refuses the credential (401, opc-request-id {}): compare the fingerprint {} with the API keys of \
                 {user} in the Console (Identity, Users, API keys); is the user in the tenancy {tenancy}, and the key \
                 not deleted?",
                error.opc_request_id, oci.fingerprint
            ),
            (404, Some("NotAuthorizedOrNotFound")) | (403, _) => format!(
                "takes the credential, but a policy is missing (or is meant for another compartment than the root, \
                 {tenancy}); an administrator adds, for a group that {user} is in: \
                 `Allow group <group> to use volumes in tenancy`, \
                 `Allow group <group> to manage volume-backups in tenancy`, \
                 `Allow group <group> to manage boot-volume-backups in tenancy`"
            ),
            (300..=399, _) | (_, None) => format!(
                "is not what answers at {}: HTTP {} without an error of OCI's; check --endpoint, --region and proxies",
                oci.endpoint, service.status
            ),
            (status, Some(code)) => {
                format!(
                    "answers {status} {code}: {} (opc-request-id {})",
                    service.message, error.opc_request_id
                )
            }
        },
        Cause::Transport(transport) => {
            format!("cannot be asked at {}: {}", oci.endpoint, remedy(transport.kind, &error.cause))
        }
        Cause::Decode(_) => {
            format!(
                "is not what answers at {}: {}; check --endpoint and proxies",
                oci.endpoint,
                error.cause.describe()
            )
        }
        Cause::Credentials(_) | Cause::Deadline { .. } | Cause::Signature(_) | Cause::Internal(_) => {
            error.cause.describe()
        }
    }
}

fn remedy(kind: TransportKind, cause: &Cause) -> String {
    let remedy = match kind {
        TransportKind::Dns => "check the region's spelling, --endpoint and this machine's DNS",
        TransportKind::Connect => "check the network, firewalls and --proxy",
        TransportKind::Tls => "check --cert-bundle, the system's CA certificates and inspecting proxies",
        TransportKind::Reset | TransportKind::Timeout => {
            "something on the way breaks connections; try again, check proxies"
        }
        TransportKind::TooLarge => "that is no answer of OCI's; check --endpoint and proxies",
        TransportKind::Request => "this is a fault of the gateway",
    };
    format!("{}; {remedy}", cause.describe())
}

/// Aligned lines on standard output.
struct Report(std::io::Stdout);

impl Report {
    fn line(&mut self, name: &str, text: &str) {
        // Whoever closed standard output does not want to know.
        let _ = writeln!(self.0, "{name:<12} {text}");
    }
}
