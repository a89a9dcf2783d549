//! A gRPC gateway to OCI's Block Volume backups.
//!
//! # Life of a request
//!
//! 1. [`server`] admits it: it gets its name (opc-request-id), its deadline and its line in the log.
//! 2. [`rpc`] parses the protobuf message into an input that cannot be wrong, or answers with all
//!    violations at once.
//! 3. [`oci`] builds one unsigned REST request from the input and carries it out: a mutation as a task that
//!    neither the deadline nor a caller who leaves can cut off.
//! 4. [`transport::retry`] runs attempts. Each takes a credential from [`credentials`], signs the request
//!    with [`signature`] and the time of [`clock`], and sends it through [`transport`].
//! 5. [`rpc`] answers: with the model as protobuf, or with the status that [`rpc::status`] makes of the error.
//!
//! Around it, [`commands`] has one file per command and starts the rooms, with what [`config`] made of flags
//! and environment; [`telemetry`] writes the logs, gathers the metrics and makes the spans. [`ocid`], [`region`],
//! [`files`] and [`pb`] are leaves that others use.
//! The sandbox is an OCI for tests and trials, and shares no code with the rest.
//!
//! `ARCHITECTURE.md` says who may use whom and what keeps it so. The rooms below are in reading order.

pub mod commands;
pub mod server;

pub mod rpc;

pub mod oci;

pub mod transport;

pub mod signature;

pub mod credentials;

pub mod config;
pub mod telemetry;

pub mod clock;
pub mod files;
pub mod ocid;
pub mod pb;
pub mod region;

#[cfg(feature = "sandbox")]
pub mod sandbox;
