//! OCI HTTP signatures, pure.
