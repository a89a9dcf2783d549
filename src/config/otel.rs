//! The variables of OpenTelemetry (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables). The SDK reads
//! most of them by itself and goes on with a default where a value is wrong; here such a value ends the start.

use super::Problem;
use super::environment::text;
use super::file;
use crate::telemetry::Export;
use crate::telemetry::Exports;
use crate::telemetry::Propagation;
use crate::telemetry::Protocol;
use crate::telemetry::Tls;
use http::HeaderName;
use http::Uri;
use percent_encoding::percent_decode_str;
use rustls::InconsistentKeys;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Of one request, where no variable says another (opentelemetry.io/docs/specs/otel/protocol/exporter).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is to be exported: nothing, unless a signal's exporter or an endpoint is named.
pub fn exports() -> Result<Exports, Problem> {
    let (propagation, warnings) = propagation()?;
    if switch("OTEL_SDK_DISABLED")? {
        return Ok(Exports { propagation, warnings, ..Exports::default() });
    }
    for (name, check) in CHECKS {
        if let Some(value) = text(name)?
            && let Err(expected) = check(&value)
        {
            return Err(Problem::with(name, format_args!("{}; {expected}", shown(name, &value))));
        }
    }
    Ok(Exports {
        traces: exported("TRACES")?,
        metrics: exported("METRICS")?,
        logs: exported("LOGS")?,
        resource: resource()?,
        propagation,
        warnings,
    })
}

/// Who is speaking, by the variables; of the name, `OTEL_SERVICE_NAME` has the last word
/// (opentelemetry.io/docs/specs/otel/resource/sdk).
fn resource() -> Result<BTreeMap<String, String>, Problem> {
    const NAME: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let attributes = text(NAME)?.unwrap_or_default();
    let attributes = attributes.split(',').filter_map(|pair| pair.split_once('='));
    let decoded = |(key, value): (&str, &str)| {
        let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_error| {
            Problem::with(NAME, format_args!("{value:?}; UTF-8 in percent-encoding is expected"))
        })?;
        Ok((key.trim().to_owned(), value.into_owned()))
    };
    let name = text("OTEL_SERVICE_NAME")?.map(|name| Ok(("service.name".to_owned(), name)));
    attributes.map(decoded).chain(name).collect()
}

