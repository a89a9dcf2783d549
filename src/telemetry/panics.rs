//! Panics: a line of the log and a number, in place of a text on standard error that no reader of JSON takes.

use std::backtrace::Backtrace;
use std::backtrace::BacktraceStatus;
use std::panic::PanicHookInfo;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many there were in this process.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// Counts and logs one; for `std::panic::set_hook`.
pub fn note_panic(panic: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(%panic, backtrace, "a fault of the gateway");
}
