//! The files that let an OCI client in: configuration, key, authority.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{Error, Identity};

/// Where [`write_config`](super::Sandbox::write_config) put things; all paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFiles {
    /// The configuration file, profile `DEFAULT`.
    pub config: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The certificate authority, with TLS.
    pub certificate_authority: Option<PathBuf>,
}

pub(super) fn write(dir: &Path, identity: &Identity, authority: Option<&str>) -> Result<WrittenFiles, Error> {
    // `key_file` must not depend on the reader's working directory.
    let dir = std::path::absolute(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    fs::create_dir_all(&dir).map_err(|source| Error::Write { path: dir.clone(), source })?;

    let key = dir.join("key.pem");
    write_private(&key, identity.private_key_pem())?;
    let config = dir.join("config");
    write_private(&config, &render(identity, &key))?;
    let certificate_authority = match authority {
        None => None,
        Some(pem) => {
            let path = dir.join("ca.pem");
            fs::write(&path, pem).map_err(|source| Error::Write { path: path.clone(), source })?;
            Some(path)
        }
    };
    Ok(WrittenFiles { config, key, certificate_authority })
}

fn render(identity: &Identity, key: &Path) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={}\nregion={}\nkey_file={}\n",
        identity.user(),
        identity.fingerprint(),
        identity.tenancy(),
        identity.region(),
        key.display(),
    ))
}

/// Leaves no moment at which another user could read the content: the file is new and private before the
/// first byte. An old one could be open to everybody, or a link to somewhere else.
fn write_private(path: &Path, content: &str) -> Result<(), Error> {
    remove_old(path)
        .and_then(|()| create_private(path))
        .and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|source| Error::Write { path: path.to_owned(), source })
}

fn remove_old(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}
