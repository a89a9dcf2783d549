//! What keeps a sandbox from starting or from writing its files.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the sandbox could not do what its owner asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The RSA key could not be made or encoded.
    #[error("cannot make a signing key")]
    Key,
    /// The certificate authority or its certificate could not be made.
    #[error("cannot make a certificate")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file for the client could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The runtime is shutting down.
    #[error("the runtime is shutting down")]
    Cancelled,
}
