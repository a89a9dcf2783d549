//! The mutations on their way, and whether the process is about to end.

use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFuture;
use tokio_util::task::TaskTracker;

/// Shared by the client, which carries mutations out, and whoever has to end the process. Clones are one.
#[derive(Debug, Clone, Default)]
pub struct Mutations {
    tasks: TaskTracker,
    ending: CancellationToken,
    cut: CancellationToken,
}

impl Mutations {
    /// None are on their way.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on no mutation pauses for another attempt.
    pub fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
    }

    /// Their time is up: whoever waits for one is told so, and that it may have been carried out.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Returns when all have come to their end, after [`Mutations::end`].
    pub async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// How many are on their way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn spawn(&self, mutation: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(mutation);
    }

    pub(super) fn cut_off(&self) -> WaitForCancellationFuture<'_> {
        self.cut.cancelled()
    }

    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    pub(super) fn ending(&self) -> WaitForCancellationFuture<'_> {
        self.ending.cancelled()
    }
}
