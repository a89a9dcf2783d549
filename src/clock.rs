//! The one reader of the wall clock. It knows how far ours is from OCI's.
