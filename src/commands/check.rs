//! `check`: is everything there that `serve` needs, and does OCI agree? In plain words.

use super::Failure;
use super::connect::Connected;
use super::connect::connect;
use super::deepest;
use crate::config::Check;
use crate::config::Given;
use crate::oci;
use crate::oci::error::Cause;
use crate::oci::error::Service;
use crate::oci::error::TransportKind;
use crate::oci::probe::Probe;
use crate::transport::Error as TransportError;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::ExitCode;

pub(super) async fn run(settings: Check, given: &Given) -> Result<ExitCode, Failure> {
    let oci = connect(&settings.upstream, given)?;
    let mut report = Report { out: std::io::stdout(), last: "" };
    for place in places(&oci) {
        report.line("credential", &place);
    }
    report.line("user", oci.user.as_str());
    report.line("tenancy", oci.tenancy.as_str());
    report.line("key", &oci.key);
    report.line("fingerprint", &format!("{}, that of the key", oci.fingerprint));
    report.line("endpoint", &oci.endpoint);
    for warning in &oci.warnings {
        report.line("warning", warning);
    }
    let probe = Probe { compartment_id: oci.tenancy.clone() };
    let asked = oci.client.probe(probe, oci::Call::default()).await;
    clock(&oci, &mut report);
    let Err(error) = asked else {
        report.line("OCI", "takes the credential and lists backups in the root compartment: all is well");
        return Ok(ExitCode::SUCCESS);
    };
    for line in wrong(&oci, &error) {
        report.line("OCI", &line);
    }
    if !never_sent(&error.cause) {
        report.line("request id", &error.opc_request_id);
    }
    Ok(ExitCode::from(1))
}

/// The profiles and variables that the credential was put together from.
fn places(oci: &Connected) -> BTreeSet<String> {
    let profile =
        |(name, place): &(&str, String)| place.strip_suffix(&format!(", {name}")).unwrap_or(place).to_owned();
    oci.places.iter().map(profile).collect()
}

/// What was learnt about the clock: OCI answers a date that it refuses with its own.
fn clock(oci: &Connected, report: &mut Report) {
    let offset = oci.clock.offset_ms();
    let seconds = offset.unsigned_abs() / 1000;
    // Less is the rounding of dates to seconds, and of a clock that was put right again.
    if seconds > 1 {
        let way = if offset > 0 { "behind" } else { "ahead of" };
        report.line(
            "clock",
            &format!("{seconds} s {way} OCI's, which refuses what is 300 s off: set it (NTP)"),
        );
        report.line("clock", "until then the gateway signs with OCI's time");
    }
}

/// What is wrong and whose move it is.
fn wrong(oci: &Connected, error: &oci::Error) -> Vec<String> {
    match &*error.cause {
        Cause::Service(service) => refused(oci, service),
        Cause::Transport(transport) => vec![unreached(transport), remedy(transport.kind).to_owned()],
        Cause::Decode(unusable) => {
            vec![unusable.to_string(), foreign(oci)]
        }
        Cause::Credentials(_)
        | Cause::Deadline { .. }
        | Cause::Breaker { .. }
        | Cause::Draining { .. }
        | Cause::TokenReused
        | Cause::Signature(_)
        | Cause::Internal(_) => vec![error.cause.describe()],
    }
}

fn refused(oci: &Connected, service: &Service) -> Vec<String> {
    let status = service.status.as_u16();
    match (status, service.code.as_deref()) {
        (401, _) => vec![
            "refuses the credential (HTTP 401)".to_owned(),
            format!("is {} among the user's API keys in the Console", oci.fingerprint),
            "(Identity, Users, API keys), the user in that tenancy and not blocked?".to_owned(),
            format!("the gateway signs with the time {}: is that right within 5 minutes?", time(oci)),
        ],
        (404, Some("NotAuthorizedOrNotFound")) | (403, _) => vec![
            format!("takes the credential, but a policy is missing (HTTP {status})"),
            "an administrator adds, for a group that the user is in:".to_owned(),
            "  Allow group <group> to use volumes in tenancy".to_owned(),
            "  Allow group <group> to manage volume-backups in tenancy".to_owned(),
            "  Allow group <group> to manage boot-volume-backups in tenancy".to_owned(),
            "(with `in compartment <name>` backups work there, but this check asks for the root)".to_owned(),
        ],
        (_, Some(code)) => {
            vec![format!("answers HTTP {status} {code}: {}", service.message), whose(status).to_owned()]
        }
        (_, None) => vec![format!("answers HTTP {status} without an error of OCI's"), foreign(oci)],
    }
}

fn time(oci: &Connected) -> String {
    jiff::Timestamp::try_from(oci.clock.now())
        .map_or_else(|error| error.to_string(), |time| format!("{time:.0}"))
}

fn whose(status: u16) -> &'static str {
    match status {
        429 => "too many requests from this tenancy; try again in a minute",
        500.. => "OCI is in trouble; try again, see its status page, then ask its support by the request id",
        _ => "OCI's documentation of that code says more",
    }
}

fn foreign(oci: &Connected) -> String {
    format!("is that OCI at {}? check --endpoint, --region and proxies", oci.endpoint)
}

fn unreached(error: &TransportError) -> String {
    let (kind, reason) = (error.kind, deepest(error));
    if error.source.is_some() {
        format!("gives no answer: {kind}: {reason}")
    } else {
        format!("gives no answer: {kind}")
    }
}

/// Whether OCI cannot know of the request.
fn never_sent(cause: &Cause) -> bool {
    match cause {
        Cause::Transport(error) => error.kind.never_sent(),
        Cause::Credentials(_) | Cause::Signature(_) | Cause::Breaker { .. } | Cause::TokenReused => true,
        Cause::Service(_)
        | Cause::Decode(_)
        | Cause::Deadline { .. }
        | Cause::Draining { .. }
        | Cause::Internal(_) => false,
    }
}

fn remedy(kind: TransportKind) -> &'static str {
    match kind {
        TransportKind::Dns => "check the region's spelling, --endpoint, --proxy and this machine's DNS",
        TransportKind::Connect => "check the network, firewalls, --endpoint and --proxy",
        TransportKind::Tls => "check --cert-bundle, the system's CA certificates and inspecting proxies",
        TransportKind::Reset | TransportKind::Timeout => {
            "something on the way breaks connections: try again, check firewalls and proxies"
        }
        TransportKind::TooLarge => "that is no answer of OCI's: check --endpoint and proxies",
        TransportKind::Request => "this is a fault of the gateway",
    }
}

/// Aligned lines on standard output; a name is said once.
struct Report {
    out: std::io::Stdout,
    last: &'static str,
}

impl Report {
    fn line(&mut self, name: &'static str, text: &str) {
        let shown = if name == self.last { "" } else { name };
        self.last = name;
        // Whoever closed standard output does not want to know.
        let _ = writeln!(self.out, "{shown:<12} {text}");
    }
}
