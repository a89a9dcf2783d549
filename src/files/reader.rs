//! One thread for what may block without end, such as a file on a mount that hangs. Whoever comes while it is busy
//! waits for it, and not for long: so what hangs costs one thread, however often it is tried.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What one reading may take, with the wait for the one before. Together with the pauses in between, a file that hangs is
/// told within ten seconds.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// Clones share the thread.
#[derive(Debug, Clone, Default)]
pub struct Reader(Arc<Mutex<()>>);

/// Why nothing was read.
#[derive(Debug, PartialEq, Eq)]
pub enum Unread {
    /// It has not ended, or what was begun before it has not.
    Hangs,
    /// A fault of this program.
    Panicked,
}

impl Reader {
    /// Does `work` where it may block.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unread> {
        let done = async {
            let alone = Arc::clone(&self.0).lock_owned().await;
            let done = tokio::task::spawn_blocking(move || {
                // Given back when the work ends, however that is, and not when nobody waits for it any more.
                let _alone = alone;
                work()
            });
            done.await.map_err(|_panicked| Unread::Panicked)
        };
        tokio::time::timeout(PATIENCE, done).await.unwrap_or(Err(Unread::Hangs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering;
    use std::sync::mpsc;
    use tokio::time::Instant;

    #[tokio::test]
    async fn what_hangs_costs_one_thread_however_often_it_is_tried() {
        let (reader, began) = (Reader::default(), Arc::new(AtomicU32::new(0)));
        let (release, hangs) = mpsc::channel::<()>();
        let count = Arc::clone(&began);
        let first = reader.run(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let _ = hangs.recv();
        });
        let others = (0..5).map(|_| {
            let (reader, count) = (reader.clone(), Arc::clone(&began));
            async move { reader.run(move || count.fetch_add(1, Ordering::Relaxed)).await }
        });
        let (first, others) = tokio::join!(first, async {
            let others: Vec<_> = others.map(tokio::spawn).collect();
            let mut ended = Vec::new();
            for other in others {
                ended.push(other.await.unwrap());
            }
            ended
        });
        assert_eq!(first, Err(Unread::Hangs));
        assert!(others.iter().all(|other| *other == Err(Unread::Hangs)), "{others:?}");
        assert_eq!(began.load(Ordering::Relaxed), 1, "one at a time");
        release.send(()).unwrap();
        let back = Instant::now();
        assert_eq!(reader.run(|| "read").await, Ok("read"));
        assert!(back.elapsed() < PATIENCE);
    }

    #[tokio::test]
    async fn a_panic_leaves_the_thread_to_the_next() {
        let reader = Reader::default();
        assert_eq!(reader.run(|| panic!("on purpose")).await, Err::<(), _>(Unread::Panicked));
        assert_eq!(reader.run(|| "read").await, Ok("read"));
    }
}
