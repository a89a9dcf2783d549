//! Credentials that are read from files, and read again when one of those has changed.

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::FetchCredentials;
use super::Loaded;
use super::Problem;
use super::jwt;
use crate::files::Config;
use crate::files::Files;
use crate::files::PATIENCE;
use crate::files::Reader;
use crate::files::Unread;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use zeroize::Zeroizing;

/// A credential that is read from files and variables alone.
pub trait ReadCredentials: fmt::Debug + Send + Sync + 'static {
    /// Reads it, all files by `files`.
    fn read(&self, files: &Files) -> Result<Loaded, Error>;
}

/// What is done with what was read first, before it is used.
pub type Settle = Box<dyn Fn(&Loaded) -> Result<(), Error> + Send + Sync>;

/// Reads a credential anew when one of its files has changed.
pub struct Found<S> {
    source: Arc<S>,
    files: Files,
    reader: Reader,
    config: Config,
    first: Arc<First>,
}

/// The first reading, and whether it has been used.
struct First {
    settle: Settle,
    settled: OnceLock<()>,
}

impl<S> Found<S> {
    /// A credential that `source` reads.
    pub fn new(source: S, config: Config) -> Self {
        Self::settling(source, config, Box::new(|_loaded| Ok(())))
    }

    /// The same. Until `settle` has taken what was read first there is no credential.
    pub fn settling(source: S, config: Config, settle: Settle) -> Self {
        let first = Arc::new(First { settle, settled: OnceLock::new() });
        Self { source: Arc::new(source), files: Files::default(), reader: Reader::default(), config, first }
    }
}

impl<S: ReadCredentials> FetchCredentials for Found<S> {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let (source, files) = (Arc::clone(&self.source), self.files.clone());
        let first = Arc::clone(&self.first);
        let read = self.reader.run(move || {
            let loaded = files.at_rest(|files| source.read(files))?;
            if first.settled.get().is_none() {
                (first.settle)(&loaded)?;
                let _ = first.settled.set(());
            }
            Ok(loaded.credentials)
        });
        read.await.unwrap_or_else(|why| Err(unread(&self.files, &why)))
    }

    async fn changed(&self) {
        self.files.changed(&self.reader, self.config).await;
    }
}

impl<S: fmt::Debug> fmt::Debug for Found<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found")
            .field("source", &self.source)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Reads a text.
pub(super) fn read_text(files: &Files, path: &Path) -> Result<Zeroizing<String>, Problem> {
    let bytes = files.read(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Problem::NotText)?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Why nothing was read.
pub(super) fn unread(files: &Files, unread: &Unread) -> Error {
    match (unread, files.open()) {
        (Unread::Hangs, Some(path)) => {
            ConfigError::new(jwt::shown_path(&path), Problem::Hangs { seconds: PATIENCE.as_secs() }).into()
        }
        (Unread::Hangs, None) => {
            let line = format!("the credential was not read within {} s", PATIENCE.as_secs());
            Error::Unavailable(Arc::new(io::Error::other(line)))
        }
        (Unread::Panicked, _) => {
            Error::Unexpected(Arc::new(io::Error::other("reading it failed by a fault of this program")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_no_credential() {
        let problem = read_text(&Files::default(), Path::new("/dev/zero")).unwrap_err();
        assert_eq!(problem.to_string(), "is longer than 1 MiB: that is no credential; correct the path");
    }
}
