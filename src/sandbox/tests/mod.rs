//! The sandbox as its callers meet it: over real sockets, with a signer and an HTTP client of their own.

mod client;
mod issuing;
mod signing;

mod backups;
mod cluster;
mod control;
mod faults;
mod federation;
mod issuer_control;
mod metadata;
mod retry_tokens;
mod start;
mod tokens;
mod vectors;
mod verification;