/// Whether a signal goes out by OTLP. `/metrics` and the log on standard error are there whatever is said here.
fn exported(signal: &str) -> Result<Option<Export>, Problem> {
    // Wrong values are told where they are not needed, too.
    let export = export(signal)?;
    let name = format!("OTEL_{signal}_EXPORTER");
    let Some(exporters) = text(&name)? else {
        let endpoint = text(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"))?;
        let is_asked = endpoint.is_some() || text("OTEL_EXPORTER_OTLP_ENDPOINT")?.is_some();
        return Ok(is_asked.then_some(export));
    };
    let mut is_exported = false;
    for exporter in exporters.split(',').map(str::trim) {
        match exporter {
            "otlp" => is_exported = true,
            "none" => {}
            "prometheus" if signal == "METRICS" => {}
            _ => {
                let known = if signal == "METRICS" { "otlp, prometheus or none" } else { "otlp or none" };
                return Err(Problem::with(&name, format_args!("{exporter:?}; {known} is expected")));
            }
        }
    }
    Ok(is_exported.then_some(export))
}

fn export(signal: &str) -> Result<Export, Problem> {
    let (_name, protocol) = setting(signal, "PROTOCOL")?;
    let protocol = if protocol.as_deref() == Some("grpc") { Protocol::Grpc } else { Protocol::Http };
    let (name, timeout) = setting(signal, "TIMEOUT")?;
    let timeout = timeout.map(|millis| millis.parse().map(Duration::from_millis)).transpose();
    let timeout = timeout.map_err(|error| Problem::with(&name, error))?.unwrap_or(DEFAULT_TIMEOUT);
    Ok(Export { protocol, tls: tls(signal)?, timeout })
}

/// A signal's own value, or the one for all, and the variable that has it.
fn setting(signal: &str, what: &str) -> Result<(String, Option<String>), Problem> {
    let (own, all) = (format!("OTEL_EXPORTER_OTLP_{signal}_{what}"), format!("OTEL_EXPORTER_OTLP_{what}"));
    match text(&own)? {
        Some(value) => Ok((own, Some(value))),
        None => text(&all).map(|value| (all, value)),
    }
}

/// `tracecontext` is W3C's; `baggage` is read by nobody here and never sent on. Platforms give all that they run one list of
/// several: what is unknown in it is left out, with a warning, unless there is nothing else.
fn propagation() -> Result<(Propagation, Vec<String>), Problem> {
    const NAME: &str = "OTEL_PROPAGATORS";
    let Some(propagators) = text(NAME)? else { return Ok((Propagation::TraceContext, Vec::new())) };
    let propagators = propagators.split(',').map(str::trim);
    let (known, unknown): (Vec<&str>, Vec<&str>) =
        propagators.partition(|propagator| matches!(*propagator, "tracecontext" | "baggage" | "none"));
    if let (true, Some(propagator)) = (known.is_empty(), unknown.first()) {
        let problem = format_args!("{propagator:?}; tracecontext, baggage or none is expected");
        return Err(Problem::with(NAME, problem));
    }
    let is_traced = known.contains(&"tracecontext");
    let propagation = if is_traced { Propagation::TraceContext } else { Propagation::None };
    let warn = |propagator| format!("{NAME}: {propagator:?} is unknown here and left out");
    Ok((propagation, unknown.into_iter().map(warn).collect()))
}

fn tls(signal: &str) -> Result<Tls, Problem> {
    let authorities = Pem::read(signal, "CERTIFICATE")?;
    if let Some(authorities) = &authorities {
        authorities.trusted()?;
    }
    let identity = match (Pem::read(signal, "CLIENT_CERTIFICATE")?, Pem::read(signal, "CLIENT_KEY")?) {
        (Some(certificate), Some(key)) => {
            key.belongs_to(&certificate)?;
            Some((certificate.text, key.text))
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            let [certificate, key] =
                ["CLIENT_CERTIFICATE", "CLIENT_KEY"].map(|what| Ok(setting(signal, what)?.0));
            return Err(Problem(format!("{} and {} go together", certificate?, key?)));
        }
    };
    Ok(Tls { authorities: authorities.map(|authorities| authorities.text), identity })
}

/// A file in PEM, by the variable that names it. The libraries that use it say neither which it was nor what is wrong.
struct Pem {
    name: String,
    path: String,
    text: Vec<u8>,
}

impl Pem {
    fn read(signal: &str, what: &str) -> Result<Option<Self>, Problem> {
        let (name, path) = setting(signal, what)?;
        let Some(path) = path else { return Ok(None) };
        let text = file::read(Path::new(&path));
        let text = text.map_err(|error| Problem::with(&name, format_args!("{path}: {error}")))?;
        // An editor's mark before the first line would hide what begins there.
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text).to_vec();
        Ok(Some(Self { name, path, text }))
    }

    fn problem(&self, problem: impl std::fmt::Display) -> Problem {
        Problem::with(&self.name, format_args!("{}: {problem}", self.path))
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, Problem> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.text).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_none) => Err(self.problem("a certificate in PEM is expected")),
            Err(_damaged) => Err(self.problem("is damaged PEM; copy the file again")),
        }
    }

    fn trusted(&self) -> Result<(), Problem> {
        let mut roots = RootCertStore::empty();
        for (before, certificate) in self.certificates()?.into_iter().enumerate() {
            let number = before + 1;
            let unusable = |_error| self.problem(format_args!("its certificate number {number} is none"));
            roots.add(certificate).map_err(unusable)?;
        }
        Ok(())
    }

    fn belongs_to(&self, certificate: &Self) -> Result<(), Problem> {
        let no_key = |_error| self.problem("a private key in PEM, without a passphrase, is expected");
        let key = PrivateKeyDer::from_pem_slice(&self.text).map_err(no_key)?;
        let unusable = |_error| self.problem("holds a key that cannot be used");
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(unusable)?;
        let pair = CertifiedKey::new(certificate.certificates()?, key);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(self.problem(format_args!("is not the key of the certificate in {}", certificate.path)))
            }
            Err(_malformed) => Err(certificate.problem("its first certificate is none")),
        }
    }
}

fn switch(name: &str) -> Result<bool, Problem> {
    match text(name)? {
        None => Ok(false),
        Some(value) => match boolean(&value) {
            Ok(()) => Ok(value.eq_ignore_ascii_case("true")),
            Err(expected) => Err(Problem::with(name, format_args!("{value:?}; {expected}"))),
        },
    }
}

/// Headers hold secrets.
fn shown(name: &str, value: &str) -> String {
    if name.ends_with("_HEADERS") { "its value".to_owned() } else { format!("{value:?}") }
}

type Check = fn(&str) -> Result<(), &'static str>;

