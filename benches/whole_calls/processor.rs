//! Processors, their time and memory, as the kernel counts them.

use crate::Outcome;
use rustix::process::Pid;
use rustix::thread::CpuSet;
use rustix::thread::sched_getaffinity;
use rustix::thread::sched_setaffinity;
use std::fs;
use std::time::Duration;

/// The unit of `/proc/PID/stat`: Linux shows every architecture a hundredth of a second (proc_pid_stat(5)).
const TICK: Duration = Duration::from_millis(10);

/// What a process has used so far, in user and system mode, all threads together.
pub(crate) fn of_process(pid: u32) -> Outcome<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is a name in parentheses, which may itself contain spaces.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process name in /proc/PID/stat")?;
    let ticks: u32 =
        fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<_, _>>()?;
    Ok(TICK * ticks)
}

/// What everybody on the machine has used so far, with what the hypervisor gave to other machines.
pub(crate) fn of_machine() -> Outcome<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all = stat.lines().next().ok_or("an empty /proc/stat")?.split_whitespace().skip(1);
    // user nice system idle iowait irq softirq steal guest guest_nice (proc_stat(5)); user holds guest already.
    let idle = 3..=4;
    let busy = all.take(8).enumerate().filter(|(field, _)| !idle.contains(field));
    let ticks: u32 = busy.map(|(_, ticks)| ticks.parse::<u32>()).sum::<Result<_, _>>()?;
    Ok(TICK * ticks)
}

/// What the calling thread has used so far. Not `/proc/thread-self/schedstat`: while a thread runs, that is as old as
/// the last tick, and loses up to 4 ms of a short piece of work.
pub(crate) fn of_this_thread() -> Outcome<Duration> {
    Ok(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into()?)
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Outcome<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kibibytes * 1024)
}

/// The processors that this process may use, by number.
pub(crate) fn all() -> Outcome<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect())
}

/// Lets the calling thread go where it could go before, when this ends: what it starts stays where it is.
pub(crate) struct Free(CpuSet);

/// See [`Free`].
pub(crate) fn free_in_the_end() -> Outcome<Free> {
    Ok(Free(sched_getaffinity(None)?))
}

impl Drop for Free {
    fn drop(&mut self) {
        // It was allowed a moment ago.
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// Keeps the calling thread on one processor.
pub(crate) fn keep_this_thread(on: usize) -> Outcome<()> {
    Ok(sched_setaffinity(None, &only(on))?)
}

/// Keeps every thread that a process has now on one processor.
pub(crate) fn keep_process(pid: u32, on: usize) -> Outcome<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?.file_name().into_string().map_err(|_name| "a thread without a number")?;
        sched_setaffinity(Pid::from_raw(thread.parse()?), &only(on))?;
    }
    Ok(())
}

fn only(processor: usize) -> CpuSet {
    let mut one = CpuSet::new();
    one.set(processor);
    one
}
