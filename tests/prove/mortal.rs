//! Processes that end with this one, however this one ends: a run that is killed leaves no gateway behind.

use crate::fleet::Fleet;
use crate::fleet::Kind;
use crate::machine::ALONE;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::LazyLock;
use std::sync::mpsc;
use std::sync::mpsc::Sender;
use std::time::Duration;
use std::time::Instant;

/// Has the kernel kill what it becomes when its parent has ended (prctl(2), PR_SET_PDEATHSIG). It is a part of util-linux;
/// where it is missing, runs go on without.
const WATCHED: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

static MAY_BE_WATCHED: LazyLock<bool> = LazyLock::new(|| {
    let may = Command::new(WATCHED[0]).args(&WATCHED[1..]).arg("true").status();
    may.is_ok_and(|status| status.success())
});

/// A program that ends with this one.
pub(crate) fn command(program: &str) -> Command {
    if !*MAY_BE_WATCHED {
        return Command::new(program);
    }
    let mut command = Command::new(WATCHED[0]);
    command.args(&WATCHED[1..]).arg(program);
    command
}

/// A parent is to the kernel the thread that started a process, so one that never ends starts all.
static STARTER: LazyLock<Sender<(Command, Sender<Child>)>> = LazyLock::new(|| {
    let (orders, ordered) = mpsc::channel::<(Command, Sender<Child>)>();
    std::thread::spawn(move || {
        for (mut command, started) in ordered {
            started.send(command.spawn().unwrap()).unwrap();
        }
    });
    orders
});

/// Starts it.
pub(crate) fn spawn(command: Command) -> Child {
    let (started, start) = mpsc::channel();
    STARTER.send((command, started)).unwrap();
    start.recv().unwrap()
}

#[test]
fn a_run_that_is_killed_leaves_no_gateway_behind() {
    if !*MAY_BE_WATCHED {
        println!("NOT PROVEN HERE: this machine has no setpriv that knows --pdeathsig");
        return;
    }
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "mortal::a_run_to_be_killed"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let gateway: u32 =
        lines.map(Result::unwrap).find_map(|line| line.strip_prefix("gateway ")?.parse().ok()).unwrap();
    assert!(lives(gateway));
    run.kill().unwrap();
    run.wait().unwrap();
    let killed = Instant::now();
    while lives(gateway) {
        assert!(killed.elapsed() < Duration::from_secs(5), "{gateway} lives");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether a process runs: one that has ended may be waiting for somebody to ask how.
fn lives(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

#[tokio::test]
#[ignore = "another test runs and kills it"]
async fn a_run_to_be_killed() {
    let _alone = ALONE.lock().await;
    let sandbox = crate::run::sandbox(crate::began::Began::now()).await;
    let fleet = Fleet::start(Kind::Processes(1), &sandbox).await;
    println!("gateway {}", fleet.processes()[0]);
    tokio::time::sleep(Duration::from_secs(60)).await;
}
