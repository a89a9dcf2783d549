//! The end: nobody new, those who are here finish, and a hard end for whoever does not.

use super::Server;
use super::readiness::State;
use std::time::Duration;

/// How long cut connections may take to notice.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every call and every mutation came to its own end.
    Whole,
    /// The time was up.
    Cut,
}

impl Server {
    /// Ends the server: NOT_SERVING first, then no new connections and GOAWAY on the old ones, then the
    /// drain timeout for calls and mutations in flight, then the hard end.
    pub async fn drain(self) -> Drained {
        tracing::info!(timeout = ?self.drain_timeout, mutations = self.tasks.len(), "draining");
        self.readiness.set(State::Draining).await;
        self.stop_accepting.cancel();
        self.tasks.close();
        let mut grpc = self.grpc;
        let finished = async {
            // Calls first: one that is just arriving may yet start a mutation.
            let _ = (&mut grpc).await;
            self.tasks.wait().await;
        };
        let drained = match tokio::time::timeout(self.drain_timeout, finished).await {
            Ok(()) => Drained::Whole,
            Err(_elapsed) => {
                self.cut_connections.cancel();
                let _ = tokio::time::timeout(LAST_WORDS, &mut grpc).await;
                Drained::Cut
            }
        };
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
        tracing::info!(?drained, mutations = self.tasks.len(), "drained");
        drained
    }
}
