//! The command line: flags, their variables, their defaults.

use super::Given;
use super::environment;
use super::value::address;
use super::value::asked;
use super::value::count;
use super::value::duration;
use super::value::proxy;
use super::value::region;
use super::value::switch;
use crate::oci::endpoint::Endpoint;
use clap::ArgAction;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;
use clap::builder::TypedValueParser;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("GATEWAY_GIT_REVISION"),
    ", ",
    env!("GATEWAY_BUILD_TARGET"),
    ", ",
    env!("GATEWAY_RUSTC_VERSION"),
    ")"
);

/// A gRPC gateway to OCI's Block Volume backups: one call, one backup, a true answer.
#[derive(Debug, Parser)]
#[command(name = "oci-backup-gateway", version = VERSION, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// By which names the settings were given.
    #[arg(skip)]
    pub given: Given,
}

const EXAMPLES: &str = "\
Examples:
  oci-backup-gateway sandbox                       try it, without an account
  oci-backup-gateway check                         is ~/.oci/config good, and does OCI take it?
  oci-backup-gateway serve                         serve on 127.0.0.1:50051
  oci-backup-gateway serve --profile BACKUPS --region eu-frankfurt-1
  oci-backup-gateway healthcheck 127.0.0.1:50051
  oci-backup-gateway proto --out proto             the .proto files, for clients in any language";

const SERVE_EXAMPLES: &str = "\
Examples:
  oci-backup-gateway serve
  oci-backup-gateway serve --profile BACKUPS --region eu-frankfurt-1
  oci-backup-gateway serve --listen 0.0.0.0:50051 --tls-cert tls.crt --tls-key tls.key
  OCI_CLI_USER=ocid1.user.oc1..… OCI_CLI_TENANCY=… OCI_CLI_FINGERPRINT=… OCI_CLI_KEY_FILE=… \\
  OCI_CLI_REGION=iad oci-backup-gateway serve --log-format json

The OCI CLI's variables OCI_CLI_USER, OCI_CLI_TENANCY, OCI_CLI_FINGERPRINT, OCI_CLI_KEY_FILE,
OCI_CLI_KEY_CONTENT and OCI_CLI_PASSPHRASE beat the configuration file, and need none.
RUST_LOG chooses log lines by level and target, as in `info,oci_backup_gateway=debug` (default: info).
SIGTERM or SIGINT drains, a second one ends at once.
Exit code: 0 after a drain, 1 after a failure at run time, 2 when a setting is wrong.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The gateway in front of OCI
    Serve(Box<Serve>),
    /// The gateway in front of an embedded OCI that checks signatures; no account needed
    #[cfg(feature = "sandbox")]
    Sandbox(Box<Sandbox>),
    /// Load the configuration and the credential, make one harmless signed call, say what is wrong
    Check(Check),
    /// Ask a running gateway's health service; exit code 0 when it serves
    Healthcheck(Healthcheck),
    /// Write the contract of this very version: the .proto files that clients are generated from
    Proto(Proto),
}

/// `serve`
#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
#[expect(missing_docs, reason = "the flags' help says it")]
pub struct Serve {
    #[command(flatten)]
    pub listen: Listen,
    #[command(flatten)]
    pub tls: Tls,
    #[command(flatten)]
    pub upstream: Upstream,
    #[command(flatten)]
    pub log: Log,
}

/// `check`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  oci-backup-gateway check\n  oci-backup-gateway check --profile BACKUPS\n\n\
    RUST_LOG chooses log lines by level and target (default: off).\n\
    Exit code: 0 when OCI takes the credential, 1 when it does not, 2 when a setting is wrong."
)]
#[expect(missing_docs, reason = "the flags' help says it")]
pub struct Check {
    #[command(flatten)]
    pub upstream: Upstream,
    #[command(flatten)]
    pub log: Log,
}

/// `healthcheck`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  oci-backup-gateway healthcheck\n  oci-backup-gateway healthcheck 10.0.0.7:50051\n\n\
    Exit code: 0 when calls are served, 1 when not, 2 when a setting is wrong."
)]
pub struct Healthcheck {
    /// The gateway to ask; without it, the one that `--health-listen`, else `--listen`, would start. It is asked in plaintext
    #[arg(value_parser = asked)]
    pub address: Option<SocketAddr>,
    /// Where the gateway listens
    #[arg(long, env = "GATEWAY_LISTEN", value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Where it serves gRPC health in plaintext
    #[arg(long, env = "GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub health_listen: Option<SocketAddr>,
}

/// `proto`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  oci-backup-gateway proto --out proto\n\n\
    Files of the same names are replaced, others are left alone.\n\
    Exit code: 0 when all are written, 1 when one cannot be, 2 when a setting is wrong.")]
