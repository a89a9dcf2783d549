//! The gateway as its callers and operators meet it: over real sockets, one file per behaviour.

#![expect(clippy::disallowed_types, reason = "callers read statuses; the ban is for who makes them")]

mod deadlines;
mod drain;
mod errors;
mod health;
mod metadata;
mod raw;
mod rig;
mod validation;
