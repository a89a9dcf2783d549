//! `check`: is everything there that `serve` needs, and does OCI agree? In plain words.

use super::Failure;
use super::connect::Connected;
use super::connect::connect;
use super::deepest;
use super::sign_in::Beside;
use crate::config::Auth;
use crate::config::Check;
use crate::config::Given;
use crate::credentials::Credentials;
use crate::oci;
use crate::oci::error::Cause;
use crate::oci::error::Service;
use crate::oci::error::TransportKind;
use crate::oci::probe::Knock;
use crate::oci::probe::Probe;
use crate::telemetry::Recorder;
use crate::transport::Error as TransportError;
use crate::transport::retry;
use std::io::Write;
use std::process::ExitCode;
use std::time::SystemTime;

pub(super) async fn run(settings: Check, given: &Given) -> Result<ExitCode, Failure> {
    let oci = connect(&settings.upstream, given, retry::Config::default(), Recorder::nowhere()).await?;
    let mut report = Report { out: std::io::stdout(), last: "" };
    report.line("auth", &oci.auth);
    let held = match oci.first.clone() {
        Some(first) => first,
        None => oci.credentials.provide().await,
    };
    let beside = oci.notes.take();
    beside.places.iter().for_each(|place| report.line("credential", place));
    let held = match held {
        Ok(held) => held,
        Err(error) => {
            report.line("problem", &error.to_string());
            error.line().split("; ").for_each(|part| report.line("problem", part));
            place(&oci, &beside, &mut report);
            clock(&oci, &mut report);
            return Ok(ExitCode::from(1));
        }
    };
    owner(&oci, &beside, &held, &mut report);
    place(&oci, &beside, &mut report);
    let asked = ask(&oci, &held).await;
    clock(&oci, &mut report);
    let error = match asked {
        Ok(lines) => {
            lines.iter().for_each(|line| report.line("OCI", line));
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => error,
    };
    let asked = Asked { oci: &oci, auth: settings.upstream.auth.unwrap_or(Auth::ApiKey), held: &held };
    for line in asked.wrong(&error) {
        report.line("OCI", &line);
    }
    if !never_sent(&error.cause) {
        report.line("request id", &error.opc_request_id);
    }
    Ok(ExitCode::from(1))
}

/// Asks OCI for something harmless: what it says when all is well.
async fn ask(oci: &Connected, held: &Credentials) -> Result<&'static [&'static str], oci::Error> {
    const WELL: [&str; 1] = ["takes the credential and lists backups in the root compartment: all is well"];
    const UNKNOWN: [&str; 2] = [
        "takes the credential; the token does not say in which tenancy,",
        "so whether a policy lets it make backups was not asked",
    ];
    let call = oci::Call::default();
    let knock = match (held.owner().tenancy.clone(), Knock::new()) {
        (Some(compartment_id), _) => {
            return oci.client.probe(Probe { compartment_id }, call).await.map(|()| &WELL[..]);
        }
        (None, Ok(knock)) => knock,
        (None, Err(_no_ocid)) => return Ok(&["is not asked: the token does not say in which tenancy"]),
    };
    match oci.client.knock(knock, call).await {
        // Nobody has such a backup, and only who is known is told so.
        Err(error) if is_not_found(&error.cause) => Ok(&UNKNOWN),
        Err(error) => Err(error),
        Ok(()) => Ok(&UNKNOWN),
    }
}

fn is_not_found(cause: &Cause) -> bool {
    matches!(cause, Cause::Service(it) if it.status.as_u16() == 404 && it.code.as_deref() == Some("NotAuthorizedOrNotFound"))
}

/// Where OCI is, and what is odd about that or about the credential.
fn place(oci: &Connected, beside: &Beside, report: &mut Report) {
    let region = oci.place.region();
    match (oci.endpoint(), &*region) {
        (Some(_), "") => {
            report.line("region", "not known: the endpoint names none, and --region is not given")
        }
        (None, _) => report.line("region", "not known: the credential's source says it, and did not answer"),
        (Some(_), region) => report.line("region", region),
    }
    report.line("endpoint", &oci.endpoint().unwrap_or_else(|| "not known: it is the region's".to_owned()));
    beside.warnings.iter().for_each(|warning| report.line("warning", warning));
}

/// Who signs in, with what, and until when.
fn owner(oci: &Connected, beside: &Beside, held: &Credentials, report: &mut Report) {
    if let Some((kind, name)) = &held.owner().subject {
        report.line(kind, name);
    }
    if let Some(tenancy) = &held.owner().tenancy {
        report.line("tenancy", tenancy.as_str());
    }
    if let Some(key) = &beside.key {
        report.line("key", key);
    }
    match held.expires() {
        None => {
            report.line("fingerprint", &format!("{}, that of the key", held.identity().key.fingerprint()));
            report.line("expires", "not by itself");
        }
        Some(expires) => {
            let left = expires.duration_since(oci.clock.now()).unwrap_or_default().as_secs() / 60;
            report.line("expires", &format!("{}, in {left} min", shown(expires)));
        }
    }
}

