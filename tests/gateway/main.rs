//! The gateway as its callers and operators meet it: over real sockets, one file per behaviour.

#![expect(clippy::disallowed_types, reason = "callers read statuses; the ban is for who makes them")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as expected; clippy.toml knows only functions marked as tests"
)]

mod answer_faults;
mod certificates;
mod clock_faults;
mod connection_faults;
mod connections;
mod deadlines;
mod drain;
mod ending;
mod errors;
mod failed_calls;
mod frames;
mod health;
mod leaving;
mod limits;
mod load;
mod logs;
mod messages;
mod metadata;
mod metrics;
#[expect(dead_code, reason = "it says more than these tests need")]
mod network;
mod panic;
mod raw;
mod reflection;
mod relay;
mod rig;
mod rotation;
mod sharing;
mod start;
mod strangers;
mod tls;
mod validation;
