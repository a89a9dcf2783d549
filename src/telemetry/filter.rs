//! Which lines are wanted, in the form of `RUST_LOG`.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;
use tracing::Event;
use tracing::Subscriber;
use tracing::callsite::Identifier;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;

/// The target of the gateway's own lines, or what it begins with.
pub(super) const OURS: &str = env!("CARGO_CRATE_NAME");

/// The filter is not of the form of `RUST_LOG`, or would hide what the gateway says without saying so.
#[derive(Debug, thiserror::Error)]
#[error("not a log filter such as `info` or `info,oci_backup_gateway=debug`: {0}")]
pub struct InvalidFilter(String);

/// Reads a filter that says, by a level for everything or by a target, how much of the gateway's own lines is wanted. To the
/// library any word is a target: it takes a misspelt level, and then there is no line at all.
pub(super) fn read(text: &str) -> Result<EnvFilter, InvalidFilter> {
    let filter = EnvFilter::try_new(text).map_err(|error| InvalidFilter(error.to_string()))?;
    if text.split(',').map(str::trim).any(is_about_us) {
        return Ok(filter);
    }
    Err(InvalidFilter(format!(
        "{text:?} has no level (off, error, warn, info, debug, trace) for the gateway's own lines"
    )))
}

/// What the exporters say of a collector that is away, they say at each export: here it is said once a minute.
#[derive(Default)]
pub(super) struct Exporters(Mutex<HashMap<Identifier, Instant>>);

impl<S: Subscriber> Layer<S> for Exporters {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        !metadata.target().starts_with("opentelemetry") || self.is_due(metadata.callsite(), Instant::now())
    }
}

impl Exporters {
    fn is_due(&self, line: Identifier, now: Instant) -> bool {
        const AGAIN: Duration = Duration::from_secs(60);
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.get(&line).is_none_or(|last| now.duration_since(*last) >= AGAIN);
        if is_due {
            told.insert(line, now);
        }
        is_due
    }
}

/// Whether one part of it is a level for everything, or names a target that begins ours or that ours begins.
fn is_about_us(part: &str) -> bool {
    let target = part.split(['=', '[']).next().unwrap_or(part);
    let is_ours = !target.is_empty() && (target.starts_with(OURS) || OURS.starts_with(target));
    part.parse::<LevelFilter>().is_ok() || is_ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Callsite;

    #[test]
    fn each_line_of_an_exporter_is_told_once_a_minute() {
        let line = |callsite: &'static dyn Callsite| callsite.metadata().callsite();
        let [first, second] = [
            line(tracing::callsite! { name: "first", kind: tracing::metadata::Kind::EVENT, fields: }),
            line(tracing::callsite! { name: "second", kind: tracing::metadata::Kind::EVENT, fields: }),
        ];
        let (exporters, begin) = (Exporters::default(), Instant::now());
        let told =
            |line: &Identifier, seconds| exporters.is_due(line.clone(), begin + Duration::from_secs(seconds));
        assert_eq!(
            [0, 1, 59, 60, 61, 120].map(|at| told(&first, at)),
            [true, false, false, true, false, true]
        );
        assert!(told(&second, 61));
    }

    #[test]
    fn a_filter_says_how_much_of_our_own_lines_is_wanted() {
        for good in [
            "info",
            "WARN",
            "off",
            "3",
            "oci_backup_gateway",
            "oci_backup_gateway=debug",
            "oci_backup_gateway::transport=trace,hyper=debug",
            "oci=debug",
            "hyper=debug, info",
            "info,hyper",
            "oci_backup_gateway[call{code}]=debug",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        for bad in
            ["inof", "verbose", "inof,hyper=debug", "oci-backup-gateway=debug", "hyper=debug", "[call]=info"]
        {
            let told = read(bad).unwrap_err().to_string();
            assert!(told.starts_with("not a log filter such as `info`") && told.contains(bad), "{told}");
        }
    }
}
