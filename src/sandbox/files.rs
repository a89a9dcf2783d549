//! The files that let an OCI client in: configuration, key, authority.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::issuer::{self, IssuerFiles, Upstream};
use super::{Error, Identity, Sandbox};

/// Where [`write_config`](super::Sandbox::write_config) put things; all paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenFiles {
    /// The configuration file, profile `DEFAULT`.
    pub config: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The certificate authority, with TLS.
    pub certificate_authority: Option<PathBuf>,
    /// The other ways to sign in, with [`Config::issuers`](super::Config::issuers).
    pub issuers: Option<IssuerFiles>,
}

/// A part of the configuration file.
pub(super) struct Profile {
    pub(super) name: &'static str,
    pub(super) keys: Vec<(&'static str, String)>,
}

pub(super) fn write(dir: &Path, sandbox: &Sandbox) -> Result<WrittenFiles, Error> {
    // `key_file` must not depend on the reader's working directory.
    let dir = std::path::absolute(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })?;
    create_dir(&dir)?;

    let (key, config) = (dir.join("key.pem"), dir.join("config"));
    write_private(&key, sandbox.identity().private_key_pem())?;
    let certificate_authority = match sandbox.certificate_authority_pem() {
        None => None,
        Some(pem) => {
            let path = dir.join("ca.pem");
            write_public(&path, pem)?;
            Some(path)
        }
    };
    let mut profiles = vec![default_profile(sandbox.identity(), &key)];
    let issuers = match sandbox.issuers() {
        None => None,
        Some(issuers) => {
            let listening = sandbox.oci_addr();
            let endpoint =
                sandbox.endpoint().replace(&listening.to_string(), &issuer::local(listening).to_string());
            let upstream = Upstream { endpoint, bundle: certificate_authority.as_deref() };
            let (files, profile) =
                issuer::write_files(&dir, &config, issuers, sandbox.identity(), &upstream)?;
            profiles.push(profile);
            Some(files)
        }
    };
    write_private(&config, &render(&profiles))?;
    Ok(WrittenFiles { config, key, certificate_authority, issuers })
}

fn default_profile(identity: &Identity, key: &Path) -> Profile {
    let keys = [
        ("user", identity.user().to_owned()),
        ("fingerprint", identity.fingerprint().to_owned()),
        ("tenancy", identity.tenancy().to_owned()),
        ("region", identity.region().to_owned()),
        ("key_file", key.display().to_string()),
    ];
    Profile { name: "DEFAULT", keys: keys.into() }
}

fn render(profiles: &[Profile]) -> String {
    let render = |profile: &Profile| {
        let keys: String = profile.keys.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        format!("[{}]\n{keys}", profile.name)
    };
    profiles.iter().map(render).collect::<Vec<_>>().join("\n")
}

pub(super) fn create_dir(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::Write { path: dir.to_owned(), source })
}

pub(super) fn write_public(path: &Path, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Leaves no moment at which another user could read the content: the file is new and private before the
/// first byte. An old one could be open to everybody, or a link to somewhere else.
pub(super) fn write_private(path: &Path, content: &str) -> Result<(), Error> {
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
