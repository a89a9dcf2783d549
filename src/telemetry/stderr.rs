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

/// What may be left for whoever writes.
const LEFT_AT_MOST: usize = 1 << 20;

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
    sink: Mutex<Sink>,
}

/// The writer of one line.
pub(super) struct Line<'a>(&'a Unwaiting);

impl Unwaiting {
    pub(super) fn new(stderr: Stderr) -> Self {
        Self { left: Mutex::new(Vec::new()), sink: Mutex::new(Sink { stderr, torn: false }) }
    }

    fn left(&self) -> MutexGuard<'_, Vec<u8>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a line for whoever writes. Where writing hangs all the same, what is left does not grow for ever.
    fn leave(&self, line: &[u8]) {
        let mut left = self.left();
        if left.len() + line.len() > LEFT_AT_MOST {
            dropped(line);
        } else {
            left.extend_from_slice(line);
        }
    }

    /// Writes what was left, as long as there is any and nobody else does.
    fn write_out(&self) {
        while !self.left().is_empty() {
            let mut sink = match self.sink.try_lock() {
                Ok(sink) => sink,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Looks again when it has written.
                Err(TryLockError::WouldBlock) => return,
            };
            let lines = std::mem::take(&mut *self.left());
            sink.write(&lines);
        }
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
        self.0.leave(bytes);
        self.0.write_out();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where lines go.
struct Sink {
    stderr: Stderr,
    /// The last line was cut off in its midst.
    torn: bool,
}

impl Sink {
    /// Whole lines as far as there is room; those after them are dropped, and counted.
    fn write(&mut self, lines: &[u8]) {
        let mut rest = lines;
        let mut in_a_line = self.torn;
        if self.torn && self.write_part(b"\n") {
            (self.torn, in_a_line) = (false, false);
        }
        while !rest.is_empty() && !self.torn {
            let (part, after) = rest.split_at(whole_lines(rest));
            if !self.write_part(part) {
                break;
            }
            in_a_line = !part.ends_with(b"\n");
            rest = after;
        }
        self.torn = in_a_line;
        dropped(rest);
    }

    fn write_part(&mut self, part: &[u8]) -> bool {
        self.has_room() && self.stderr.write_all(part).is_ok()
    }

    fn has_room(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut asked = [PollFd::new(&self.stderr, PollFlags::OUT)];
        matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(1..))
    }
}

/// The length of as many lines as are taken at once, or of a part of one that is longer.
fn whole_lines(bytes: &[u8]) -> usize {
    let most = bytes.get(..TAKEN_AT_ONCE).unwrap_or(bytes);
    most.iter().rposition(|byte| *byte == b'\n').map_or(most.len(), |end| end + 1)
}

fn dropped(lines: &[u8]) {
    let lines = lines.iter().filter(|byte| **byte == b'\n').count();
    DROPPED.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_out_whole_as_long_as_they_are_short() {
        let line = [vec![b'a'; 999], vec![b'\n']].concat();
        assert_eq!(whole_lines(&line.repeat(3)), 3000);
        assert_eq!(whole_lines(&line.repeat(9)), 4000, "not a part of the fifth");
        assert_eq!(whole_lines(&[b'a'; 9000]), TAKEN_AT_ONCE);
        assert_eq!(whole_lines(b"the end of a long one\nand"), 22);
    }
}
