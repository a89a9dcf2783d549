//! Answers of OCI, and of what stands in its place, that are errors, nonsense, or far too much.