/// The variables that libraries read, and what is right for each.
const CHECKS: &[(&str, Check)] = &[
    ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", url),
    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", url),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", protocol),
    ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", number),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", number),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", number),
    ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", number),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", compression),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", compression),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", compression),
    ("OTEL_EXPORTER_OTLP_LOGS_COMPRESSION", compression),
    ("OTEL_EXPORTER_OTLP_INSECURE", boolean),
    ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", boolean),
    ("OTEL_EXPORTER_OTLP_METRICS_INSECURE", boolean),
    ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", boolean),
    ("OTEL_EXPORTER_OTLP_HEADERS", headers),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", headers),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", headers),
    ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", headers),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality),
    ("OTEL_RESOURCE_ATTRIBUTES", pairs),
    ("OTEL_TRACES_SAMPLER", sampler),
    ("OTEL_TRACES_SAMPLER_ARG", ratio),
    ("OTEL_BSP_SCHEDULE_DELAY", number),
    ("OTEL_BSP_EXPORT_TIMEOUT", number),
    ("OTEL_BSP_MAX_QUEUE_SIZE", number),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", number),
    ("OTEL_BSP_MAX_CONCURRENT_EXPORTS", number),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", count),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", count),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", count),
    ("OTEL_BLRP_SCHEDULE_DELAY", number),
    ("OTEL_BLRP_EXPORT_TIMEOUT", number),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", number),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", number),
    ("OTEL_METRIC_EXPORT_INTERVAL", number),
    ("OTEL_METRIC_EXPORT_TIMEOUT", number),
];

fn url(value: &str) -> Result<(), &'static str> {
    let url = value.parse::<Uri>().ok().filter(|url| url.host().is_some_and(|host| !host.is_empty()));
    let known = url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")));
    known.then_some(()).ok_or("a URL such as http://collector:4317 is expected")
}

fn protocol(value: &str) -> Result<(), &'static str> {
    matches!(value, "grpc" | "http/protobuf").then_some(()).ok_or("grpc or http/protobuf is expected")
}

fn compression(value: &str) -> Result<(), &'static str> {
    let known = ["gzip", "none"].iter().any(|known| value.eq_ignore_ascii_case(known));
    known.then_some(()).ok_or("gzip or none is expected")
}

fn number(value: &str) -> Result<(), &'static str> {
    value
        .parse::<u32>()
        .ok()
        .filter(|number| *number > 0)
        .map(|_| ())
        .ok_or("a whole number is expected, more than 0")
}

fn count(value: &str) -> Result<(), &'static str> {
    value.parse::<u32>().map(|_| ()).map_err(|_| "a whole number is expected")
}

fn boolean(value: &str) -> Result<(), &'static str> {
    let known = ["true", "false"].iter().any(|known| value.eq_ignore_ascii_case(known));
    known.then_some(()).ok_or("true or false is expected")
}

fn pairs(value: &str) -> Result<(), &'static str> {
    let is_pair = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| !key.trim().is_empty());
    value.split(',').all(is_pair).then_some(()).ok_or("name=value is expected, and a comma between several")
}

/// The libraries leave out what is no header, and the collector refuses everything.
fn headers(value: &str) -> Result<(), &'static str> {
    let is_header = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        HeaderName::try_from(name.trim()).ok()?;
        is_percent_encoded(value.trim()).then_some(())
    };
    value
        .split(',')
        .all(|pair| is_header(pair).is_some())
        .then_some(())
        .ok_or("name=value is expected as HTTP has it, percent-encoded, and a comma between several")
}

/// Visible ASCII, when it is decoded; a `%` that begins nothing would leave the library with nothing.
fn is_percent_encoded(value: &str) -> bool {
    let begins_something =
        |part: &str| part.get(..2).is_some_and(|digits| u8::from_str_radix(digits, 16).is_ok());
    value.split('%').skip(1).all(begins_something)
        && percent_decode_str(value).all(|byte| (0x20..0x7f).contains(&byte))
}

fn temporality(value: &str) -> Result<(), &'static str> {
    let known = ["cumulative", "delta", "lowmemory"].iter().any(|known| value.eq_ignore_ascii_case(known));
    known.then_some(()).ok_or("cumulative, delta or lowmemory is expected")
}

fn sampler(value: &str) -> Result<(), &'static str> {
    const KNOWN: [&str; 6] = [
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ];
    let expected = "always_on, always_off, traceidratio, or one of these behind parentbased_ is expected";
    KNOWN.contains(&value).then_some(()).ok_or(expected)
}

fn ratio(value: &str) -> Result<(), &'static str> {
    let ratio = value.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.map(|_| ()).ok_or("a number from 0 to 1 is expected")
}
