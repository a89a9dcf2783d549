//! How callers come in: with TLS, or in plaintext where that is safe or said aloud.

use super::Failure;
use crate::clock::Clock;
use crate::config::Given;
use crate::config::Listen;
use crate::config::Problem;
use crate::config::Tls as Settings;
use crate::files;
use crate::server::tls;
use crate::server::tls::Tls;
use std::path::PathBuf;

const CERT: (&str, &str) = ("--tls-cert", "GATEWAY_TLS_CERT");
const KEY: (&str, &str) = ("--tls-key", "GATEWAY_TLS_KEY");
const CLIENT_CA: (&str, &str) = ("--tls-client-ca", "GATEWAY_TLS_CLIENT_CA");

/// The door that the settings describe, with certificates that are good.
pub(super) async fn open(
    listen: &Listen,
    settings: &Settings,
    given: &Given,
) -> Result<Option<Tls>, Failure> {
    let config = config(settings, given)?;
    let plaintext = given.name("--plaintext", "GATEWAY_PLAINTEXT");
    match config {
        Some(_) if listen.plaintext => {
            let cert = given.name(CERT.0, CERT.1);
            Err(Problem::with(plaintext, format_args!("contradicts {cert}; give one of them")).into())
        }
        Some(config) => {
            // By the machine's own clock: an answer of OCI's decides about no caller.
            let opened = Tls::open(config, Clock::system()).await;
            opened.map(Some).map_err(|error| Failure::Setting(error.to_string()))
        }
        None if listen.plaintext || listen.listen.ip().to_canonical().is_loopback() => Ok(None),
        None => {
            let problem = format!(
                "{} is not loopback, and callers would speak plaintext there; give --tls-cert and --tls-key, or \
                --plaintext where something else brings TLS, such as a mesh",
                listen.listen
            );
            Err(Problem::with(given.name("--listen", "GATEWAY_LISTEN"), problem).into())
        }
    }
}

fn config(settings: &Settings, given: &Given) -> Result<Option<tls::Config>, Problem> {
    let file = |(flag, variable), path: &Option<PathBuf>| {
        path.clone().map(|path| tls::File { setting: given.name(flag, variable), path })
    };
    let lacks = |file: &tls::File, other: (&str, &str)| {
        Problem::with(file.setting, format_args!("needs {} ({}) beside it", other.0, other.1))
    };
    let certificate = file(CERT, &settings.tls_cert);
    let key = file(KEY, &settings.tls_key);
    let client_ca = file(CLIENT_CA, &settings.tls_client_ca);
    match (certificate, key, client_ca) {
        (Some(certificate), Some(key), client_ca) => Ok(Some(tls::Config {
            certificate,
            key,
            client_ca,
            handshake_timeout: tls::HANDSHAKE_TIMEOUT,
            files: files::Config::default(),
        })),
        (Some(certificate), None, _) => Err(lacks(&certificate, KEY)),
        (None, Some(key), _) => Err(lacks(&key, CERT)),
        (None, None, Some(client_ca)) => Err(lacks(&client_ca, CERT)),
        (None, None, None) => Ok(None),
    }
}
