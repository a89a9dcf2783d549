//! Processors that stay awake. A call that is alone leaves them idle at every step, and an idle virtual processor is
//! given to other machines: to get it back, with its caches cold, takes as long as the gateway does for the call, and is
//! no work of the gateway's. A thread for each processor that yields to anybody keeps it.

use crate::Outcome;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

/// The least that a thread may ask for (nice(1)).
const YIELDING: i32 = 19;

/// While this lives, no processor sleeps.
pub(crate) struct Awake(Arc<AtomicBool>);

impl Awake {
    pub(crate) fn start() -> Outcome<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            let ended = Arc::clone(&ended);
            thread::Builder::new().name("awake".to_owned()).spawn(move || spin(&ended))?;
        }
        Ok(Self(ended))
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn spin(ended: &AtomicBool) {
    // On Linux a thread has a priority of its own (setpriority(2)); without it, the thread must not run at all.
    let own = rustix::thread::gettid();
    if rustix::process::setpriority_process(Some(own), YIELDING).is_err() {
        return;
    }
    let mut turns = 0_u64;
    while !ended.load(Ordering::Relaxed) {
        turns = black_box(turns.wrapping_add(1));
    }
}
