//! The generated code and its descriptor set. Never written by hand.
#![allow(
    warnings,
    clippy::all,
    clippy::allow_attributes,
    missing_docs,
    reason = "nobody writes or reads this code; which lints it trips is the generator's to change, so \
              that an `expect` would break the build when it trips fewer"
)]

tonic::include_proto!("ocibackup.v1");

/// Every file of the contract with all that it imports, encoded as a `google.protobuf.FileDescriptorSet`:
/// what server reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptor_set");
