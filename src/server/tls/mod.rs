//! TLS at the door: the certificate that callers are shown, whom it lets in, and when the files of both are read anew.
//!
//! It never decides what a caller may do: whoever is let in may call.

mod caller;
mod material;

pub(super) use caller::Caller;
pub use material::Error;
pub use material::Problem;

use super::seldom::Seldom;
use crate::clock::Clock;
use crate::files;
use crate::files::Files;
use crate::files::Reader;
use material::Material;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::SystemTime;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::rustls;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often files that are no good are read again though nothing changed in them: a certificate may have been early.
const AGAIN: Duration = Duration::from_secs(30);

/// A file, and the setting that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The flag or the variable.
    pub setting: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

/// Where certificates are, and what a handshake may take.
#[derive(Debug, Clone)]
pub struct Config {
    /// The server's certificate, with what leads to the authority that callers trust.
    pub certificate: File,
    /// Its private key.
    pub key: File,
    /// The authorities of callers. With it, a caller without a certificate of one of them is not let in.
    pub client_ca: Option<File>,
    /// [`HANDSHAKE_TIMEOUT`], but in tests.
    pub handshake_timeout: Duration,
    /// How the files are watched.
    pub files: files::Config,
}

/// The door, with a certificate that is good. Clones are one.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    config: Config,
    clock: Clock,
    files: Files,
    reader: Reader,
    material: watch::Sender<Material>,
    reload_failures: AtomicU64,
    handshake_failures: AtomicU64,
    told: Mutex<Seldom>,
}

/// What metrics tell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Condition {
    /// When the certificate that callers are shown expires.
    pub(super) expires: SystemTime,
    /// How often files were no good that were to replace those at hand.
    pub(super) reload_failures: u64,
    /// Handshakes that came to nothing.
    pub(super) handshake_failures: u64,
}

impl Tls {
    /// Reads the files. Certificates are good or not by `clock`.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, Error> {
        let (files, reader) = (Files::default(), Reader::default());
        let material = read(&config, &clock, &files, &reader).await?;
        Ok(Self(Arc::new(Shared {
            config,
            clock,
            files,
            reader,
            material: watch::Sender::new(material),
            reload_failures: AtomicU64::new(0),
            handshake_failures: AtomicU64::new(0),
            told: Mutex::default(),
        })))
    }

    /// Reads the files again when they have changed, for ever. What is no good changes nothing.
    pub(super) async fn keep(self) {
        let shared = &self.0;
        let mut trouble: Option<String> = None;
        loop {
            let changed = shared.files.changed(&shared.reader, shared.config.files);
            let again = if trouble.is_some() { AGAIN } else { Duration::MAX };
            let _ = tokio::time::timeout(again, changed).await;
            match read(&shared.config, &shared.clock, &shared.files, &shared.reader).await {
                Ok(material) => {
                    let expires = material::shown(material.expires);
                    tracing::info!(%expires, "the certificate that callers are shown was read anew");
                    shared.material.send_replace(material);
                    trouble = None;
                }
                Err(error) => {
                    shared.reload_failures.fetch_add(1, Ordering::Relaxed);
                    let error = error.to_string();
                    if trouble.as_ref() != Some(&error) {
                        tracing::warn!(error, "the certificate that callers are shown stays the old one");
                    }
                    trouble = Some(error);
                }
            }
        }
    }

    /// The handshake, within its time.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Option<Caller>)> {
        let acceptor = self.0.material.borrow().acceptor.clone();
        let shaken = tokio::time::timeout(self.0.config.handshake_timeout, acceptor.accept(stream)).await;
        let stream = shaken.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let caller = certificate.map(|certificate| Caller::of(certificate, self.0.clock.now()));
        Ok((stream, caller.transpose()?))
    }

    /// Somebody did not come through. Who said nothing at all only looked whether the port is open.
    pub(super) fn refused(&self, peer: SocketAddr, error: &io::Error) {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            tracing::debug!(%peer, %error, "a connection without a handshake");
            return;
        }
        self.0.handshake_failures.fetch_add(1, Ordering::Relaxed);
        let due = self.0.told.lock().unwrap_or_else(PoisonError::into_inner).due();
        if let Some(times) = due {
            let error =
                if is_plaintext(error) { &"the caller spoke plaintext" as &dyn fmt::Display } else { error };
            tracing::warn!(times, %peer, %error, "TLS handshakes came to nothing; this is the last one");
        }
    }

    pub(super) fn condition(&self) -> Condition {
        Condition {
            expires: self.0.material.borrow().expires,
            reload_failures: self.0.reload_failures.load(Ordering::Relaxed),
            handshake_failures: self.0.handshake_failures.load(Ordering::Relaxed),
        }
    }
}

fn is_plaintext(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    let other = rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType);
    error.is_some_and(|error| *error == other)
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Reads all files where that may block, and none of another time than the others.
async fn read(config: &Config, clock: &Clock, files: &Files, reader: &Reader) -> Result<Material, Error> {
    let (its_config, its_clock, its_files) = (config.clone(), clock.clone(), files.clone());
    let read =
        reader.run(move || its_files.at_rest(|files| Material::read(&its_config, files, &its_clock))).await;
    read.unwrap_or_else(|unread| Err(Error::unread(config, files.open(), &unread)))
}