pub struct Proto {
    /// The directory to write into, which is made if need be; generators want it as their root (protoc's -I)
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// The gateway's own listeners and limits.
#[derive(Debug, Args)]
#[command(next_help_heading = "Listeners")]
pub struct Listen {
    /// Where gRPC is served
    #[arg(long, env = "GATEWAY_LISTEN", value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Where /livez, /readyz and /metrics are served
    #[arg(long, env = "GATEWAY_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:9464")]
    pub admin_listen: SocketAddr,
    /// Where gRPC health is served besides, in plaintext, for probes
    #[arg(long, env = "GATEWAY_HEALTH_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub health_listen: Option<SocketAddr>,
    /// Serve gRPC without TLS on an address that is not loopback, where something else brings TLS, such as a mesh
    #[arg(long, env = "GATEWAY_PLAINTEXT", action = ArgAction::SetTrue, value_parser = switch)]
    pub plaintext: bool,
    /// Do not serve the proto by gRPC reflection
    #[arg(long, env = "GATEWAY_NO_REFLECTION", action = ArgAction::SetTrue, value_parser = switch)]
    pub no_reflection: bool,
    /// The most calls in flight; more are refused at once, to be tried again
    #[arg(long, env = "GATEWAY_MAX_IN_FLIGHT", value_name = "COUNT", default_value = "1024",
        value_parser = count, help_heading = "Load")]
    pub max_in_flight: usize,
    /// The most connections; more are closed at once [default: half of the limit of file descriptors]
    #[arg(long, env = "GATEWAY_MAX_CONNECTIONS", value_name = "COUNT", value_parser = count,
        help_heading = "Load")]
    pub max_connections: Option<usize>,
    /// The deadline of callers who give none [default: 30s, or the longest if that is less]
    #[arg(long, env = "GATEWAY_DEFAULT_DEADLINE", value_name = "DURATION", value_parser = duration,
        help_heading = "Time")]
    pub default_deadline: Option<Duration>,
    /// The longest deadline; longer ones are cut to it
    #[arg(long, env = "GATEWAY_MAX_DEADLINE", value_name = "DURATION", default_value = "60s",
        value_parser = duration, help_heading = "Time")]
    pub max_deadline: Duration,
    /// After this time (±10 %) a connection is asked to make way, so that load spreads over replicas
    #[arg(long, env = "GATEWAY_MAX_CONNECTION_AGE", value_name = "DURATION", default_value = "15m",
        value_parser = duration, help_heading = "Time")]
    pub max_connection_age: Duration,
    /// How long calls in flight may take to finish after SIGTERM
    #[arg(long, env = "GATEWAY_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "25s",
        value_parser = duration, help_heading = "Time")]
    pub drain_timeout: Duration,
}

/// TLS where gRPC is served.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "TLS")]
pub struct Tls {
    /// The certificate that callers are shown, PEM, with its intermediates; read again when it changes
    #[arg(long, env = "GATEWAY_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM, without a passphrase
    #[arg(long, env = "GATEWAY_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// The authorities of callers, PEM; only who has a certificate of one of them may call
    #[arg(long, env = "GATEWAY_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,
}

/// OCI, and who we are to it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "OCI")]
pub struct Upstream {
    /// How the gateway signs in: api_key, security_token, instance_principal, oke_workload_identity or
    /// resource_principal [default: api_key]
    #[arg(long, env = "OCI_CLI_AUTH", value_name = "WAY", hide_possible_values = true)]
    pub auth: Option<Auth>,
    /// The OCI configuration file [default: ~/.oci/config]
    #[arg(long, env = "OCI_CLI_CONFIG_FILE", value_name = "FILE")]
    pub config_file: Option<PathBuf>,
    /// The profile in it [default: DEFAULT]
    #[arg(long, env = "OCI_CLI_PROFILE", value_name = "NAME",
        value_parser = NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
    /// The region to call, by name or short code [default: the profile's, instance's or resource's]
    #[arg(long, env = "OCI_CLI_REGION", value_name = "REGION",
        value_parser = NonEmptyStringValueParser::new().try_map(region))]
    pub region: Option<String>,
    /// The base URL to call in place of https://iaas.{region}.{domain}; /20160918 is added
    #[arg(long, env = "OCI_CLI_ENDPOINT", value_name = "URL", value_parser = Endpoint::parse)]
    pub endpoint: Option<Endpoint>,
    /// PEM certificates to trust in place of the system's
    #[arg(long, env = "OCI_CLI_CERT_BUNDLE", value_name = "FILE")]
    pub cert_bundle: Option<PathBuf>,
    /// The only way to a proxy; HTTPS_PROXY is not read
    #[arg(long, env = "GATEWAY_PROXY", value_name = "URL", value_parser = proxy)]
    pub proxy: Option<String>,
    /// What one attempt at OCI may take
    #[arg(long, env = "GATEWAY_ATTEMPT_TIMEOUT", value_name = "DURATION", default_value = "10s",
        value_parser = duration, help_heading = "Time")]
    pub attempt_timeout: Duration,
}

