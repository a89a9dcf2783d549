//! Files that hold a credential, or parts of one. Others put new ones in their place: the CLI, the kubelet, a
//! person with an editor. What was read is compared with what is there now, by content: so neither a swapped
//! symlink (Kubernetes' `..data`) nor a time stamp that stood still hides a change.

use super::Credentials;
use super::Error;
use super::FetchCredentials;
use super::Problem;
use sha2::Digest;
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use zeroize::Zeroizing;

/// How often files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Longer files hold no credential.
const LONGEST: u64 = 1024 * 1024;

/// A credential that is read from files and variables alone.
pub trait ReadCredentials: fmt::Debug + Send + Sync + 'static {
    /// Reads it, all files by `files`.
    fn read(&self, files: &Files) -> Result<Credentials, Error>;
}

/// Reads a credential anew when one of its files has changed.
#[derive(Debug)]
pub struct Found<S> {
    source: Arc<S>,
    files: Files,
}

impl<S> Found<S> {
    /// A credential that `source` reads.
    pub fn new(source: S) -> Self {
        Self { source: Arc::new(source), files: Files::default() }
    }
}

impl<S: ReadCredentials> FetchCredentials for Found<S> {
    async fn fetch(&self) -> Result<Credentials, Error> {
        let (source, files) = (Arc::clone(&self.source), self.files.clone());
        let read = tokio::task::spawn_blocking(move || {
            files.forget();
            source.read(&files)
        });
        read.await.unwrap_or_else(|panicked| Err(Error::Unexpected(Arc::new(panicked))))
    }

    async fn changed(&self) {
        self.files.changed().await;
    }
}

/// The files that were read, with what was in them.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<BTreeMap<PathBuf, Content>>>);

/// The hash of a file's content, or why it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Hash([u8; 32]),
    None(io::ErrorKind),
}

impl Files {
    /// Reads a text, and remembers it.
    pub(super) fn read_text(&self, path: &Path) -> Result<Zeroizing<String>, Problem> {
        let bytes = read(path);
        self.seen().insert(path.to_owned(), Content::of(&bytes));
        let bytes = bytes?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Problem::NotText)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    fn forget(&self) {
        self.seen().clear();
    }

    /// Ends when a file is not as it was when it was read.
    pub(super) async fn changed(&self) {
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let files = self.clone();
            let compared = tokio::task::spawn_blocking(move || files.differ());
            if compared.await.unwrap_or(true) {
                return;
            }
        }
    }

    fn differ(&self) -> bool {
        let seen = self.seen().clone();
        seen.iter().any(|(path, content)| Content::of(&read(path)) != *content)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Content>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.seen().keys()).finish()
    }
}

impl Content {
    fn of(read: &io::Result<Zeroizing<Vec<u8>>>) -> Self {
        match read {
            Ok(bytes) => Self::Hash(Sha256::digest(bytes.as_slice()).into()),
            Err(error) => Self::None(error.kind()),
        }
    }
}

fn read(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Asked before it is opened: to open a pipe is to wait for its writer.
    let kind = std::fs::metadata(path)?.file_type();
    if kind.is_fifo() || kind.is_socket() {
        return Err(io::ErrorKind::NotSeekable.into());
    }
    let file = std::fs::File::open(path)?;
    // Room for all of it: what grows leaves copies behind.
    let size = usize::try_from(file.metadata()?.len().min(LONGEST)).unwrap_or_default();
    let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
    file.take(LONGEST.saturating_add(1)).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(0..=LONGEST) => Ok(bytes),
        Ok(_) | Err(_) => Err(io::ErrorKind::FileTooLarge.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tokio::time::Instant;

    /// How long until a change is seen, if it is.
    async fn seen(files: &Files) -> Option<Duration> {
        let began = Instant::now();
        let seen = tokio::time::timeout(Duration::from_secs(10), files.changed()).await;
        seen.ok().map(|()| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_of_content_is_seen_and_a_mere_touch_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (key, absent) = (dir.path().join("key"), dir.path().join("absent"));
        fs::write(&key, "one").unwrap();
        let files = Files::default();
        assert_eq!(files.read_text(&key).unwrap().as_str(), "one");
        assert_eq!(files.read_text(&absent).unwrap_err(), Problem::Absent);
        fs::write(&key, "one").unwrap();
        assert_eq!(seen(&files).await, None);
        fs::write(&key, "two").unwrap();
        assert!(seen(&files).await.unwrap() < Duration::from_secs(4));
        files.read_text(&key).unwrap();
        fs::write(&absent, "").unwrap();
        assert!(seen(&files).await.is_some());
        files.forget();
        fs::remove_file(&key).unwrap();
        assert_eq!(seen(&files).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_swap_of_a_mounted_secret_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for (volume, content) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(volume)).unwrap();
            fs::write(at(volume).join("key"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/key", at("key")).unwrap();
        let files = Files::default();
        assert_eq!(files.read_text(&at("key")).unwrap().as_str(), "one");
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(seen(&files).await.is_some());
        assert_eq!(files.read_text(&at("key")).unwrap().as_str(), "two");
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let problem = Files::default().read_text(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(problem.to_string(), "is longer than 1 MiB: that is no credential; correct the path");
    }
}
