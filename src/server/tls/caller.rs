//! Who a caller is by its certificate, and how long that holds.

use rustls::pki_types::CertificateDer;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::Instant;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Longer names are cut: they are for a line of the log.
const LONGEST: usize = 256;

/// A caller whose certificate one of the authorities has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct Caller {
    /// The subject as RFC 4514 writes it; without one, as in SPIFFE's certificates, the first alternative name.
    pub(in crate::server) name: Arc<str>,
    /// When the certificate expires.
    pub(in crate::server) expires: Instant,
}

impl Caller {
    pub(super) fn of(certificate: &CertificateDer<'_>, now: SystemTime) -> io::Result<Self> {
        let unreadable = |_error| io::Error::other("the caller's certificate cannot be read");
        let certificate = Certificate::from_der(certificate).map_err(unreadable)?.tbs_certificate;
        let left = certificate.validity.not_after.to_system_time().duration_since(now);
        let left = left.map_err(|_past| io::Error::other("the caller's certificate has expired"))?;
        let far = || Instant::now() + std::time::Duration::from_secs(86_400 * 365);
        let expires = Instant::now().checked_add(left).unwrap_or_else(far);
        let subject = certificate.subject.to_string();
        let name = if subject.is_empty() { alternative(&certificate) } else { Some(subject) };
        Ok(Self { name: presentable(&name.unwrap_or_default()).into(), expires })
    }
}

fn alternative(certificate: &x509_cert::TbsCertificate) -> Option<String> {
    let (_critical, names) = certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{}", name.as_str())),
        GeneralName::DnsName(name) => Some(format!("DNS:{}", name.as_str())),
        GeneralName::Rfc822Name(name) => Some(format!("email:{}", name.as_str())),
        _ => None,
    })
}

/// Fit for a line of the log: of bounded length, without what moves a cursor or turns the direction of writing.
fn presentable(name: &str) -> String {
    let turns = |character| matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = |character: char| match character {
        character if character.is_control() || turns(character) => char::REPLACEMENT_CHARACTER,
        character => character,
    };
    let mut shown: String = name.chars().take(LONGEST).map(plain).collect();
    if name.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_has_nothing_that_changes_a_line() {
        assert_eq!(presentable("CN=billing,O=Höfe 株式"), "CN=billing,O=Höfe 株式");
        assert_eq!(
            presentable("CN=a\nb\u{85}c\u{202e}d\u{2028}\u{7f}"),
            "CN=a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\u{fffd}"
        );
        let long = "ä".repeat(LONGEST + 1);
        assert_eq!(presentable(&long[2..]), long[2..]);
        assert_eq!(presentable(&long), format!("{}…", &long[2..]));
    }
}