/// How far the machine's clock is from OCI's, who tells the time in each answer.
fn clock(oci: &Connected, report: &mut Report) {
    let corrected = Some(oci.clock.offset_ms()).filter(|offset| *offset != 0);
    let Some(ahead) = oci.clock.seen_ms().or(corrected) else {
        report.line("clock", "not compared with OCI's: no answer that tells the time has come");
        return;
    };
    let seconds = ahead.unsigned_abs() / 1000;
    // Less is the rounding of dates to seconds.
    if seconds < 2 {
        report.line("clock", "within 2 s of OCI's");
        return;
    }
    let way = if ahead > 0 { "behind" } else { "ahead of" };
    report.line("clock", &format!("{seconds} s {way} OCI's, which refuses what is 300 s off: set it (NTP)"));
    if corrected.is_some() {
        report.line("clock", "until then the gateway signs with OCI's time");
    }
}

/// Who asked OCI, and how.
struct Asked<'a> {
    oci: &'a Connected,
    auth: Auth,
    held: &'a Credentials,
}

impl Asked<'_> {
    /// What is wrong and whose move it is.
    fn wrong(&self, error: &oci::Error) -> Vec<String> {
        match &*error.cause {
            Cause::Service(service) => self.refused(service),
            Cause::Transport(transport) => vec![unreached(transport), remedy(transport.kind).to_owned()],
            Cause::Decode(unusable) => {
                vec![unusable.to_string(), foreign(self.oci)]
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

    fn refused(&self, service: &Service) -> Vec<String> {
        let status = service.status.as_u16();
        match (status, service.code.as_deref()) {
            // A proxy's page, or another server.
            (_, None) => {
                vec![format!("answers HTTP {status} without an error of OCI's"), foreign(self.oci)]
            }
            (401, _) => self.unknown(),
            (404, Some("NotAuthorizedOrNotFound")) | (403, _) => {
                let (group, which) = self.group();
                vec![
                    format!("takes the credential, but a policy is missing (HTTP {status})"),
                    format!("an administrator adds, for {which}:"),
                    format!("  Allow {group} to use volumes in tenancy"),
                    format!("  Allow {group} to manage volume-backups in tenancy"),
                    format!("  Allow {group} to manage boot-volume-backups in tenancy"),
                    "(with `in compartment <name>` backups work there, but this check asks for the root)"
                        .to_owned(),
                ]
            }
            // No such operation.
            (404, Some(code @ "NotFound")) => {
                vec![format!("answers HTTP {status} {code}: {}", service.message), foreign(self.oci)]
            }
            (_, Some(code)) => {
                vec![format!("answers HTTP {status} {code}: {}", service.message), whose(status).to_owned()]
            }
        }
    }

    /// What to look at when OCI does not know who asks.
    fn unknown(&self) -> Vec<String> {
        let mut lines = vec!["refuses the credential (HTTP 401)".to_owned()];
        match self.auth {
            Auth::ApiKey => lines.extend([
                format!(
                    "is {} among the user's API keys in the Console",
                    self.held.identity().key.fingerprint()
                ),
                "(Identity, Users, API keys), the user in that tenancy and not blocked?".to_owned(),
            ]),
            Auth::SecurityToken => {
                lines.push("was the session ended? `oci session authenticate` begins another".to_owned());
            }
            Auth::InstancePrincipal | Auth::OkeWorkloadIdentity | Auth::ResourcePrincipal => {
                lines.push("the token is OCI's own: is the endpoint in the realm that gave it?".to_owned());
            }
        }
        let time = shown(self.oci.clock.now());
        lines.push(format!("the gateway signs with the time {time}: is that right within 5 minutes?"));
        lines
    }

    /// Whom a policy has to name, in its own words and in ours.
    fn group(&self) -> (&'static str, &'static str) {
        match self.auth {
            Auth::ApiKey | Auth::SecurityToken => ("group <group>", "a group that the user is in"),
            Auth::InstancePrincipal => ("dynamic-group <group>", "a dynamic group that the instance is in"),
            Auth::ResourcePrincipal => ("dynamic-group <group>", "a dynamic group that the resource is in"),
            Auth::OkeWorkloadIdentity => (
                "any-user",
                "the workload, with `where all {request.principal.type = 'workload', ...}` behind each",
            ),
        }
    }
}

fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|error| error.to_string(), |time| format!("{time:.0}"))
}

fn whose(status: u16) -> &'static str {
    match status {
        429 => "too many requests from this tenancy; try again in a minute",
        500.. => "OCI is in trouble; try again, see its status page, then ask its support by the request id",
        _ => "OCI's documentation of that code says more",
    }
}

fn foreign(oci: &Connected) -> String {
    format!("is that OCI at {}? check --endpoint, --region and proxies", oci.endpoint().unwrap_or_default())
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
        // A token's claims are somebody else's words, and no commands for a terminal.
        let text = text.replace(|letter: char| letter.is_control(), "\u{fffd}");
        // Whoever closed standard output does not want to know.
        let _ = writeln!(self.out, "{shown:<12} {text}");
    }
}
