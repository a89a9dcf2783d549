//! The channel: where the gateway is, TLS, and turns over all gateways behind one name.
//!
//! tonic resolves a name once for each connection and takes one of its addresses. Here a task resolves it again
//! and again, and tells tonic's balancer which gateways came and went.

use std::collections::HashSet;
use std::error::Error;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::Sender;
use tonic::transport::channel::Change;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// How soon a gateway that is new is found.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// TCP, and then TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A connection that died in silence is noticed.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(5);

/// Why there is no channel: it says what was given that is no good.
#[derive(Debug)]
pub struct ChannelError {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ChannelError {
    fn new(what: String, source: impl Into<Box<dyn Error + Send + Sync>>) -> ChannelError {
        ChannelError { what, source: Some(source.into()) }
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for ChannelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Whom to trust, and who this client is.
#[derive(Clone, Debug)]
pub struct Tls(ClientTlsConfig);

impl Tls {
    /// From files in PEM; without `authorities`, the system's. `identity` is a certificate and its key.
    pub fn read(authorities: Option<&Path>, identity: Option<(&Path, &Path)>) -> Result<Tls, ChannelError> {
        let mut config = ClientTlsConfig::new().timeout(CONNECT_WITHIN);
        config = match authorities {
            Some(file) => config.ca_certificate(Certificate::from_pem(read_certificates(file)?)),
            None => config.with_native_roots(),
        };
        if let Some((certificate, key)) = identity {
            config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(Tls(config))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ChannelError> {
    std::fs::read(file).map_err(|error| ChannelError::new(file.display().to_string(), error))
}

/// tonic takes a file without a certificate for no authorities at all.
fn read_certificates(file: &Path) -> Result<Vec<u8>, ChannelError> {
    let pem = read(file)?;
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(ChannelError::new(file.display().to_string(), "no certificate is in it"));
    }
    Ok(pem)
}

/// A channel to all the gateways behind `target`: `host:port` or `dns:///name:port`.
///
/// It has to be called within a tokio runtime, on which the name is looked after as long as the channel lives.
pub fn open(target: &str, tls: Option<Tls>) -> Result<Channel, ChannelError> {
    let target = Target::parse(target, tls)?;
    // What is wrong with the target or with TLS is wrong for every address: it is told here.
    target.endpoint(&target.name)?;
    let (channel, changes) = Channel::balance_channel(64);
    tokio::spawn(follow(target, changes));
    Ok(channel)
}

/// Tells the balancer which gateways came and went, until nobody has the channel any more.
async fn follow(target: Target, changes: Sender<Change<String, Endpoint>>) {
    let mut known = HashSet::new();
    loop {
        let found = match tokio::net::lookup_host(&target.name).await {
            Ok(addresses) => addresses.map(|address| address.to_string()).collect(),
            // The connector then looks the name up itself, and tells the callers what is wrong with it.
            Err(_) if known.is_empty() => HashSet::from([target.name.clone()]),
            // A name that cannot be looked up for a while is no reason to leave gateways that are well.
            Err(_) => known.clone(),
        };
        for address in found.difference(&known) {
            if let Ok(endpoint) = target.endpoint(address) {
                let _ = changes.send(Change::Insert(address.clone(), endpoint)).await;
            }
        }
        for address in known.difference(&found) {
            let _ = changes.send(Change::Remove(address.clone())).await;
        }
        known = found;
        tokio::select! {
            () = tokio::time::sleep(RESOLVE_EVERY) => {}
            () = changes.closed() => return,
        }
    }
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && !text.contains('/')
}

struct Target {
    /// `host:port`
    name: String,
    host: String,
    tls: Option<Tls>,
}

impl Target {
    fn parse(target: &str, tls: Option<Tls>) -> Result<Target, ChannelError> {
        let name = target.strip_prefix("dns:///").or_else(|| target.strip_prefix("dns:")).unwrap_or(target);
        let host = match name.rsplit_once(':') {
            Some((host, port)) if is_host(host) && port.parse::<u16>().is_ok_and(|port| port > 0) => host,
            _ => {
                let what = format!("{target:?} is neither host:port nor dns:///name:port");
                return Err(ChannelError { what, source: None });
            }
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Target { name: name.to_owned(), host: host.to_owned(), tls })
    }

    /// One gateway: connected by its address, and asked for by its name.
    fn endpoint(&self, address: &str) -> Result<Endpoint, ChannelError> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let wrong = |error| ChannelError::new(format!("{:?} is no gateway's address", self.name), error);
        let origin = Endpoint::from_shared(format!("{scheme}://{}", self.name)).map_err(wrong)?.uri().clone();
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(wrong)?
            .origin(origin)
            .connect_timeout(CONNECT_WITHIN)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_WITHIN);
        match &self.tls {
            None => Ok(endpoint),
            Some(Tls(config)) => endpoint
                .tls_config(config.clone().domain_name(&self.host))
                .map_err(|error| ChannelError::new("TLS cannot be set up".to_owned(), error)),
        }
    }
}
