//! A network of a test's own, in which what is sent can truly get lost. What it needs is there on most Linux machines
//! (user and network namespaces, `unshare` and `ip`); where it is not, a test says so aloud.

#![expect(clippy::print_stdout, reason = "a test says aloud what it could not show")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The names of the two ends of a wire; what is sent to the third is taken by nobody.
pub(crate) const NEAR: &str = "02:00:00:00:00:01";
pub(crate) const FAR: &str = "02:00:00:00:00:02";
pub(crate) const NOBODY: &str = "02:00:00:00:00:99";

/// Runs an ignored test of this binary in a network of its own, in which there is nothing but this test.
pub(crate) fn alone(test: &str) {
    let unshared = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--"]).args(words);
        command
    };
    // Whether it may have a network, and a wire in it.
    let may = unshared(&["sh", "-c", "ip link set lo up && ip link add name near type veth peer name far"])
        .output();
    if !may.as_ref().is_ok_and(|may| may.status.success()) {
        println!("NOT PROVEN HERE: this machine gives no process a network of its own: {may:?}");
        return;
    }
    let binary = std::env::current_exe().unwrap();
    let outside = namespace();
    let run = unshared(&[binary.to_str().unwrap(), "--exact", "--ignored", "--nocapture", test])
        // Fits no test, and tells the one that it is meant to be elsewhere.
        .arg(outside.to_str().unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    print!("{said}");
    let passed = run.status.success() && said.contains("test result: ok. 1 passed");
    assert!(passed, "{}", String::from_utf8_lossy(&run.stderr));
}

/// Whether [`alone`] has called: nobody else's network is to be changed.
pub(crate) fn is_alone() -> bool {
    let outside = std::env::args().find(|argument| argument.starts_with("net:["));
    let is_alone = outside.is_some_and(|outside| Path::new(&outside) != namespace());
    if is_alone {
        ip("link set lo up");
    } else {
        println!("NOT PROVEN HERE: this needs a network of its own, which another test gives it");
    }
    is_alone
}

fn namespace() -> PathBuf {
    fs::read_link("/proc/self/ns/net").unwrap()
}

/// Changes the network here.
#[track_caller]
pub(crate) fn ip(words: &str) {
    run(Command::new("ip").args(words.split(' ')));
}

/// Changes that of a process.
#[track_caller]
pub(crate) fn ip_of(process: u32, words: &str) {
    run(Command::new("nsenter").args(["-t", &process.to_string(), "-n", "ip"]).args(words.split(' ')));
}

#[track_caller]
fn run(command: &mut Command) {
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
