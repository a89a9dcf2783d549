//! `sandbox`: the gateway in front of an embedded OCI. Makes a backup of each kind before the newcomer's
//! eyes, and keeps serving.

mod demonstration;
mod paste;
mod welcome;

use crate::clock::Clock;
use crate::commands::Failure;
use crate::commands::connect::Connected;
use crate::commands::connect::join;
use crate::commands::door;
use crate::commands::serve;
use crate::commands::serve::Asked;
use crate::commands::signals::Signals;
use crate::config;
use crate::config::Given;
use crate::config::Problem;
use crate::config::Resolved;
use crate::credentials;
use crate::credentials::Origin;
use crate::credentials::Setting;
use crate::oci;
use crate::oci::endpoint::Endpoint;
use crate::region::Regions;
use crate::region::Sources;
use crate::sandbox::Config;
use crate::sandbox::Error as SandboxError;
use crate::sandbox::IssuerConfig;
use crate::sandbox::Sandbox;
use crate::sandbox::Transport;
use crate::sandbox::WrittenFiles;
use crate::server::Server;
use crate::telemetry::Recorder;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) async fn run(settings: config::Sandbox, given: &Given) -> Result<ExitCode, Failure> {
    let mut config = serve::config(&settings.listen, given)?;
    if !settings.upstream_only {
        // The demonstration calls in plaintext.
        config.tls = door::open(&settings.listen, &config::Tls::default(), given).await?;
    }
    let mut signals = Signals::new()?;
    let sandbox = start(&settings).await?;
    let written = written(&sandbox, &settings)?;
    if settings.upstream_only {
        say(&welcome::upstream(&sandbox));
        written.iter().for_each(|files| say(&welcome::files(files, &sandbox)));
        say("\nServing until Ctrl-C.");
        signals.next().await;
        sandbox.stop().await;
        return Ok(ExitCode::SUCCESS);
    }
    let oci = connect(&sandbox, &settings)?;
    let client = oci.client.clone();
    let server = Server::start(config, oci.client, oci.credentials, oci.mutations)
        .await
        .map_err(|error| serve::unstarted(error, given))?;
    say(&welcome::all(&server, &sandbox));
    written.iter().for_each(|files| say(&welcome::files(files, &sandbox)));
    say("\nMaking a backup of a boot volume and of a volume ...\n");
    let shown = tokio::select! {
        made = demonstration::run(server.address(), &client) => made.map(|table| say(&table)),
        () = signals.next() => return end(server, sandbox, &mut signals, Asked::Already).await,
    };
    let mut asked = Asked::NotYet;
    if shown.is_ok() && !settings.once {
        say(&paste::lines(server.address()));
        signals.next().await;
        asked = Asked::Already;
    }
    let ended = end(server, sandbox, &mut signals, asked).await;
    shown.map_err(Failure::Runtime)?;
    ended
}

/// The gateway first: it still calls the OCI while it drains.
async fn end(
    server: Server,
    sandbox: Sandbox,
    signals: &mut Signals,
    asked: Asked,
) -> Result<ExitCode, Failure> {
    let drained = serve::drain(server, signals, asked).await;
    sandbox.stop().await;
    drained
}

async fn start(settings: &config::Sandbox) -> Result<Sandbox, Failure> {
    let clock = Clock::system();
    let plain = settings.oci_listen.ip().is_loopback() && !settings.oci_tls;
    let config = Config {
        oci_listen: settings.oci_listen,
        control_listen: settings.control_listen,
        transport: if plain { Transport::Plaintext } else { Transport::Tls },
        now: Arc::new(move || clock.now()),
        stage: settings.stage,
        identity: None,
        issuers: settings.write_config.as_ref().map(|_files| issuers(settings)),
    };
    let failed = |error: SandboxError| match error {
        SandboxError::Listen { .. } => {
            format!("--oci-listen, --control-listen, --imds-listen or --oke-listen: {}", told(&error))
        }
        _ => told(&error),
    };
    Sandbox::start(config).await.map_err(|error| Failure::Runtime(failed(error)))
}

/// Only whoever has their files can use them.
fn issuers(settings: &config::Sandbox) -> IssuerConfig {
    IssuerConfig {
        token_life: settings.token_life,
        ..IssuerConfig::new(settings.imds_listen, settings.oke_listen)
    }
}

fn written(sandbox: &Sandbox, settings: &config::Sandbox) -> Result<Option<WrittenFiles>, Failure> {
    let written = settings.write_config.as_ref().map(|dir| sandbox.write_config(dir)).transpose();
    written.map_err(|error| Problem::with("--write-config", told(&error)).into())
}

/// The gateway's client, signed in as the sandbox's one user by the same way that a user's key takes.
fn connect(sandbox: &Sandbox, settings: &config::Sandbox) -> Result<Connected, Failure> {
    let identity = sandbox.identity();
    let source = credentials::Source {
        auth: Origin::Default,
        config_file: Setting { value: PathBuf::new(), origin: Origin::Default },
        profile: Setting { value: String::new(), origin: Origin::Default },
        home: None,
        variables: credentials::Variables {
            user: Some(identity.user().to_owned()),
            tenancy: Some(identity.tenancy().to_owned()),
            fingerprint: Some(identity.fingerprint().to_owned()),
            key_content: Some(Zeroizing::new(identity.private_key_pem().to_owned())),
            ..credentials::Variables::default()
        },
    };
    let endpoint =
        Endpoint::parse(&sandbox.endpoint()).map_err(|error| Failure::Runtime(error.to_string()))?;
    let trust = match sandbox.certificate_authority_pem() {
        None => Trust::Plaintext,
        Some(pem) => Trust::Bundle(pem.as_bytes().to_vec()),
    };
    let place = oci::Place::known(endpoint, identity.region());
    let regions = Regions::new(Sources::default());
    join(
        &source,
        Resolved {
            oci: oci::Config {
                recorder: Recorder::new().map_err(|error| Failure::Runtime(error.to_string()))?,
                ..oci::Config::new(place, settings.attempt_timeout, regions)
            },
            http: HttpConfig { trust, proxy: None, user_agent: oci::USER_AGENT.to_owned() },
            federation: None,
            warnings: Vec::new(),
        },
    )
}

/// An error with the reasons below it, in one line.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(reason) = below {
        text.push_str(&format!(": {reason}"));
        below = reason.source();
    }
    text
}

/// A line for the newcomer. Whoever closed standard output does not want to know.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
