//! Backups of OCI's volumes and boot volumes, through oci-backup-gateway.

pub mod channel;
pub mod client;
pub mod explain;
pub mod service_config;

/// Made from the contract by `build.rs`.
pub mod pb {
    #![allow(clippy::all, reason = "nobody writes this code")]
    tonic::include_proto!("ocibackup.v1");
}
