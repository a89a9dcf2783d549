//! Compiles the proto without an installed `protoc`.

fn main() {}
