//! The identifier that cannot be wrong.
