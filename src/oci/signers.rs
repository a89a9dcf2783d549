//! Where signatures are made. One takes longer than everything else that a call costs, and the network has one thread:
//! calls that come together are signed by others, side by side, and nobody waits for that. A call that is alone is
//! signed where it is; handing it over would take longer than it saves.
//!
//! Where many wait, a thread takes several pieces of work at once and tells of them together: to be woken, and to find
//! its code gone from the cache, costs the thread of the network as much as half of what it does for a call.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;
use tokio::sync::oneshot;

/// So many pieces of work are told of together at most: whoever waits for the first waits for three more signatures.
const TOGETHER: usize = 4;

/// Threads that do one piece of work after another. They end when this is dropped and nothing is left to do.
pub(super) struct Signers {
    queue: Arc<Queue>,
    /// How many callers wait for their work, done here or there.
    waiting: AtomicUsize,
    threads: usize,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    works: VecDeque<Box<dyn Work>>,
    /// Threads that have nothing to do.
    idle: usize,
    is_closed: bool,
}

/// A piece of work, and who waits for it.
trait Work: Send {
    fn work(&mut self);

    /// Whoever waits hears of a panic, too, by hearing nothing.
    fn tell(self: Box<Self>);
}

struct Piece<F, T> {
    work: Option<F>,
    done: Option<T>,
    told: oneshot::Sender<T>,
}

impl<F: FnOnce() -> T + Send, T: Send> Work for Piece<F, T> {
    fn work(&mut self) {
        // Whoever waited may have left.
        if let Some(work) = self.work.take().filter(|_work| !self.told.is_closed()) {
            self.done = catch_unwind(AssertUnwindSafe(work)).ok();
        }
    }

    fn tell(self: Box<Self>) {
        if let Some(done) = self.done {
            drop(self.told.send(done));
        }
    }
}

impl Signers {
    /// Starts so many threads, or as many as the system allows.
    pub(super) fn start(threads: usize) -> Self {
        let queue = Arc::<Queue>::default();
        let start = |number: &usize| {
            let queue = Arc::clone(&queue);
            let builder = thread::Builder::new().name(format!("signer-{number}"));
            builder.spawn(move || queue.work_off(threads)).is_ok()
        };
        let threads = (0..threads).filter(start).count();
        Self { queue, waiting: AtomicUsize::new(0), threads }
    }

    /// Does `work`, on one of the threads unless nobody else waits. `None`: it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let _waiting = Waiting::begin(&self.waiting);
        if self.nobody_else_waits() {
            // Whoever is ready goes first: among them may be others with work, and probes.
            tokio::task::yield_now().await;
        }
        if self.nobody_else_waits() || self.threads == 0 {
            return catch_unwind(AssertUnwindSafe(work)).ok();
        }
        let (told, done) = oneshot::channel();
        self.queue.add(Box::new(Piece { work: Some(work), done: None, told }));
        done.await.ok()
    }

    fn nobody_else_waits(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 1
    }
}

impl Drop for Signers {
    fn drop(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.changed.notify_all();
    }
}

impl Queue {
    fn add(&self, work: Box<dyn Work>) {
        let mut state = self.state();
        state.works.push_back(work);
        let is_awaited = state.idle > 0;
        drop(state);
        // Waking costs a call of the kernel even where nobody sleeps.
        if is_awaited {
            self.changed.notify_one();
        }
    }

    fn work_off(&self, threads: usize) {
        let mut works = Vec::with_capacity(TOGETHER);
        while self.next(threads, &mut works) {
            works.iter_mut().for_each(|work| work.work());
            works.drain(..).for_each(|work| work.tell());
        }
    }

    /// Waits for work and takes a thread's share of it. `false`: there is none, and none will come.
    fn next(&self, threads: usize, works: &mut Vec<Box<dyn Work>>) -> bool {
        let mut state = self.state();
        state.idle += 1;
        let nothing = |state: &mut State| state.works.is_empty() && !state.is_closed;
        let mut state = self.changed.wait_while(state, nothing).unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let share = state.works.len().div_ceil(threads.max(1)).min(TOGETHER);
        works.extend(state.works.drain(..share));
        !works.is_empty()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, also when it is dropped while it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::thread::ThreadId;

    fn here() -> ThreadId {
        thread::current().id()
    }

    #[tokio::test]
    async fn who_is_alone_is_served_where_it_is() {
        let signers = Signers::start(2);
        assert_eq!(signers.run(here).await, Some(here()));
    }

    #[tokio::test]
    async fn who_come_together_are_served_side_by_side_elsewhere() {
        let signers = Signers::start(2);
        let both = Arc::new(Barrier::new(2));
        let meet = || {
            let both = Arc::clone(&both);
            move || {
                both.wait();
                here()
            }
        };
        let (one, other) = tokio::join!(signers.run(meet()), signers.run(meet()));
        assert!(one != other && one != Some(here()) && other != Some(here()), "{one:?} {other:?}");
    }

    #[tokio::test]
    async fn a_panic_ends_one_work_and_no_thread() {
        let signers = Signers::start(1);
        for _ in 0..3 {
            let broken = || -> ThreadId { panic!("one who breaks") };
            let (one, other) = tokio::join!(signers.run(broken), signers.run(here));
            assert!(one.is_none() && other.is_some());
        }
        assert!(signers.run(|| -> ThreadId { panic!("one who breaks alone") }).await.is_none());
    }

    #[tokio::test]
    async fn without_threads_work_is_done_all_the_same() {
        let signers = Signers::start(0);
        let (one, other) = tokio::join!(signers.run(here), signers.run(here));
        assert_eq!((one, other), (Some(here()), Some(here())));
    }

    #[tokio::test]
    async fn many_are_served_in_shares_and_nobody_is_forgotten() {
        let signers = Signers::start(2);
        let numbers = futures_util::future::join_all((0..50).map(|number| signers.run(move || number))).await;
        assert_eq!(numbers, (0..50).map(Some).collect::<Vec<_>>());
    }

    #[test]
    fn a_thread_takes_its_share_and_leaves_the_others_theirs() {
        let queue = Queue::default();
        let add = |_| {
            let (told, _heard) = oneshot::channel();
            queue.add(Box::new(Piece { work: Some(|| ()), done: None, told }));
        };
        for (waiting, share) in [(1, 1), (2, 1), (3, 2), (20, TOGETHER)] {
            (0..waiting).for_each(add);
            let mut works = Vec::new();
            assert!(queue.next(2, &mut works));
            assert_eq!(works.len(), share, "of {waiting}");
            queue.state().works.clear();
        }
    }

    #[test]
    fn the_threads_end_with_their_owner() {
        let signers = Signers::start(2);
        let queue = Arc::downgrade(&signers.queue);
        drop(signers);
        while queue.strong_count() > 0 {
            thread::yield_now();
        }
    }
}
