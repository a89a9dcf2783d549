//! Files of settings, read at start.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longer than a file system takes that answers at all. Two files of settings are read, and a start has eight seconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// Reads a file, unless that takes too long or it has no end: a mount may hang, and a pipe's writer may never come. What hangs keeps its
/// thread, so this is for a start, and for nothing that is done again and again.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let (done, read) = mpsc::channel();
    let path = path.to_owned();
    // Nobody hears an end that comes too late.
    thread::Builder::new().name("settings".to_owned()).spawn(move || done.send(whole(&path)))?;
    let hangs = || io::Error::new(io::ErrorKind::TimedOut, HANGS);
    read.recv_timeout(PATIENCE).map_err(|_elapsed| hangs())?
}

/// Not more of it than any file of settings has: all certificates that a system trusts take a quarter of a mebibyte.
fn whole(path: &Path) -> io::Result<Vec<u8>> {
    const LONGEST: u64 = 4 * 1024 * 1024;
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(0..=LONGEST) => Ok(bytes),
        Ok(_) | Err(_) => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 4 MiB")),
    }
}

const HANGS: &str = "it has not been read to its end after 2 s; does the file system that it is on answer?";

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::time::Instant;

    #[test]
    fn a_file_that_hangs_is_given_up_and_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let (file, pipe) = (dir.path().join("file"), dir.path().join("pipe"));
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), b"text");
        assert_eq!(read(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let began = Instant::now();
        assert_eq!(read(&pipe).unwrap_err().to_string(), HANGS);
        assert!(began.elapsed() < 2 * PATIENCE);
    }
}
