//! A cgroup of a test's own, where the machine lets it make one: the limit of memory that a pod has (cgroups(7)).

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::id;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::NamedTempFile;

/// The files of one of the two versions.
struct Version {
    limit: &'static str,
    usage: &'static str,
    /// Fields of `memory.stat` that the system gives up before it kills.
    cache: [&'static str; 2],
    kills: &'static str,
}

const V1: Version = Version {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_active_file", "total_inactive_file"],
    kills: "memory.oom_control",
};

const V2: Version = Version {
    limit: "memory.max",
    usage: "memory.current",
    cache: ["active_file", "inactive_file"],
    kills: "memory.events",
};

/// It is removed when it is dropped, after its last process has ended.
pub(crate) struct Cgroup {
    path: PathBuf,
    version: Version,
}

impl Cgroup {
    /// One below that of this process; `None` where none may be made.
    pub(crate) fn make() -> Option<Arc<Self>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("gateway-test-{}-{}", id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let ours = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        // number:controllers:path; version 2 has neither number nor controllers.
        ours.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let (version, kind) = match controllers {
                "" => (V2, "cgroup2"),
                names if names.split(',').any(|name| name == "memory") => (V1, "cgroup"),
                _ => return None,
            };
            let mount = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>()).find(|fields| {
                fields[2] == kind && (kind == "cgroup2" || fields[3].split(',').any(|name| name == "memory"))
            })?;
            let path = Path::new(mount[1]).join(path.trim_start_matches('/')).join(&name);
            fs::create_dir(&path).ok()?;
            let group = Self { path, version };
            // One without this controller has no such file.
            group.path.join(group.version.limit).exists().then(|| Arc::new(group))
        })
    }

    /// Words of the shell by which a process goes in.
    pub(crate) fn join(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.path.display())
    }

    pub(crate) fn limit(&self, bytes: u64) {
        fs::write(self.path.join(self.version.limit), bytes.to_string()).unwrap();
    }

    /// Has others take so many bytes, by a file in memory; `None` where there is none such.
    pub(crate) fn fill(&self, bytes: u64) -> Option<NamedTempFile> {
        let (file, before) = (NamedTempFile::new_in("/dev/shm").ok()?, self.taken());
        let fill = format!("{}; exec head -c {bytes} /dev/zero > {}", self.join(), file.path().display());
        let filled = Command::new("/bin/sh").args(["-c", &fill]).status().unwrap().success();
        (filled && self.taken() > before + bytes / 10 * 9).then_some(file)
    }

    /// The bytes that are taken and that nobody gives back by himself.
    pub(crate) fn taken(&self) -> u64 {
        let usage: u64 = self.read(self.version.usage).trim().parse().unwrap();
        let stat = self.read("memory.stat");
        usage.saturating_sub(self.version.cache.iter().map(|name| field(&stat, name)).sum())
    }

    /// Looks at [`Self::taken`] all the time, from a thread that has nothing else to do.
    pub(crate) fn watch(self: &Arc<Self>) -> Watch {
        let (group, is_over) = (Arc::downgrade(self), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let watching = std::thread::spawn(move || {
            let mut most = 0;
            while !over.load(Ordering::Relaxed)
                && let Some(group) = group.upgrade()
            {
                most = most.max(group.taken());
                drop(group);
                std::thread::sleep(Duration::from_millis(4));
            }
            most
        });
        Watch { is_over, watching }
    }

    /// How many processes were killed for want of memory.
    pub(crate) fn kills(&self) -> u64 {
        field(&self.read(self.version.kills), "oom_kill")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap()
    }
}

/// Stops when it is told to.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    watching: JoinHandle<u64>,
}

impl Watch {
    /// The most that was taken.
    pub(crate) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.watching.join().unwrap()
    }
}

/// A figure of a file that has one a line, under its name.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
