//! What a run is told by its environment.

/// `PROVE_SEED` repeats a run; else each run is another.
pub(crate) fn seed() -> u64 {
    number("PROVE_SEED").unwrap_or_else(rand::random)
}

/// `PROVE_CREATES` makes a long run shorter or longer.
pub(crate) fn creates(default: usize) -> usize {
    number("PROVE_CREATES").unwrap_or(default)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gateway's settings are config's; these are the proof's own"
)]
fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(variable: &str) -> Option<T> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error:?}")))
}
