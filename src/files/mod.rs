//! Files that others put new ones in the place of: the CLI, the kubelet, cert-manager, a person with an editor. What was
//! read is compared with what is there now, by content: so neither a swapped symlink (Kubernetes' `..data`) nor a time
//! stamp that stood still hides a change.
//!
//! It never says what a file is for, and never reads one on a thread that serves.

mod reader;

pub use reader::PATIENCE;
pub use reader::Reader;
pub use reader::Unread;

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

/// Longer files hold no key, token or certificate.
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
    /// Reads a file, and remembers what was in it.
    pub fn read(&self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        let bytes = self.look(path);
        self.seen().contents.insert(path.to_owned(), Content::of(&bytes));
        bytes
    }

    /// What `reading` makes of files none of which is replaced meanwhile: a key and a token that are read one after the
    /// other are of one time, or they are read again.
    pub fn at_rest<T>(&self, reading: impl Fn(&Self) -> T) -> T {
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
    pub async fn changed(&self, reader: &Reader, config: Config) {
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
        seen.iter().any(|(path, content)| Content::of(&self.look(path)) != *content)
    }

    fn look(&self, path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
        self.seen().open = Some(path.to_owned());
        let read = read(path);
        self.seen().open = None;
        read
    }

    /// The file that is being read.
    #[must_use]
    pub fn open(&self) -> Option<PathBuf> {
        self.seen().open.clone()
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
        assert_eq!(files.read(&key).unwrap().as_slice(), b"one");
        assert_eq!(files.read(&absent).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&key, "one").unwrap();
        assert_eq!(seen(&files).await, None);
        fs::write(&key, "two").unwrap();
        assert!(seen(&files).await.unwrap() < Duration::from_secs(4));
        files.read(&key).unwrap();
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
        assert_eq!(files.read(&at("key")).unwrap().as_slice(), b"one");
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(seen(&files).await.is_some());
        assert_eq!(files.read(&at("key")).unwrap().as_slice(), b"two");
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
                let token = files.read(&token).unwrap();
                if number.get() < replaced {
                    number.set(number.get() + 1);
                    write(number.get());
                }
                (token, files.read(&key).unwrap())
            });
            assert_eq!(token == key, expected, "replaced {replaced} times: {token:?} {key:?}");
        }
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let error = Files::default().read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}
