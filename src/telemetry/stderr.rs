//! Standard error, written to only as long as somebody reads it: a call must never wait for a log.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::io;
use std::io::Stderr;
use std::io::Write;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::TryLockError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use tracing_subscriber::fmt::MakeWriter;

/// What a pipe that is ready takes without waiting (pipe(7), `PIPE_BUF` on Linux).
const TAKEN_AT_ONCE: usize = 4096;

/// Standard error is one for the whole process, and so is this.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines nobody read, and so nobody ever will.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// A writer that drops what would have to wait.
///
/// Whoever finds nobody writing writes, for everybody who comes in the meantime: those leave their line and go.
/// A thread that waited for another's write would lose more time than the write takes.
pub(super) struct Unwaiting {
    left: Mutex<Vec<u8>>,
    stderr: Mutex<Stderr>,
}

/// The writer of one line.
pub(super) struct Line<'a>(&'a Unwaiting);

impl Unwaiting {
    pub(super) fn new(stderr: Stderr) -> Self {
        Self { left: Mutex::new(Vec::new()), stderr: Mutex::new(stderr) }
    }

    fn left(&self) -> MutexGuard<'_, Vec<u8>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was left, as long as there is any and nobody else does.
    fn write_out(&self) -> io::Result<()> {
        while !self.left().is_empty() {
            let mut stderr = match self.stderr.try_lock() {
                Ok(stderr) => stderr,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Looks again when it has written.
                Err(TryLockError::WouldBlock) => return Ok(()),
            };
            let lines = std::mem::take(&mut *self.left());
            write_without_waiting(&mut stderr, &lines)?;
        }
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Unwaiting {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl Write for Line<'_> {
    /// Takes everything, and passes on what the reader has room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.left().extend_from_slice(bytes);
        self.0.write_out()?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_without_waiting(stderr: &mut Stderr, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        if !has_room(stderr) {
            let lines = rest.iter().filter(|byte| **byte == b'\n').count();
            DROPPED.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(TAKEN_AT_ONCE));
        stderr.write_all(part)?;
        rest = after;
    }
    Ok(())
}

fn has_room(stderr: &Stderr) -> bool {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(stderr, PollFlags::OUT)];
    matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(1..))
}
