//! Runs the program: nothing of this process's environment reaches it, and nothing of it outlives a test.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_oci-backup-gateway");

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program, with a home of its own and nothing else.
pub(crate) struct Program {
    command: Command,
    home: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The one line that a refusal is.
    #[track_caller]
    pub(crate) fn refusal(&self, code: i32) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(code), ""), "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        let line = self.stderr.strip_prefix("oci-backup-gateway: ").and_then(|line| line.strip_suffix('\n'));
        let line = line.unwrap_or_else(|| panic!("{self:?}"));
        assert!(!line.chars().any(char::is_control), "{line:?}");
        line
    }
}

/// The program with these arguments, apart by spaces.
pub(crate) fn program(arguments: &str) -> Program {
    let home = TempDir::new().unwrap();
    let mut command = Command::new(BINARY);
    command.env_clear().env("HOME", home.path()).current_dir(home.path()).stdin(Stdio::null());
    command.args(arguments.split_whitespace());
    Program { command, home }
}

/// The same within limits of the system, in the words of the shell.
pub(crate) fn program_within(limits: &str, arguments: &str) -> Program {
    let mut program = program("");
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{limits}; exec \"$0\" \"$@\"")).arg(BINARY);
    command.args(arguments.split_whitespace());
    command.env_clear().env("HOME", program.home()).current_dir(program.home()).stdin(Stdio::null());
    program.command = command;
    program
}

impl Program {
    pub(crate) fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// A file in its home.
    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.home.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn run(self) -> Ended {
        self.start().wait()
    }

    pub(crate) fn start_unread(mut self) -> Unread {
        self.command.stdout(Stdio::null()).stderr(Stdio::piped());
        Unread { child: self.command.spawn().unwrap(), _home: self.home }
    }

    pub(crate) fn start(mut self) -> Running {
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().unwrap();
        let stdout = Reader::new(child.stdout.take().unwrap());
        let stderr = Reader::new(child.stderr.take().unwrap());
        Running { child, stdout, stderr, home: self.home }
    }
}

/// The program while it runs, with a standard error that nobody reads.
pub(crate) struct Unread {
    child: Child,
    _home: TempDir,
}

impl Unread {
    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub(crate) fn wait_unread(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < end, "still running"),
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The program while it runs. It is killed when a test ends without it.
pub(crate) struct Running {
    child: Child,
    stdout: Reader,
    stderr: Reader,
    home: TempDir,
}

impl Running {
    pub(crate) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// The fields of the first log line with this message.
    pub(crate) fn logged(&mut self, message: &str) -> Value {
        let line = |text: &str| {
            let lines = whole_lines(text).filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.into_iter().find(|line| line["message"] == message)
        };
        self.until(|running| line(&running.stderr()))
    }

    /// The second word of the line of standard output that starts with this one.
    pub(crate) fn said(&mut self, name: &str) -> String {
        let word = |text: &str| {
            let lines = whole_lines(text).map(str::split_whitespace);
            lines.into_iter().find_map(|mut words| {
                (words.next()? == name).then(|| words.next()).flatten().map(str::to_owned)
            })
        };
        self.until(|running| word(&running.stdout()))
    }

    /// A page of the system about it, as in proc(5).
    pub(crate) fn proc(&self, page: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{page}", self.child.id())).unwrap()
    }

    /// How long it has had a processor.
    pub(crate) fn processor_time(&self) -> Duration {
        // The name before may hold spaces; user and system time are the 14th and 15th field, in hundredths.
        let stat = self.proc("stat");
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>())
    }

    /// A figure of its memory in KiB, such as `VmRSS`.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Where gRPC is served, once it is.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let listening = self.logged("listening");
        listening["address"].as_str().unwrap().parse().unwrap()
    }

    /// Waits until standard error has these words.
    pub(crate) fn until_stderr(mut self, words: &str) {
        self.until(|running| running.stderr().contains(words).then_some(()));
    }

    pub(crate) fn until<T>(&mut self, look: impl Fn(&Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let ended = self.child.try_wait().unwrap();
            if let Some(found) = look(self) {
                return found;
            }
            assert!(ended.is_none(), "ended with {ended:?}: {} {}", self.stdout(), self.stderr());
            assert!(Instant::now() < end, "not in time: {} {}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(&self.child, name);
    }

    pub(crate) fn wait(mut self) -> Ended {
        let end = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None => assert!(Instant::now() < end, "still running: {} {}", self.stdout(), self.stderr()),
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        Ended { code: status.code(), stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lines that have ended: of the last one more may come.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.rsplit_once('\n').map_or("", |(whole, _)| whole).lines()
}

/// Takes in what a pipe brings, so that it never fills up.
struct Reader {
    text: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    fn new(mut pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&text);
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { text, thread: Some(thread) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    fn whole(&mut self) -> String {
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.text()
    }
}
