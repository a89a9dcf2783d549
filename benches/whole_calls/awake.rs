//! Processors that stay awake. A call that is alone leaves them idle at every step, and an idle virtual processor is
//! given to other machines: to get it back, with its caches cold, takes as long as the gateway does for the call, and is
//! no work of the gateway's. A thread for each processor that yields to anybody keeps it.

use crate::Outcome;
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;

/// The least that a thread may ask for (nice(1)).
const YIELDING: i32 = 19;

/// While this lives, no processor sleeps.
pub(crate) struct Awake {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    pub(crate) fn start() -> Outcome<Self> {
        let mut awake = Self { ended: Arc::default(), threads: Vec::new() };
        let (told, yields) = mpsc::channel();
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            let (ended, told) = (Arc::clone(&awake.ended), told.clone());
            let spinning = move || {
                // On Linux a thread has a priority of its own (setpriority(2)); without it, it must not run at all.
                let own = rustix::thread::gettid();
                let yields = rustix::process::setpriority_process(Some(own), YIELDING);
                if told.send(yields).is_ok() && yields.is_ok() {
                    spin(&ended);
                }
            };
            awake.threads.push(thread::Builder::new().name("awake".to_owned()).spawn(spinning)?);
        }
        drop(told);
        yields.iter().collect::<Result<(), _>>()?;
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn spin(ended: &AtomicBool) {
    let mut turns = 0_u64;
    while !ended.load(Ordering::Relaxed) {
        turns = black_box(turns.wrapping_add(1));
    }
}
