//! A certificate authority for one sandbox, and its server certificate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

use super::Error;

pub(super) struct Authority {
    pem: String,
    server: Arc<ServerConfig>,
}

impl Authority {
    pub(super) fn generate(listen: IpAddr) -> Result<Authority, Error> {
        let authority_key = KeyPair::generate().map_err(certificate_error)?;
        let authority_params = authority_params();
        let authority = authority_params.self_signed(&authority_key).map_err(certificate_error)?;
        let issuer = Issuer::new(authority_params, authority_key);

        let key = KeyPair::generate().map_err(certificate_error)?;
        let leaf = server_params(listen)?.signed_by(&key, &issuer).map_err(certificate_error)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));

        // A provider of our own choice: the process-wide default may not be installed in tests.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(certificate_error)?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .map_err(certificate_error)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Authority { pem: authority.pem(), server: Arc::new(server) })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "sandbox certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(listen: IpAddr) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).map_err(certificate_error)?;
    let addresses = [listen, IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    params.distinguished_name.push(DnType::CommonName, "sandbox");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn certificate_error(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Certificate(Box::new(source))
}
