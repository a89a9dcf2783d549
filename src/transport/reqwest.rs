//! The adapter to reqwest: the only file that names it. Its comforts are off, since each would act behind
//! our back: a followed redirect re-sends a signed POST, a proxy variable reroutes it, a hidden retry
//! repeats it, and a decompressed body has no bound.

#![expect(clippy::disallowed_types, reason = "this file is the adapter")]

use super::BoxFuture;
use super::Error;
use super::HttpService;
use super::Kind;
use super::Limits;
use super::Response;
use ::reqwest as upstream;
use bytes::Bytes;
use bytes::BytesMut;
use http_body_util::BodyExt;
use std::error::Error as StdError;
use std::io;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// Name, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Less than the whole, so that a silent name server is told apart from a silent host.
const RESOLVE_TIMEOUT: Duration = Duration::from_millis(1500);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const POOL_MAX_IDLE_PER_HOST: usize = 32;

/// How the upstream is reached.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Which certificates are trusted.
    pub trust: Trust,
    /// The only proxy that is ever used; environment variables are not read.
    pub proxy: Option<String>,
    /// What requests call themselves.
    pub user_agent: String,
}

/// Who vouches for the upstream.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// The system's roots.
    #[default]
    System,
    /// Only these, as PEM.
    Bundle(Vec<u8>),
    /// Nobody: no TLS is spoken (loopback endpoints). Needs no roots on the machine.
    Plaintext,
}

/// Why no client can be built from a [`Config`].
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The bundle is not a list of PEM certificates.
    #[error("the certificate bundle cannot be used: {0}")]
    Bundle(String),
    /// The proxy is not a URL.
    #[error("the proxy cannot be used: {0}")]
    Proxy(String),
    /// The system's roots are missing or unreadable.
    #[error("the TLS client cannot be set up ({0}); are CA certificates installed, or is a bundle missing?")]
    Tls(String),
}

/// The hardened client.
#[derive(Debug)]
pub struct Client {
    client: upstream::Client,
    /// The URL of the host that was asked last, which is nearly always the one that is asked next: to parse it takes
    /// longer than to write the request.
    last: Mutex<Option<upstream::Url>>,
}

impl Client {
    /// Builds the client; reads the system's roots, if they are wanted.
    pub fn new(config: &Config) -> Result<Self, BuildError> {
        let builder = upstream::Client::builder()
            .user_agent(config.user_agent.as_str())
            .redirect(upstream::redirect::Policy::none())
            .referer(false)
            .retry(upstream::retry::never())
            // One request at a time per connection: what times out takes its connection along. On HTTP/2 all calls
            // would share one, and a peer that has vanished would hold up every attempt after the first, too.
            .http1_only()
            .no_proxy()
            .dns_resolver(Resolver)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE_PER_HOST)
            .tcp_nodelay(true);
        let builder = trust(builder, &config.trust)?;
        let builder = match &config.proxy {
            None => builder,
            Some(url) => builder.proxy(proxy(url)?),
        };
        let client = builder.build().map_err(|error| BuildError::Tls(chain(&error)))?;
        Ok(Self { client, last: Mutex::default() })
    }
}

impl Client {
    fn request(&self, request: http::Request<Bytes>) -> Result<upstream::Request, Error> {
        let (head, body) = request.into_parts();
        let mut request = upstream::Request::new(head.method, self.url(&head.uri)?);
        *request.headers_mut() = head.headers;
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    fn url(&self, uri: &http::Uri) -> Result<upstream::Url, Error> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().filter(|url| is_of(url, uri)).cloned();
        let mut url = match known {
            Some(url) => url,
            None => {
                let url = upstream::Url::parse(&uri.to_string())
                    .map_err(|error| Error::new(Kind::Request, error))?;
                last.insert(url).clone()
            }
        };
        drop(last);
        url.set_path(uri.path());
        url.set_query(uri.query());
        Ok(url)
    }
}

/// Whether they name the same host in the same way.
fn is_of(url: &upstream::Url, uri: &http::Uri) -> bool {
    let port = uri.port_u16();
    url.host_str() == uri.host()
        && Some(url.scheme()) == uri.scheme_str()
        && (url.port() == port || url.port_or_known_default() == port)
}

fn trust(builder: upstream::ClientBuilder, trust: &Trust) -> Result<upstream::ClientBuilder, BuildError> {
    match trust {
        // TLS 1.2 at least: docs.oracle.com/iaas/Content/API/Concepts/signingrequests.htm.
        Trust::System => Ok(secure(builder)),
        Trust::Bundle(pem) => {
            let roots = upstream::Certificate::from_pem_bundle(pem)
                .map_err(|error| BuildError::Bundle(chain(&error)))?;
            if roots.is_empty() {
                return Err(BuildError::Bundle("it holds no certificate".to_owned()));
            }
            Ok(secure(builder).tls_certs_only(roots))
        }
        Trust::Plaintext => {
            let nobody = rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth();
            Ok(builder.tls_backend_preconfigured(nobody))
        }
    }
}

