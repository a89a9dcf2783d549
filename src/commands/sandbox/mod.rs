//! `sandbox`: the gateway in front of an embedded OCI. Makes a backup of each kind before the newcomer's
//! eyes, and keeps serving.

mod demonstration;
mod paste;

use crate::clock::Clock;
use crate::commands::Failure;
use crate::commands::connect::Connected;
use crate::commands::connect::join;
use crate::commands::serve;
use crate::commands::start_logging;
use crate::config;
use crate::config::Resolved;
use crate::credentials;
use crate::credentials::Origin;
use crate::credentials::Setting;
use crate::oci;
use crate::oci::endpoint::Endpoint;
use crate::region::Regions;
use crate::region::Sources;
use crate::sandbox::Config;
use crate::sandbox::Sandbox;
use crate::sandbox::Transport;
use crate::server::Server;
use crate::transport::reqwest::Config as HttpConfig;
use crate::transport::reqwest::Trust;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use zeroize::Zeroizing;

pub(super) async fn run(settings: config::Sandbox) -> Result<ExitCode, Failure> {
    let config = serve::config(&settings.listen)?;
    start_logging(&settings.log)?;
    let sandbox = start(&settings).await?;
    say(&format!("{:<9} {}\n{:<9} http://{}", "OCI", sandbox.endpoint(), "control", sandbox.control_addr()));
    write_config(&sandbox, &settings)?;
    if settings.upstream_only {
        serve::terminated().await?;
        sandbox.stop().await;
        return Ok(ExitCode::SUCCESS);
    }
    let oci = connect(&sandbox, &settings)?;
    let client = oci.client.clone();
    let server = Server::start(config, oci.client, oci.credentials, oci.tenancy, oci.tasks)
        .await
        .map_err(|error| Failure::Runtime(error.to_string()))?;
    say(&format!("{:<9} {}\n{:<9} http://{}", "gateway", server.address(), "admin", server.admin_address()));
    let made = demonstration::run(server.address(), &client).await;
    if let Ok(table) = &made {
        say(&format!("\n{table}"));
    }
    if !settings.once {
        made.map_err(Failure::Runtime)?;
        say(&paste::lines(server.address()));
        serve::terminated().await?;
        server.drain().await;
        sandbox.stop().await;
        return Ok(ExitCode::SUCCESS);
    }
    server.drain().await;
    sandbox.stop().await;
    made.map(|_table| ExitCode::SUCCESS).map_err(Failure::Runtime)
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
    };
    Sandbox::start(config).await.map_err(|error| Failure::Runtime(error.to_string()))
}

fn write_config(sandbox: &Sandbox, settings: &config::Sandbox) -> Result<(), Failure> {
    let Some(dir) = &settings.write_config else { return Ok(()) };
    let written = sandbox.write_config(dir).map_err(|error| Failure::Runtime(error.to_string()))?;
    say(&format!("{:<9} {}", "config", written.config.display()));
    if let Some(authority) = written.certificate_authority {
        say(&format!("{:<9} {}", "authority", authority.display()));
    }
    Ok(())
}

/// The gateway's client, signed in as the sandbox's one user by the same way that a user's key takes.
fn connect(sandbox: &Sandbox, settings: &config::Sandbox) -> Result<Connected, Failure> {
    let identity = sandbox.identity();
    let source = credentials::Source {
        config_file: Setting { value: PathBuf::new(), origin: Origin::Default },
        profile: Setting { value: String::new(), origin: Origin::Default },
        home: None,
        variables: credentials::Variables {
            user: Some(identity.user().to_owned()),
            tenancy: Some(identity.tenancy().to_owned()),
            fingerprint: Some(identity.fingerprint().to_owned()),
            key_file: None,
            key_content: Some(Zeroizing::new(identity.private_key_pem().to_owned())),
            passphrase: None,
        },
    };
    let endpoint =
        Endpoint::parse(&sandbox.endpoint()).map_err(|error| Failure::Runtime(error.to_string()))?;
    let trust = match sandbox.certificate_authority_pem() {
        None => Trust::Plaintext,
        Some(pem) => Trust::Bundle(pem.as_bytes().to_vec()),
    };
    join(
        &source,
        Resolved {
            oci: oci::Config {
                endpoint,
                attempt_timeout: settings.attempt_timeout,
                region: identity.region().to_owned(),
                regions: Regions::new(Sources::default()),
            },
            http: HttpConfig { trust, proxy: None, user_agent: oci::USER_AGENT.to_owned() },
            warnings: Vec::new(),
        },
    )
}

/// A line for the newcomer. Whoever closed standard output does not want to know.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
