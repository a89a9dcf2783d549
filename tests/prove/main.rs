//! The proof of "one retry token, one backup, and a true answer": callers with retries of their own, gateways as
//! processes and within this one, and an OCI that breaks more than half of the creates; the histories of all callers are held against
//! OCI's ledger. `cargo test --test prove` makes the small runs, `just prove` the large ones.

#![expect(clippy::disallowed_types, reason = "callers read statuses; the ban is for who makes them")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as expected; clippy.toml knows only functions marked as tests"
)]
#![expect(clippy::print_stdout, reason = "a run reports what it has shown")]

mod began;
mod caller;
mod checker;
mod creates;
mod fleet;
mod gateway;
mod history;
mod machine;
mod mortal;
mod outage;
mod replicas;
mod report;
mod run;
mod seed;
mod storm;
mod within;
