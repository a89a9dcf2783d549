//! The certificate that OCI gives an instance: whose it is, and what of it goes to the federation endpoint.

use crate::ocid::Ocid;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest;
use sha2::Sha256;
use x509_cert::der::Decode;
use x509_cert::der::Encode;

/// What the tenancy's OCID stands behind, in whichever attribute of the subject.
const TENANCY: [&str; 2] = ["opc-tenant:", "opc-identity:"];
const INSTANCE: &str = "opc-instance:";

/// Why a text is no certificate of an instance. Each line reads on from the certificate's place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Some other text.
    #[error("is no certificate in PEM")]
    NoPem,
    /// PEM around something else.
    #[error("is a damaged certificate")]
    Malformed,
    /// A certificate of another kind.
    #[error("is a certificate without a tenancy (opc-tenant) in its subject: is that an OCI instance?")]
    NoTenancy,
}

/// A certificate, as it is shown to OCI.
#[derive(Debug)]
pub(super) struct Certificate {
    der: Vec<u8>,
    public_key: Vec<u8>,
    subject: Vec<String>,
}

impl Certificate {
    pub(super) fn read(pem: &str) -> Result<Self, CertificateError> {
        let block = pem::parse(pem.trim()).map_err(|_| CertificateError::NoPem)?;
        if block.tag() != "CERTIFICATE" {
            return Err(CertificateError::NoPem);
        }
        let der = block.into_contents();
        let parsed =
            x509_cert::Certificate::from_der(&der).map_err(|_| CertificateError::Malformed)?.tbs_certificate;
        let public_key = parsed.subject_public_key_info.to_der().map_err(|_| CertificateError::Malformed)?;
        // OCI puts several attributes into one relative distinguished name.
        let values = parsed.subject.0.iter().flat_map(|names| names.0.iter()).map(|name| name.value.value());
        let subject = values.map(|value| String::from_utf8_lossy(value).into_owned()).collect();
        Ok(Self { der, public_key, subject })
    }

    /// The tenancy of the instance.
    pub(super) fn tenancy(&self) -> Result<Ocid, CertificateError> {
        let tenancy = TENANCY.iter().find_map(|prefix| Ocid::parse(self.value(prefix)?).ok());
        tenancy.ok_or(CertificateError::NoTenancy)
    }

    /// The instance.
    pub(super) fn instance(&self) -> Option<&str> {
        self.value(INSTANCE)
    }

    fn value(&self, prefix: &str) -> Option<&str> {
        self.subject.iter().find_map(|value| value.strip_prefix(prefix))
    }

    /// The DER of its `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// As it goes into JSON: base64 in one line.
    pub(super) fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// `aa:bb:…`, the SHA-256 of its DER, as in the key ids of OCI's Go SDK.
    pub(super) fn fingerprint(&self) -> String {
        let pairs: Vec<String> = Sha256::digest(&self.der).iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }
}
