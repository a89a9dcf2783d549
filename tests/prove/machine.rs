//! Whether the machine was ours: how late a call is says something about the gateway only where it had the
//! processors. Who else had them is counted by the kernel, window by window.

use crate::began::Began;
use crate::fleet::Fleet;
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The share of the machine that others may take in a window that counts.
const OTHERS_AT_MOST: f64 = 0.1;
const WINDOW: Duration = Duration::from_millis(500);
/// The unit of processor times (proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// One run at a time: two of them would take the machine from each other.
pub(crate) static ALONE: Mutex<()> = Mutex::const_new(());

/// Who had the machine, and when, since the run began.
pub(crate) struct Machine {
    /// When others took too much of it; in order.
    shared: Vec<(Duration, Duration)>,
    /// The share of it that others took in all.
    pub(crate) others: f64,
}

/// Watches until it is told to stop.
pub(crate) struct Watch {
    watching: JoinHandle<Machine>,
    stop: CancellationToken,
}

impl Watch {
    pub(crate) fn start(fleet: Arc<Fleet>, began: Began) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let watching = tokio::spawn(async move {
            let mut shared = Vec::new();
            let first = Usage::now(&fleet, began);
            let mut before = first;
            while !stopped.is_cancelled() {
                let _ = tokio::time::timeout(WINDOW, stopped.cancelled()).await;
                let now = Usage::now(&fleet, began);
                if before.others_until(&now) > OTHERS_AT_MOST {
                    shared.push((before.at, now.at));
                }
                before = now;
            }
            Machine { shared, others: first.others_until(&before) }
        });
        Self { watching, stop }
    }

    /// What was seen.
    pub(crate) async fn stop(self) -> Machine {
        self.stop.cancel();
        self.watching.await.unwrap()
    }
}

impl Machine {
    /// Whether it was ours for all of this time.
    pub(crate) fn was_ours(&self, start: Duration, end: Duration) -> bool {
        let after = self.shared.partition_point(|(_, over)| *over <= start);
        self.shared.get(after).is_none_or(|(from, _)| *from >= end)
    }
}

#[derive(Clone, Copy)]
struct Usage {
    at: Duration,
    machine: Duration,
    ours: Duration,
}

impl Usage {
    fn now(fleet: &Fleet, began: Began) -> Self {
        // This process with those of its gateways that are gone, and those that live.
        let ours = of_process(std::process::id(), 4).unwrap_or_default()
            + fleet.processes().into_iter().filter_map(|pid| of_process(pid, 2)).sum::<Duration>();
        Self { at: began.elapsed(), machine: of_machine(), ours }
    }

    fn others_until(&self, later: &Self) -> f64 {
        let ours = later.ours.saturating_sub(self.ours);
        let others = later.machine.saturating_sub(self.machine).saturating_sub(ours);
        let cores = std::thread::available_parallelism().unwrap().get();
        others.div_duration_f64(later.at - self.at) / f64::from(u32::try_from(cores).unwrap())
    }
}

/// In user and system mode, and with four fields those of the children that were waited for.
fn of_process(pid: u32, fields: usize) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may itself contain spaces.
    let (_, after_the_name) = stat.rsplit_once(')')?;
    let ticks: u32 =
        after_the_name.split_whitespace().skip(11).take(fields).flat_map(str::parse::<u32>).sum();
    Some(TICK * ticks)
}

/// Everybody, with what the hypervisor gave to other machines.
fn of_machine() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let all = stat.lines().next().unwrap().split_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal (proc_stat(5)).
    let busy = all.take(8).enumerate().filter(|(field, _)| !(3..=4).contains(field));
    let ticks: u32 = busy.map(|(_, ticks)| ticks.parse::<u32>().unwrap()).sum();
    TICK * ticks
}

#[test]
fn a_time_is_ours_that_touches_no_shared_one() {
    let at = Duration::from_secs;
    let machine = Machine { shared: vec![(at(2), at(4)), (at(6), at(7))], others: 0.5 };
    for (start, end) in [(0, 2), (1, 2), (4, 6), (7, 9)] {
        assert!(machine.was_ours(at(start), at(end)), "{start} to {end}");
    }
    for (start, end) in [(0, 3), (1, 9), (3, 4), (3, 6), (5, 7), (6, 9)] {
        assert!(!machine.was_ours(at(start), at(end)), "{start} to {end}");
    }
}
