//! The program as its operator meets it: a process with a clean environment, one file per matter.

#![expect(clippy::disallowed_types, reason = "callers read statuses; the ban is for who makes them")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where something is not as expected; clippy.toml knows only functions marked as tests"
)]

#[path = "../gateway/certificates.rs"]
#[expect(dead_code, reason = "it says more than these tests need")]
mod certificates;
mod cgroup;
mod check;
mod collector;
mod credentials;
mod endpoints;
mod faults;
mod floods;
#[path = "../gateway/frames.rs"]
#[expect(dead_code, reason = "it says more than these tests need")]
mod frames;
mod hanging;
mod healthcheck;
mod help;
mod leaks;
mod load;
#[path = "../gateway/network.rs"]
mod network;
mod otlp;
mod partition;
mod process;
mod proto;
mod sandbox;
mod secrets;
mod serve;
mod settings;
mod sign_in;
mod tls;
mod upstream;
