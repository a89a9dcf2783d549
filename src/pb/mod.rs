//! The contract: the code that is generated from it, its descriptor set, and how its messages are read and written.

pub mod codec;

/// Never written by hand.
#[allow(
    warnings,
    clippy::all,
    clippy::allow_attributes,
    missing_docs,
    reason = "nobody writes or reads this code; which lints it trips is the generator's to change, so \
              that an `expect` would break the build when it trips fewer"
)]
mod generated {
    tonic::include_proto!("ocibackup.v1");
}

pub use generated::*;

/// The `.proto` files of the contract: name below the root, and text.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Every file of the contract with all that it imports, encoded as a `google.protobuf.FileDescriptorSet`:
/// what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptor_set");
