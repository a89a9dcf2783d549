//! Standard error, written to only as long as somebody reads it: a call must never wait for a log.

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use std::io;
use std::io::Stderr;
use std::io::StderrLock;
use std::io::Write;
use tracing_subscriber::fmt::MakeWriter;

/// What a pipe that is ready takes without waiting (pipe(7), `PIPE_BUF` on Linux).
const TAKEN_AT_ONCE: usize = 4096;

/// A writer that drops what would have to wait.
pub(super) struct Unwaiting(pub(super) Stderr);

/// The writer of one line; no other line comes in between.
pub(super) struct Line<'a>(StderrLock<'a>);

impl<'a> MakeWriter<'a> for Unwaiting {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.0.lock())
    }
}

impl Write for Line<'_> {
    /// Takes everything, and passes on what the reader has room for.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.chunks(TAKEN_AT_ONCE) {
            if !self.has_room() {
                break;
            }
            self.0.write_all(part)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Line<'_> {
    fn has_room(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut asked = [PollFd::new(&self.0, PollFlags::OUT)];
        matches!(rustix::event::poll(&mut asked, Some(&now)), Ok(1..))
    }
}
