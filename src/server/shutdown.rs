//! The end: nobody new, those who are here finish, and a hard end for whoever does not.

use super::Server;
use super::readiness::State;
use std::time::Duration;
use tokio::time::Instant;

/// How long cut connections may take to notice.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long watchers of the health service have to hear of it before their connections say GOAWAY: those who
/// hear first send nothing to where it would be refused.
const HEARD: Duration = Duration::from_millis(100);

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
        let end = Instant::now() + self.drain_timeout;
        self.readiness.set(State::Draining).await;
        tokio::time::sleep(HEARD.min(self.drain_timeout)).await;
        self.stop_accepting.cancel();
        self.tasks.close();
        let mut grpc = self.grpc;
        let finished = async {
            // Calls first: one that is just arriving may yet start a mutation.
            let _ = (&mut grpc).await;
            self.tasks.wait().await;
        };
        let drained = match tokio::time::timeout_at(end, finished).await {
            Ok(()) => Drained::Whole,
            Err(_elapsed) => {
                self.cut_connections.cancel();
                // Calls may have ended, and only a mutation be left: a handle is not to be asked twice.
                if !grpc.is_finished() {
                    let _ = tokio::time::timeout(LAST_WORDS, &mut grpc).await;
                }
                Drained::Cut
            }
        };
        self.background.iter().for_each(tokio::task::JoinHandle::abort);
        tracing::info!(?drained, mutations = self.tasks.len(), "drained");
        drained
    }
}
