//! From files to what a handshake needs, or to one line that names the setting, the file, what is wrong and the remedy.

use super::Config;
use super::File;
use crate::clock::Clock;
use crate::files::Files;
use crate::files::PATIENCE;
use crate::files::Unread;
use rustls::InconsistentKeys;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem;
use rustls::pki_types::pem::PemObject;
use rustls::server::NoServerSessionStorage;
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;
use rustls::time_provider::TimeProvider;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;
use tokio_rustls::TlsAcceptor;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use zeroize::Zeroizing;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}: {problem}", file.setting, file.path.display())]
pub struct Error {
    /// Which file, by which setting.
    pub file: File,
    /// What is wrong with it, and what would be right.
    pub problem: Problem,
}

/// What is wrong with a file. Each line reads on from the file's name, and repeats nothing of its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Nothing is there.
    #[error("does not exist; correct the path, or mount the file there")]
    Absent,
    /// A directory.
    #[error("is a directory; name the file in it")]
    Directory,
    /// Not ours to read.
    #[error("may not be read by this process; let its user read it")]
    Denied,
    /// Some other file.
    #[error("is longer than 1 MiB; correct the path")]
    TooLong,
    /// A pipe or a socket.
    #[error("is a pipe or a socket; name a file")]
    Stream,
    /// What the system said.
    #[error("cannot be read ({0}); does the file system that it is on answer?")]
    Unreadable(io::ErrorKind),
    /// A mount that is gone.
    #[error("has not been read to its end after {seconds} s; does the file system that it is on answer?")]
    Hangs {
        /// How long was waited.
        seconds: u64,
    },
    /// A fault of the program.
    #[error("was not read, by a fault of this program")]
    Fault,
    /// No certificate in it.
    #[error("holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`); name the file that has one")]
    NoCertificate,
    /// No key in it.
    #[error("holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`); name the file that has one")]
    NoKey,
    /// PEM that is cut short or changed.
    #[error("is damaged PEM: a line is missing, or is not base64; copy the file again")]
    Damaged,
    /// Something else within PEM.
    #[error("its certificate number {number} is none that can be used; take that one out, or replace it")]
    Malformed {
        /// Which of them, from 1.
        number: usize,
    },
    /// A key with a passphrase.
    #[error("is encrypted; a key without a passphrase is expected, such as `openssl pkey` writes")]
    Encrypted,
    /// A key of a kind or a length that is not taken.
    #[error(
        "holds a key that cannot be used; an ECDSA (P-256, P-384, P-521), Ed25519 or RSA key (from 2048 bits) is expected"
    )]
    Unusable,
    /// A key of another certificate.
    #[error("is not the key of the certificate in {}; name the two that belong together", certificate.display())]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// Too late.
    #[error("its certificate expired at {at}; renew it")]
    Expired {
        /// When.
        at: String,
    },
    /// Too early.
    #[error("its certificate is not valid before {from}; wait until then, or set the machine's clock right")]
    Early {
        /// From when on it is.
        from: String,
    },
}

impl Error {
    fn new(file: &File, problem: impl Into<Problem>) -> Self {
        Self { file: file.clone(), problem: problem.into() }
    }

    /// Why nothing was read, of the file that was `open` then.
    pub(super) fn unread(config: &Config, open: Option<PathBuf>, unread: &Unread) -> Self {
        let files = [Some(&config.certificate), Some(&config.key), config.client_ca.as_ref()];
        let hung = files.into_iter().flatten().find(|file| Some(&file.path) == open.as_ref());
        let problem = match unread {
            Unread::Hangs => Problem::Hangs { seconds: PATIENCE.as_secs() },
            Unread::Panicked => Problem::Fault,
        };
        Self::new(hung.unwrap_or(&config.certificate), problem)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::IsADirectory => Self::Directory,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::FileTooLarge => Self::TooLong,
            io::ErrorKind::NotSeekable => Self::Stream,
            other => Self::Unreadable(other),
        }
    }
}

/// All that a handshake needs.
pub(super) struct Material {
    pub(super) acceptor: TlsAcceptor,
    pub(super) expires: SystemTime,
}

