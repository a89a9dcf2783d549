//! Instance certificates as OCI makes them: written here, and judged here when they come back.

use std::time::{Duration, SystemTime};

use rsa::RsaPublicKey;
use rsa::pkcs1v15::{Signature, VerifyingKey};
use rsa::signature::Verifier;
use sha2::Sha256;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, PrintableString, UtcTime};
use x509_cert::der::referenced::OwnedToRef;
use x509_cert::der::{self, DateTime, Decode, Encode, Tag};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages};
use x509_cert::ext::{AsExtension, Extension};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use super::keys::IssuerKeys;
use crate::sandbox::Error;
use crate::sandbox::key::Key;

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATIONAL_UNIT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.11");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// Certificates are good from a little before they are made: clocks differ.
const LEEWAY: Duration = Duration::from_secs(300);
const LIFE_OF_THE_AUTHORITY: Duration = Duration::from_secs(10 * 365 * 86400);

/// Why a certificate is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::sandbox) enum CertificateRefusal {
    #[error("cannot be read")]
    Unreadable,
    #[error("is not signed by an intermediate of the request")]
    NoIssuer,
    #[error("has an intermediate that is not signed by the root")]
    NoRoot,
    #[error("is not good yet")]
    NotYet,
    #[error("has expired")]
    Expired,
    #[error("names no tenancy")]
    NoTenancy,
}

/// Whom a leaf certificate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) tenancy: String,
    pub(super) compartment: String,
    pub(super) instance: String,
}

/// A leaf that was judged good.
pub(super) struct Leaf {
    pub(super) subject: Subject,
    pub(super) key: RsaPublicKey,
}

/// A root, and the intermediate that signs leaves.
pub(super) struct Authority {
    keys: IssuerKeys,
    pub(super) intermediate: Vec<u8>,
}

impl Authority {
    pub(super) fn new(keys: IssuerKeys, now: SystemTime) -> Result<Authority, Error> {
        let subject = name([vec![(COMMON_NAME, "PKISVC Identity Intermediate sandbox")]]).map_err(failed)?;
        let extensions = vec![
            BasicConstraints { ca: true, path_len_constraint: Some(0) }.to_extension(&subject, &[]),
            KeyUsage(KeyUsages::KeyCertSign.into()).to_extension(&subject, &[]),
        ];
        let made = Draft { key: keys.intermediate(), subject, extensions, now, life: LIFE_OF_THE_AUTHORITY }
            .signed(root_name(), keys.root());
        let intermediate = made.map_err(failed)?;
        Ok(Authority { keys, intermediate })
    }

    /// A leaf certificate, DER.
    pub(super) fn issue(
        &self,
        subject: &Subject,
        key: &Key,
        now: SystemTime,
        life: Duration,
    ) -> Result<Vec<u8>, Error> {
        let name = leaf_name(subject).map_err(failed)?;
        let extensions = vec![
            BasicConstraints { ca: false, path_len_constraint: None }.to_extension(&name, &[]),
            KeyUsage(KeyUsages::DigitalSignature | KeyUsages::KeyEncipherment).to_extension(&name, &[]),
            ExtendedKeyUsage(vec![CLIENT_AUTH]).to_extension(&name, &[]),
        ];
        let issuer = Certificate::from_der(&self.intermediate).map_err(failed)?.tbs_certificate.subject;
        Draft { key, subject: name, extensions, now, life }
            .signed(Ok(issuer), self.keys.intermediate())
            .map_err(failed)
    }

    /// Whether a leaf is good now, by way of one of the intermediates that came with it.
    pub(super) fn judge(
        &self,
        leaf: &[u8],
        intermediates: &[Vec<u8>],
        now: SystemTime,
    ) -> Result<Leaf, CertificateRefusal> {
        let leaf = read(leaf)?;
        let intermediates =
            intermediates.iter().map(|der| read(der)).collect::<Result<Vec<Certificate>, _>>()?;
        let issuer = intermediates.iter().find(|issuer| {
            issuer.tbs_certificate.subject == leaf.tbs_certificate.issuer
                && public_key(issuer).is_some_and(|key| is_signed_by(&leaf, &key))
        });
        let issuer = issuer.ok_or(CertificateRefusal::NoIssuer)?;
        let may_issue = issuer.tbs_certificate.get::<BasicConstraints>().ok().flatten();
        if !may_issue.is_some_and(|(_, constraints)| constraints.ca)
            || !is_signed_by(issuer, self.keys.root().public())
        {
            return Err(CertificateRefusal::NoRoot);
        }
        for certificate in [issuer, &leaf] {
            let validity = certificate.tbs_certificate.validity;
            if now < validity.not_before.to_system_time() {
                return Err(CertificateRefusal::NotYet);
            }
            if now > validity.not_after.to_system_time() {
                return Err(CertificateRefusal::Expired);
            }
        }
        Ok(Leaf {
            subject: subject_of(&leaf.tbs_certificate.subject).ok_or(CertificateRefusal::NoTenancy)?,
            key: public_key(&leaf).ok_or(CertificateRefusal::Unreadable)?,
        })
    }
}

