//! Standard error, written to by a thread of its own: a call never waits for a log, and the lines of a busy moment go
//! out together.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

/// How long a line may wait for others. Waking the writer, and whoever reads, takes longer than writing a line.
const TOGETHER: Duration = Duration::from_millis(5);

/// What may be left for the writer, where nobody reads; the writer may have taken as much before.
const LEFT_AT_MOST: usize = 1 << 19;

/// So much waits for nothing more.
const ENOUGH: usize = LEFT_AT_MOST / 8;

/// How long the end of the process waits for whoever reads.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Standard error is one for the whole process, and so is this.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines nobody read, and so nobody ever will.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Where lines are left for the writer. When it is dropped, they have been written, or nobody read them in time.
#[derive(Debug)]
pub struct Log(Arc<Lines>);

#[derive(Debug, Default)]
pub(super) struct Lines {
    left: Mutex<Left>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Left {
    lines: Vec<u8>,
    /// The writer is at work on what it took.
    is_writing: bool,
    /// Nothing is worth waiting for any more.
    is_ending: bool,
}

impl Log {
    /// Starts the thread that writes to `sink`.
    pub(super) fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Arc::<Lines>::default();
        let writing = Arc::clone(&lines);
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.write_to(sink))?;
        Ok(Self(lines))
    }

    /// To make lines with.
    pub(super) fn lines(&self) -> Arc<Lines> {
        Arc::clone(&self.0)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let mut left = self.0.left();
        left.is_ending = true;
        self.0.changed.notify_all();
        let unwritten = |left: &mut Left| left.is_writing || !left.lines.is_empty();
        drop(self.0.changed.wait_timeout_while(left, LAST_LINES, unwritten));
    }
}

impl Lines {
    /// Leaves a line. Where nobody reads, what is left does not grow for ever.
    fn leave(&self, line: &[u8]) {
        let mut left = self.left();
        if left.lines.len() + line.len() > LEFT_AT_MOST {
            return dropped(line);
        }
        let before = left.lines.len();
        left.lines.extend_from_slice(line);
        drop(left);
        if before == 0 || (before < ENOUGH && before + line.len() >= ENOUGH) {
            self.changed.notify_all();
        }
    }

    /// Writes what was left, for ever.
    fn write_to(&self, sink: impl Write) {
        let mut sink = Sink { sink, is_torn: false };
        let mut lines = Vec::new();
        loop {
            let left = self.left();
            let nothing = |left: &mut Left| left.lines.is_empty();
            let left = self.changed.wait_while(left, nothing).unwrap_or_else(PoisonError::into_inner);
            let waited = self
                .changed
                .wait_timeout_while(left, TOGETHER, |left| !left.is_ending && left.lines.len() < ENOUGH);
            let (mut left, _over) = waited.unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut left.lines, &mut lines);
            left.is_writing = true;
            drop(left);
            let unwritten = sink.write(&lines);
            dropped(unwritten);
            lines.clear();
            self.left().is_writing = false;
            self.changed.notify_all();
        }
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Sink<W> {
    sink: W,
    /// The last line was cut off in its midst.
    is_torn: bool,
}

impl<W: Write> Sink<W> {
    /// Writes lines, and gives back those that there was no room for.
    fn write<'a>(&mut self, lines: &'a [u8]) -> &'a [u8] {
        if self.is_torn && self.write_some(b"\n") > 0 {
            self.is_torn = false;
        }
        if self.is_torn {
            return lines;
        }
        let (written, rest) = lines.split_at_checked(self.write_some(lines)).unwrap_or((lines, &[]));
        self.is_torn = !rest.is_empty() && !written.is_empty() && !written.ends_with(b"\n");
        rest
    }

    /// As much as there is room for. A pipe that somebody else has made one that does not wait is waited for all the same.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(0) => break,
                Ok(some) => written += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(TOGETHER),
                Err(_no_room) => break,
            }
        }
        written
    }
}

/// For whoever makes lines; each comes whole.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.leave(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn dropped(lines: &[u8]) {
    let lines = lines.iter().filter(|byte| **byte == b'\n').count();
    DROPPED.fetch_add(u64::try_from(lines).unwrap_or(u64::MAX), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead;
    use std::io::BufReader;
    use std::io::PipeReader;
    use std::time::Instant;

    fn log() -> (Log, PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        (Log::start(writer).unwrap(), reader)
    }

    fn leave(log: &Log, text: &str) {
        (&*log.lines()).write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn lines_come_whole_and_in_their_order_and_the_last_ones_too() {
        let (log, reader) = log();
        let reading =
            thread::spawn(|| BufReader::new(reader).lines().take(1000).collect::<Result<Vec<_>, _>>());
        let lines: Vec<String> = (0..1000).map(|number| format!("line {number}")).collect();
        lines.iter().for_each(|line| leave(&log, &format!("{line}\n")));
        drop(log);
        assert_eq!(reading.join().unwrap().unwrap(), lines);
    }

    #[test]
    fn a_burst_that_is_read_loses_nothing() {
        let (log, reader) = log();
        let reading = thread::spawn(|| BufReader::new(reader).lines().take(4096).map(Result::unwrap).count());
        let line = format!("{}\n", "x".repeat(1023));
        // As fast as the fullest journal comes, with a moment for the machine in between.
        for _ in 0..64 {
            (0..64).for_each(|_| leave(&log, &line));
            thread::sleep(Duration::from_millis(1));
        }
        drop(log);
        assert_eq!(reading.join().unwrap(), 4096);
    }

    /// Takes so many bytes, and then none until it is given room.
    struct Full(Vec<u8>, usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.1);
            self.0.extend_from_slice(&bytes[..taken]);
            self.1 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn where_a_disk_was_full_the_next_line_is_one_of_its_own() {
        let mut sink = Sink { sink: Full(Vec::new(), 9), is_torn: false };
        assert_eq!(sink.write(b"first\nsecond\nthird\n"), b"ond\nthird\n");
        assert_eq!(sink.write(b"fourth\n"), b"fourth\n");
        sink.sink.1 = 100;
        assert_eq!(sink.write(b"fifth\n"), b"");
        assert_eq!(sink.sink.0, b"first\nsec\nfifth\n");
    }

    #[test]
    fn the_end_waits_for_no_reader_who_does_not_read() {
        let (log, _unread) = log();
        (0..100).for_each(|_| leave(&log, &format!("{}\n", "x".repeat(4000))));
        let began = Instant::now();
        drop(log);
        assert!((LAST_LINES..LAST_LINES * 3).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[test]
    fn what_nobody_reads_is_dropped_at_last_and_counted() {
        let (log, _unread) = log();
        let before = dropped_lines();
        let line = format!("{}\n", "x".repeat(1023));
        let began = Instant::now();
        (0..4096).for_each(|_| leave(&log, &line));
        assert!(began.elapsed() < LAST_LINES, "nobody waits: {:?}", began.elapsed());
        let (dropped, taken) =
            (dropped_lines() - before, u64::try_from(2 * LEFT_AT_MOST / 1024).unwrap() + 64);
        assert!((4096 - taken..4096).contains(&dropped), "{dropped}");
    }
}
