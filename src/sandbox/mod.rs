//! An OCI that can say no.
