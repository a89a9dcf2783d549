//! Authorities and the certificates that they sign, as files of a mounted secret.

use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::files;
use oci_backup_gateway::server::tls;
use oci_backup_gateway::server::tls::Tls;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::DnValue;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::transport::ClientTlsConfig;

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::until(name, now() + HOUR * 24 * 365)
    }

    /// One that is not good any more after that.
    pub(crate) fn until(name: &str, to: SystemTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = to.into();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For servers at `localhost`, and callers of this name; good from an hour ago on.
    pub(crate) fn sign(&self, name: &str, from: SystemTime, to: SystemTime) -> Pair {
        self.sign_as(DnValue::Utf8String(name.to_owned()), from, to)
    }

    pub(crate) fn sign_as(&self, name: DnValue, from: SystemTime, to: SystemTime) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (from.into(), to.into());
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair { certificate, key: key.serialize_pem() }
    }

    /// Good from an hour ago on, for another hour.
    pub(crate) fn good(&self, name: &str) -> Pair {
        let now = now();
        self.sign(name, now - HOUR, now + HOUR)
    }
}

/// In whole seconds, as certificates tell the time.
pub(crate) fn now() -> SystemTime {
    let now = Clock::system().now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs())
}

/// A secret as Kubernetes mounts it: links through `..data` to a directory that is never changed.
pub(crate) struct Secret {
    dir: TempDir,
}

impl Secret {
    pub(crate) fn new(pair: &Pair, client_ca: &str) -> Self {
        let secret = Self { dir: TempDir::new().unwrap() };
        secret.put(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key), ("ca.crt", client_ca)]);
        for name in ["tls.crt", "tls.key", "ca.crt"] {
            symlink(format!("..data/{name}"), secret.path(name)).unwrap();
        }
        secret
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Everything at once.
    pub(crate) fn swap(&self, pair: &Pair) {
        let client_ca = fs::read_to_string(self.path("ca.crt")).unwrap();
        self.put(&[("tls.crt", &pair.certificate), ("tls.key", &pair.key), ("ca.crt", &client_ca)]);
    }

    pub(crate) fn put(&self, files: &[(&str, &str)]) {
        let before = fs::read_link(self.path("..data")).ok();
        let number = before.as_deref().and_then(Path::to_str).map_or(0, |name| name[2..].parse().unwrap());
        let volume = format!("..{}", number + 1);
        fs::create_dir(self.path(&volume)).unwrap();
        for (name, text) in files {
            fs::write(self.path(&volume).join(name), text).unwrap();
        }
        symlink(&volume, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(self.path(before.to_str().unwrap())).unwrap();
        }
    }

    /// The settings that name its files.
    pub(crate) fn config(&self, mutual: Mutual) -> tls::Config {
        let file = |setting, name| tls::File { setting, path: self.path(name) };
        tls::Config {
            certificate: file("--tls-cert", "tls.crt"),
            key: file("--tls-key", "tls.key"),
            client_ca: (mutual == Mutual::Yes).then(|| file("--tls-client-ca", "ca.crt")),
            handshake_timeout: tls::HANDSHAKE_TIMEOUT,
            files: files::Config { look_again: Duration::from_millis(20) },
        }
    }

    pub(crate) async fn open(&self, mutual: Mutual) -> Tls {
        Tls::open(self.config(mutual), Clock::system()).await.unwrap()
    }
}

/// Whether callers have to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutual {
    Yes,
    No,
}

/// What a caller without a gRPC library shakes hands with.
pub(crate) fn client(
    authority: &Authority,
    own: Option<&Pair>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions);
    let builder = builder.unwrap().with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A connection for any client.
pub(crate) async fn channel(
    gateway: std::net::SocketAddr,
    authority: &Authority,
    own: Option<&Pair>,
) -> Result<Channel, tonic::transport::Error> {
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(tonic::transport::Certificate::from_pem(&authority.pem))
        .domain_name("localhost");
    if let Some(pair) = own {
        tls = tls.identity(tonic::transport::Identity::from_pem(&pair.certificate, &pair.key));
    }
    Channel::from_shared(format!("https://{gateway}")).unwrap().tls_config(tls)?.connect().await
}
