//! A gRPC gateway to OCI's Block Volume backups.

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
pub mod ocid;
pub mod pb;
pub mod region;

#[cfg(feature = "sandbox")]
pub mod sandbox;
