//! The generated code and its descriptor set.