impl Material {
    /// Reads it, and looks whether its parts are good and belong together.
    pub(super) fn read(config: &Config, files: &Files, clock: &Clock) -> Result<Self, Error> {
        let of_certificate = |problem| Error::new(&config.certificate, problem);
        let of_key = |problem| Error::new(&config.key, problem);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let chain = certificates(files, &config.certificate)?;
        let expires = validity(&chain, clock.now()).map_err(of_certificate)?;
        let key = private_key(files, &config.key)?;
        let key = provider.key_provider.load_private_key(key).map_err(|_error| of_key(Problem::Unusable))?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(of_key(Problem::Mismatch { certificate: config.certificate.path.clone() }));
            }
            Err(_malformed) => return Err(of_certificate(Problem::Malformed { number: 1 })),
        }
        // TLS 1.2 and 1.3, the versions that rustls has.
        let builder =
            ServerConfig::builder_with_details(Arc::clone(&provider), Arc::new(Time(clock.clone())))
                .with_safe_default_protocol_versions()
                .map_err(|_none| of_certificate(Problem::Fault))?;
        let builder = match &config.client_ca {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let roots = authorities(files, file, clock.now())?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                let verifier = verifier.build().map_err(|_none| Error::new(file, Problem::NoCertificate))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        server.alpn_protocols = vec![b"h2".to_vec()];
        // Without resumption: it would go by what was found out about a caller's certificate before, and connections last.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(server)), expires })
    }
}

/// The time by which callers' certificates are judged.
struct Time(Clock);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.now().duration_since(UNIX_EPOCH).ok().map(UnixTime::since_unix_epoch)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Time").finish_non_exhaustive()
    }
}

/// The file's text, without the mark that some editors put before it: with it, the first line begins nothing.
fn read(files: &Files, file: &File) -> Result<Zeroizing<Vec<u8>>, Error> {
    let text = files.read(&file.path).map_err(|error| Error::new(file, error))?;
    match text.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => Ok(Zeroizing::new(rest.to_vec())),
        None => Ok(text),
    }
}

fn certificates(files: &Files, file: &File) -> Result<Vec<CertificateDer<'static>>, Error> {
    let text = read(files, file)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => Err(Error::new(file, Problem::NoCertificate)),
        Ok(found) => Ok(found),
        Err(_damaged) => Err(Error::new(file, Problem::Damaged)),
    }
}

/// Whom callers' certificates are to be from. What is handed to the library here it trusts whatever the time, so those
/// that have expired are left out.
fn authorities(files: &Files, file: &File, now: SystemTime) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    let mut expired = None;
    for (before, certificate) in certificates(files, file)?.into_iter().enumerate() {
        let number = before + 1;
        let malformed = || Error::new(file, Problem::Malformed { number });
        let (_from, to) = times(&certificate).ok_or_else(malformed)?;
        if now > to {
            let (file, at) = (file.path.display(), shown(to));
            tracing::warn!(%file, number, at, "an authority of callers' certificates has expired and is left out");
            expired = Some(at);
            continue;
        }
        roots.add(certificate).map_err(|_error| malformed())?;
    }
    match expired {
        Some(at) if roots.is_empty() => Err(Error::new(file, Problem::Expired { at })),
        _ => Ok(roots),
    }
}

fn private_key(files: &Files, file: &File) -> Result<PrivateKeyDer<'static>, Error> {
    let text = read(files, file)?;
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    // PKCS#8's own envelope, and the older one (`Proc-Type: 4,ENCRYPTED`).
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"4,ENCRYPTED") {
        return Err(Error::new(file, Problem::Encrypted));
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound => Problem::NoKey,
            _ => Problem::Damaged,
        };
        Error::new(file, problem)
    })
}

/// From when to when a certificate is good.
fn times(certificate: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let validity = Certificate::from_der(certificate).ok()?.tbs_certificate.validity;
    Some((validity.not_before.to_system_time(), validity.not_after.to_system_time()))
}

/// Until when the server's own certificate is good, if it is now. The others are for whoever checks it.
fn validity(chain: &[CertificateDer<'_>], now: SystemTime) -> Result<SystemTime, Problem> {
    let own = chain.first().ok_or(Problem::NoCertificate)?;
    let (from, to) = times(own).ok_or(Problem::Malformed { number: 1 })?;
    if now > to {
        return Err(Problem::Expired { at: shown(to) });
    }
    if now < from {
        return Err(Problem::Early { from: shown(from) });
    }
    Ok(to)
}

/// A time as people read it.
pub(super) fn shown(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_far| format!("{time:?}"), |time| time.to_string())
}
