//! Files that hold a credential, or parts of one. Others put new ones in their place: the CLI, the kubelet, a
//! person with an editor. What was read is compared with what is there now, by content: so neither a swapped
//! symlink (Kubernetes' `..data`) nor a time stamp that stood still hides a change.

use super::ConfigError;
use super::Credentials;
use super::Error;
use super::FetchCredentials;
use super::Loaded;
use super::Problem;
use super::jwt;
use super::reader::PATIENCE;
use super::reader::Reader;
use super::reader::Unread;
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
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longer files hold no credential.
const LONGEST: u64 = 1024 * 1024;

/// How often files are read that are replaced while they are.
const READINGS: u32 = 5;

/// How files are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// How often they are looked at.
    pub look_again: Duration,
}

impl Default for Config {
    /// Every two seconds.
    fn default() -> Self {
        Self { look_again: Duration::from_secs(2) }
    }
}

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
        read.await.unwrap_or_else(|unread| Err(self.files.unread(&unread)))
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

/// The files that were read, with what was in them.
#[derive(Clone, Default)]
pub struct Files(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    contents: BTreeMap<PathBuf, Content>,
    /// The one that is being read.
    open: Option<PathBuf>,
}

/// The hash of a file's content, or why it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    Hash([u8; 32]),
    None(io::ErrorKind),
}

impl Files {
    /// Reads a text, and remembers it.
    pub(super) fn read_text(&self, path: &Path) -> Result<Zeroizing<String>, Problem> {
        let bytes = self.read(path);
        self.seen().contents.insert(path.to_owned(), Content::of(&bytes));
        let bytes = bytes?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Problem::NotText)?;
        Ok(Zeroizing::new(text.to_owned()))
    }

    /// What `reading` makes of files none of which is replaced meanwhile: a key and a token that are read one after the
    /// other are of one time, or they are read again.
    fn at_rest<T>(&self, reading: impl Fn(&Self) -> T) -> T {
        for _ in 1..READINGS {
            self.forget();
            let read = reading(self);
            if !self.differ() {
                return read;
            }
        }
        self.forget();
        reading(self)
    }

    fn forget(&self) {
        self.seen().contents.clear();
    }

    /// Ends when a file is not as it was when it was read, or cannot be looked at.
    async fn changed(&self, reader: &Reader, config: Config) {
        loop {
            tokio::time::sleep(config.look_again).await;
            let files = self.clone();
            if reader.run(move || files.differ()).await.unwrap_or(true) {
                return;
            }
        }
    }

    fn differ(&self) -> bool {
        let seen = self.seen().contents.clone();
        seen.iter().any(|(path, content)| Content::of(&self.read(path)) != *content)
    }

    fn read(&self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.seen().open = Some(path.to_owned());
        let read = read(path);
        self.seen().open = None;
        read
    }

    /// Why nothing was read.
    pub(super) fn unread(&self, unread: &Unread) -> Error {
        match (unread, self.seen().open.as_deref()) {
            (Unread::Hangs, Some(path)) => {
                ConfigError::new(jwt::shown_path(path), Problem::Hangs { seconds: PATIENCE.as_secs() }).into()
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

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.seen().contents.keys()).finish()
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
        let reader = Reader::default();
        let changed = files.changed(&reader, Config::default());
        let seen = tokio::time::timeout(Duration::from_secs(10), changed).await;
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

    /// Two files that are read one after the other, between which both are replaced as often as this says.
    #[test]
    fn files_that_are_replaced_while_they_are_read_are_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let (token, key) = (dir.path().join("token"), dir.path().join("key"));
        let write = |number: u32| [&token, &key].map(|path| fs::write(path, number.to_string()).unwrap());
        for (replaced, expected) in [(0, true), (1, true), (READINGS - 1, true), (READINGS, false)] {
            let number = std::cell::Cell::new(0);
            write(0);
            let (token, key) = Files::default().at_rest(|files| {
                let token = files.read_text(&token).unwrap();
                if number.get() < replaced {
                    number.set(number.get() + 1);
                    write(number.get());
                }
                (token, files.read_text(&key).unwrap())
            });
            assert_eq!(token == key, expected, "replaced {replaced} times: {token:?} {key:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let problem = Files::default().read_text(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(problem.to_string(), "is longer than 1 MiB: that is no credential; correct the path");
    }
}
