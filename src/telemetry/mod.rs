//! Where logs, metrics and traces go and how they look.
//!
//! It never decides anything, and nothing below it may log a key, a passphrase, a token or a signature.

mod attempt;
mod export;
mod filter;
mod forward;
pub mod names;
mod panics;
mod recorder;
mod stderr;
mod trace;

pub use attempt::Attempt;
pub use attempt::Planned;
pub use attempt::Server;
pub use export::Export;
pub use export::Exporting;
pub use export::Exports;
pub use export::Protocol;
pub use export::Tls;
pub use export::Unexportable;
pub use filter::InvalidFilter;
pub use panics::note_panic;
pub use panics::panics;
pub use recorder::EndedCall;
pub use recorder::Failure;
pub use recorder::Recorder;
pub use recorder::Unrecordable;
pub use stderr::Log;
pub use stderr::dropped_lines;
pub use trace::Arrival;
pub use trace::Propagation;
pub use trace::Trace;

use std::io::IsTerminal;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Config {
    /// `None`: text on a terminal, else JSON.
    pub format: Option<Format>,
    /// Targets and levels, in the form of `RUST_LOG`.
    pub filter: String,
}

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody knows what is to be logged.
    #[error(transparent)]
    Filter(#[from] InvalidFilter),
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Sends logs and panics to standard error from now on; what is dropped at the end waits for the last lines. A second
/// call in one process changes nothing.
pub fn start(config: &Config) -> Result<Log, StartError> {
    let stderr = std::io::stderr();
    let format = config.format.unwrap_or(if stderr.is_terminal() { Format::Text } else { Format::Json });
    let log = Log::start(stderr)?;
    if subscriber(format, &config.filter, log.lines())?.try_init().is_ok() {
        std::panic::set_hook(Box::new(note_panic));
    }
    Ok(log)
}

/// A subscriber that writes to `writer`.
pub fn subscriber<W>(
    format: Format,
    filter: &str,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, InvalidFilter>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter::read(filter)?;
    let registry = tracing_subscriber::registry().with(filter).with(filter::Exporters::default());
    let registry = registry.with(forward::Forward);
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    Ok(match format {
        Format::Json => Box::new(registry.with(layer.json().flatten_event(true).with_current_span(false))),
        Format::Text => Box::new(registry.with(layer.with_ansi(std::io::stderr().is_terminal()))),
    })
}
