//! Settings: flags and environment → each room's own Config, already valid.
//!
//! The only room that reads the environment; it opens no socket and signs nothing. Libraries that read
//! variables by themselves: rustls-native-certs (`SSL_CERT_FILE`, `SSL_CERT_DIR`); opentelemetry_sdk and opentelemetry-otlp
//! (`OTEL_*`, of which `otel.rs` has a list: it refuses what they would only warn of).

mod cli;
mod environment;
mod file;
mod given;
mod otel;
mod parse;
mod problem;
mod sign_in;
mod upstream;
mod value;

pub use cli::Auth;
pub use cli::Check;
pub use cli::Cli;
pub use cli::Command;
pub use cli::Healthcheck;
pub use cli::Listen;
pub use cli::Log;
pub use cli::LogFormat;
pub use cli::Proto;
#[cfg(feature = "sandbox")]
pub use cli::Sandbox;
pub use cli::Serve;
pub use cli::Tls;
pub use cli::Upstream;
pub use environment::Environment;
pub use given::Given;
pub use otel::exports;
pub use parse::Unparsed;
pub use parse::parse;
pub use problem::Problem;
pub use upstream::FromFiles;
pub use upstream::Resolved;
pub use upstream::SourceRegion;