/// A certificate that only has to be signed.
struct Draft<'k> {
    key: &'k Key,
    subject: Name,
    extensions: Vec<der::Result<Extension>>,
    now: SystemTime,
    life: Duration,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Draft<'_> {
    fn signed(self, issuer: der::Result<Name>, by: &Key) -> Result<Vec<u8>, BoxError> {
        let algorithm = AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(Any::null()) };
        let validity =
            Validity { not_before: utc(self.now - LEEWAY)?, not_after: utc(self.now + self.life)? };
        let tbs_certificate = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&rand::random::<[u8; 16]>())?,
            signature: algorithm.clone(),
            issuer: issuer?,
            validity,
            subject: self.subject,
            subject_public_key_info: SubjectPublicKeyInfoOwned::from_der(self.key.public_der())?,
            issuer_unique_id: None,
            subject_unique_id: None,
            extensions: Some(self.extensions.into_iter().collect::<der::Result<_>>()?),
        };
        let signature = BitString::from_bytes(&by.sign(&tbs_certificate.to_der()?)?)?;
        Ok(Certificate { tbs_certificate, signature_algorithm: algorithm, signature }.to_der()?)
    }
}

/// RFC 5280 4.1.2.5: through 2049 as UTCTime.
fn utc(time: SystemTime) -> der::Result<Time> {
    let date = DateTime::try_from(time)?;
    UtcTime::from_date_time(date).map(Time::UtcTime).or_else(|_| Time::try_from(time))
}

fn read(der: &[u8]) -> Result<Certificate, CertificateRefusal> {
    Certificate::from_der(der).map_err(|_| CertificateRefusal::Unreadable)
}

fn public_key(certificate: &Certificate) -> Option<RsaPublicKey> {
    let info = certificate.tbs_certificate.subject_public_key_info.owned_to_ref();
    RsaPublicKey::try_from(info).ok()
}

fn is_signed_by(certificate: &Certificate, key: &RsaPublicKey) -> bool {
    let signature = certificate.signature.as_bytes().and_then(|bytes| Signature::try_from(bytes).ok());
    let signed = certificate.tbs_certificate.to_der();
    match (signed, signature, certificate.signature_algorithm.oid) {
        (Ok(signed), Some(signature), SHA256_WITH_RSA) => {
            VerifyingKey::<Sha256>::new(key.clone()).verify(&signed, &signature).is_ok()
        }
        _ => false,
    }
}

fn root_name() -> der::Result<Name> {
    name([vec![(COMMON_NAME, "PKISVC Identity Root sandbox")]])
}

/// As in a real leaf: the units are values of one part of the name, and the common name is longer than the 64
/// characters that X.520 allows.
fn leaf_name(subject: &Subject) -> der::Result<Name> {
    let Subject { tenancy, compartment, instance } = subject;
    let units = [
        "opc-certtype:instance".to_owned(),
        format!("opc-compartment:{compartment}"),
        format!("opc-instance:{instance}"),
        format!("opc-tenant:{tenancy}"),
    ];
    let units = units.map(|unit| (ORGANIZATIONAL_UNIT, unit)).into();
    name([vec![(COMMON_NAME, instance.clone())], units])
}

fn name<S: AsRef<str>>(parts: impl IntoIterator<Item = Vec<(ObjectIdentifier, S)>>) -> der::Result<Name> {
    let attribute = |(oid, text): (ObjectIdentifier, S)| {
        let text = PrintableString::new(text.as_ref())?;
        let value = Any::new(Tag::PrintableString, text.as_bytes())?;
        Ok(AttributeTypeAndValue { oid, value })
    };
    let part = |attributes: Vec<_>| {
        let attributes = attributes.into_iter().map(attribute).collect::<der::Result<Vec<_>>>()?;
        RelativeDistinguishedName::try_from(attributes)
    };
    parts.into_iter().map(part).collect::<der::Result<Vec<_>>>().map(RdnSequence)
}

/// The values that start with `opc-…:`, wherever in the name they stand.
fn subject_of(name: &Name) -> Option<Subject> {
    let values: Vec<&str> = name
        .0
        .iter()
        .flat_map(|part| part.0.iter())
        .filter_map(|attribute| std::str::from_utf8(attribute.value.value()).ok())
        .collect();
    let find = |prefix| values.iter().find_map(|value| value.strip_prefix(prefix)).map(str::to_owned);
    Some(Subject {
        tenancy: find("opc-tenant:")?,
        compartment: find("opc-compartment:").unwrap_or_default(),
        instance: find("opc-instance:").unwrap_or_default(),
    })
}

fn failed(source: impl Into<BoxError>) -> Error {
    Error::Certificate(source.into())
}
