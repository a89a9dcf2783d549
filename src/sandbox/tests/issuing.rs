//! A sandbox with issuers, and clients of theirs.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::RsaPrivateKey;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Answer, Client, VOLUME_BACKUPS, World};
use super::signing::{BODY_HEADERS, Signed, unsigned};
use crate::sandbox::{Identity, IssuerConfig, IssuerKeys, Issuers, Transport};

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const TOKEN_LIFE: Duration = Duration::from_secs(1200);

const GO_ORDER: [&str; 5] =
    ["date", "(request-target)", "content-length", "content-type", "x-content-sha256"];

/// One set of keys for all tests.
pub(super) fn issuer_keys() -> IssuerKeys {
    static KEYS: OnceLock<IssuerKeys> = OnceLock::new();
    KEYS.get_or_init(|| IssuerKeys::generate().unwrap()).clone()
}

/// The private key of a session.
pub(super) fn session_key() -> &'static str {
    static KEY: OnceLock<Identity> = OnceLock::new();
    KEY.get_or_init(|| Identity::generate().unwrap()).private_key_pem()
}

pub(super) fn public_der(private_key_pem: &str) -> Vec<u8> {
    let key = RsaPrivateKey::from_pkcs8_pem(private_key_pem).unwrap().to_public_key();
    key.to_public_key_der().unwrap().into_vec()
}

pub(super) fn config() -> IssuerConfig {
    let any = |ip: [u8; 4]| SocketAddr::from((Ipv4Addr::from(ip), 0));
    // The cluster has an address of its own, as the SDKs need it: they choose the port.
    IssuerConfig { keys: Some(issuer_keys()), ..IssuerConfig::new(any([127, 0, 0, 1]), any([127, 0, 0, 5])) }
}

pub(super) fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// What a client of an instance reads before it asks for a token.
#[derive(Clone)]
pub(super) struct Certificates {
    pub(super) leaf: Vec<u8>,
    pub(super) intermediate: Vec<u8>,
    pub(super) key_pem: String,
    pub(super) tenancy: String,
}

/// A request to the federation endpoint, in parts to be spoilt.
#[derive(Clone)]
pub(super) struct Federation {
    pub(super) key_id: String,
    pub(super) body: Value,
    pub(super) headers: Vec<&'static str>,
    pub(super) key_pem: String,
    pub(super) date: SystemTime,
}

impl World {
    pub(super) async fn with_issuers() -> World {
        World::start_as(Transport::Plaintext, Some(config())).await
    }

    pub(super) fn issuers(&self) -> &Issuers {
        self.sandbox.issuers().unwrap()
    }

    fn instance_addr(&self) -> SocketAddr {
        self.issuers().federation_url().strip_prefix("http://").unwrap().parse().unwrap()
    }

    pub(super) async fn instance(&self, request: &[u8]) -> Answer {
        Client(TcpStream::connect(self.instance_addr()).await.unwrap()).send(request).await
    }

    /// Asks the metadata service as a client does.
    pub(super) async fn metadata(&self, path: &str) -> Answer {
        let request =
            format!("GET /opc/v2/{path} HTTP/1.1\r\nhost: metadata\r\nauthorization: Bearer Oracle\r\n\r\n");
        self.instance(request.as_bytes()).await
    }

    pub(super) async fn certificates(&self) -> Certificates {
        let text = async |path| String::from_utf8(self.metadata(path).await.body).unwrap();
        let der = |pem: &str| pem::parse(pem).unwrap().into_contents();
        let leaf = der(&text("identity/cert.pem").await);
        let certificate = x509_cert::der::Decode::from_der(&leaf);
        let certificate: x509_cert::Certificate = certificate.unwrap();
        let names = certificate.tbs_certificate.subject.0;
        let values = names.iter().flat_map(|part| part.0.iter()).map(|attribute| attribute.value.value());
        let mut tenant =
            values.filter_map(|value| std::str::from_utf8(value).unwrap().strip_prefix("opc-tenant:"));
        let tenancy = tenant.next().unwrap().to_owned();
        let intermediate = der(&text("identity/intermediate.pem").await);
        Certificates { leaf, intermediate, key_pem: text("identity/key.pem").await, tenancy }
    }

    /// As the Go SDK asks.
    pub(super) async fn federation(&self) -> Federation {
        let Certificates { leaf, intermediate, key_pem, tenancy } = self.certificates().await;
        Federation {
            key_id: format!("{tenancy}/fed-x509-sha256/{}", fingerprint::<Sha256>(&leaf)),
            body: json!({
                "certificate": STANDARD.encode(leaf),
                "publicKey": STANDARD.encode(public_der(session_key())),
                "intermediateCertificates": [STANDARD.encode(intermediate)],
                "fingerprintAlgorithm": "SHA256",
            }),
            headers: GO_ORDER.into(),
            key_pem,
            date: self.now(),
        }
    }

    pub(super) async fn federated(&self, federation: &Federation) -> Answer {
        self.instance(&federation.signed().bytes()).await
    }

    /// A token for [`session_key`].
    pub(super) async fn token(&self) -> String {
        self.federated(&self.federation().await).await.text("token")
    }

    /// Asks the cluster for a token, over TLS by its own authority.
    pub(super) async fn cluster(&self, bearer: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let request = format!(
            "POST /resourcePrincipalSessionTokens HTTP/1.1\r\nhost: cluster\r\nauthorization: {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len(),
        );
        let address = self.issuers().cluster_addr();
        let authority = self.issuers().cluster_authority_pem();
        let read = over_tls(address, authority, request.as_bytes()).await.unwrap();
        Answer::parse(&read).unwrap()
    }

    /// A create of a volume's first backup, signed by a session.
    pub(super) fn signed_by(&self, token: &str, private_key_pem: &str) -> Signed {
        let host = self.sandbox.oci_addr().to_string();
        let body = json!({"volumeId": another_volume()}).to_string();
        let mut request = unsigned("POST", VOLUME_BACKUPS, &host, &body, self.now());
        let names: Vec<&str> = ["date", "(request-target)", "host"].into_iter().chain(BODY_HEADERS).collect();
        request.authorize_as(&names, &format!("ST${token}"), private_key_pem);
        request
    }
}

impl Federation {
    pub(super) fn signed(&self) -> Signed {
        let mut request = unsigned("POST", "/v1/x509", "auth.example", &self.body.to_string(), self.date);
        request.authorize_as(&self.headers, &self.key_id, &self.key_pem);
        request
    }
}

fn another_volume() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("ocid1.volume.oc1.iad.{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Colon-separated hex in lower case.
pub(super) fn fingerprint<D: sha2::Digest>(bytes: &[u8]) -> String {
    let pairs: Vec<String> = D::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    pairs.join(":")
}

/// Sends bytes and reads to the end, where the server is trusted by `authority` under its address.
pub(super) async fn over_tls(
    address: SocketAddr,
    authority: &str,
    request: &[u8],
) -> std::io::Result<Vec<u8>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tcp = TcpStream::connect(address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(ServerName::from(address.ip()), tcp).await?;
    tls.write_all(request).await?;
    let mut read = Vec::new();
    tls.read_to_end(&mut read).await?;
    Ok(read)
}