fn secure(builder: upstream::ClientBuilder) -> upstream::ClientBuilder {
    builder.https_only(true).tls_version_min(upstream::tls::Version::TLS_1_2)
}

/// HTTP proxies only: other schemes would be ignored, or fail at the first call.
fn proxy(url: &str) -> Result<upstream::Proxy, BuildError> {
    let uri = url.parse::<http::Uri>().map_err(|_invalid| BuildError::Proxy("it is no URL".to_owned()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(BuildError::Proxy("its form is http://HOST:PORT or https://HOST:PORT".to_owned()));
    }
    upstream::Proxy::all(url).map_err(|error| BuildError::Proxy(chain(&error)))
}

/// The system's resolver, on its own threads, with a bound.
struct Resolver;

impl upstream::dns::Resolve for Resolver {
    fn resolve(&self, name: upstream::dns::Name) -> upstream::dns::Resolving {
        Box::pin(async move {
            // The port is the connector's affair.
            let found = tokio::net::lookup_host((name.as_str(), 0));
            let addresses = tokio::time::timeout(RESOLVE_TIMEOUT, found).await??;
            Ok(Box::new(addresses.collect::<Vec<_>>().into_iter()) as upstream::dns::Addrs)
        })
    }
}

impl HttpService for Client {
    fn send(&self, request: http::Request<Bytes>, limits: Limits) -> BoxFuture<'_, Result<Response, Error>> {
        Box::pin(async move {
            let end = Instant::now() + limits.timeout;
            let request = self.request(request)?;
            let answer = within(end, self.client.execute(request)).await?.map_err(classify)?;
            let (head, mut body) = http::Response::from(answer).into_parts();
            let body = read(&mut body, end, limits.max_body).await;
            Ok(http::Response::from_parts(head, body))
        })
    }
}

async fn read(body: &mut upstream::Body, end: Instant, max: usize) -> Result<Bytes, Error> {
    let mut whole = BytesMut::new();
    while let Some(frame) = within(end, body.frame()).await? {
        let Ok(data) = frame.map_err(classify)?.into_data() else { continue };
        if whole.len() + data.len() > max {
            return Err(Kind::TooLarge.into());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

async fn within<T>(end: Instant, exchange: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout_at(end, exchange).await.map_err(|_elapsed| Kind::Timeout.into())
}

/// Only a failure to connect is a failure to send: a TLS fault on a connection that stood may come after
/// the request.
fn classify(error: upstream::Error) -> Error {
    let kind = if error.is_dns() {
        Kind::Dns
    } else if error.is_connect() && names_a_tls_fault(&error) {
        Kind::Tls
    } else if error.is_connect() {
        Kind::Connect
    } else if error.is_timeout() {
        Kind::Timeout
    } else {
        Kind::Reset
    };
    Error::new(kind, error.without_url())
}

/// Walks the chain of causes. `io::Error` hides the error it wraps from `source()`, so it is asked itself.
fn names_a_tls_fault(error: &(dyn StdError + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if current.is::<rustls::Error>() {
            return true;
        }
        cause = match current.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => current.source(),
        };
    }
    false
}

fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        text.push_str(": ");
        text.push_str(&current.to_string());
        cause = current.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_its_own_host_whoever_was_asked_before() {
        let client = Client::new(&Config { trust: Trust::Plaintext, ..Config::default() }).unwrap();
        for uri in [
            "http://127.0.0.1:81/20160918/volumeBackups?compartmentId=ocid1.x&limit=1",
            "http://127.0.0.1:82/20160918/volumeBackups",
            "http://127.0.0.1/20160918/volumeBackups",
            "https://127.0.0.1/20160918/volumeBackups",
            "https://127.0.0.1:80/20160918/volumeBackups",
            "https://iaas.us-ashburn-1.oraclecloud.com/20160918/volumeBackups?a=b",
            "https://iaas.us-ashburn-1.oraclecloud.com/20160918/volumeBackups/ocid1.x",
            "https://iaas.us-phoenix-1.oraclecloud.com/20160918/volumeBackups/ocid1.x",
            "http://[::1]:81/opc/v2/instance",
            "http://[::2]:81/opc/v2/instance",
            "http://localhost:81/",
        ] {
            let parsed: http::Uri = uri.parse().unwrap();
            // Of the one that is remembered, and of the one that is not.
            for _ in 0..2 {
                assert_eq!(client.url(&parsed).unwrap().as_str(), uri);
            }
        }
    }
}