/// How the gateway signs in, in the OCI CLI's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Auth {
    /// A user's API key, in the configuration file or in variables
    ApiKey,
    /// What `oci session authenticate` wrote
    SecurityToken,
    /// The instance that this runs on
    InstancePrincipal,
    /// The service account of a pod in an Enhanced OKE cluster
    OkeWorkloadIdentity,
    /// A function, a container instance, or another resource
    ResourcePrincipal,
}

/// Logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Logs")]
pub struct Log {
    /// How log lines look, on standard error [default: text on a terminal, else json]
    #[arg(long, env = "GATEWAY_LOG_FORMAT", value_name = "json|text", hide_possible_values = true)]
    pub log_format: Option<LogFormat>,
    /// The filter RUST_LOG, by target and level
    #[arg(skip = environment::log_filter())]
    pub filter: Option<String>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

#[cfg(feature = "sandbox")]
const SANDBOX_EXAMPLES: &str = "\
Examples:
  oci-backup-gateway sandbox
  oci-backup-gateway sandbox --once
  RUST_LOG=info oci-backup-gateway sandbox --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0
  oci-backup-gateway sandbox --upstream-only --oci-listen 127.0.0.1:8080 --write-config ./sandbox
  oci-backup-gateway sandbox --upstream-only --write-config ./sandbox --oke-listen 127.0.0.5:12250

RUST_LOG chooses log lines by level and target (default: warn; info shows each call).
Exit code: 0 after a drain, 1 when a backup failed or at another failure, 2 when a setting is wrong.";

/// `sandbox`
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
#[command(after_help = SANDBOX_EXAMPLES, next_help_heading = "Sandbox")]
#[expect(missing_docs, reason = "the flags' help says it")]
pub struct Sandbox {
    /// End after the table of the two backups: exit code 0 when both became AVAILABLE, else 1
    #[arg(long, conflicts_with = "upstream_only")]
    pub once: bool,
    /// Start no gateway, only the OCI
    #[arg(long, requires = "write_config")]
    pub upstream_only: bool,
    /// Where the sandbox's OCI listens
    #[arg(long, env = "GATEWAY_SANDBOX_OCI_LISTEN", value_name = "ADDRESS", value_parser = address,
        default_value = "127.0.0.1:0")]
    pub oci_listen: SocketAddr,
    /// Where tests steer it: POST and DELETE /sandbox/faults, GET /sandbox/ledger, and /sandbox/issuers
    #[arg(long, env = "GATEWAY_SANDBOX_CONTROL_LISTEN", value_name = "ADDRESS", value_parser = address,
        default_value = "127.0.0.1:0")]
    pub control_listen: SocketAddr,
    /// TLS for the sandbox's OCI on loopback too; elsewhere it is always on
    #[arg(long)]
    pub oci_tls: bool,
    /// Write an OCI configuration file, the key and the certificate authority into this directory, and what each
    /// other way to sign in needs, with a file of variables for each: *.env
    #[arg(long, value_name = "DIR")]
    pub write_config: Option<PathBuf>,
    /// Where an instance's metadata service and the federation endpoint listen, plain HTTP
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:0",
        requires = "write_config")]
    pub imds_listen: SocketAddr,
    /// Where an OKE cluster's endpoint listens, TLS; OCI's SDKs call no other port than 12250
    #[arg(long, value_name = "ADDRESS", value_parser = address, default_value = "127.0.0.1:0",
        requires = "write_config")]
    pub oke_listen: SocketAddr,
    /// How long the session tokens of instances and pods live
    #[arg(long, value_name = "DURATION", default_value = "20m", value_parser = duration,
        requires = "write_config")]
    pub token_life: Duration,
    /// How long a backup stays REQUEST_RECEIVED, and then CREATING
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub stage: Duration,
    #[command(flatten)]
    pub listen: Listen,
    /// What one attempt at the sandbox's OCI may take
    #[arg(long, env = "GATEWAY_ATTEMPT_TIMEOUT", value_name = "DURATION", default_value = "10s",
        value_parser = duration, help_heading = "Time")]
    pub attempt_timeout: Duration,
    #[command(flatten)]
    pub log: Log,
}
