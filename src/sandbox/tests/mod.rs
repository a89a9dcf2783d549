//! The sandbox as its callers meet it: over real sockets, with a signer and an HTTP client of their own.

mod client;
mod signing;

mod backups;
mod control;
mod faults;
mod retry_tokens;
mod start;
mod vectors;
mod verification;
