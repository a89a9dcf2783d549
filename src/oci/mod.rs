//! The REST face.
