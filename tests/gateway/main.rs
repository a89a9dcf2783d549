//! The gateway as its callers and operators meet it: over real sockets, one file per behaviour.

mod deadlines;
mod drain;
mod errors;
mod health;
mod metadata;
mod rig;
mod validation;
