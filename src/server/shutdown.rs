//! The end: nobody new, those who are here finish, and a hard end for whoever does not.

use super::Server;
use super::readiness::State;
use crate::oci::Mutations;
use futures_util::future::select_all;
use std::future;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// How long cut connections may take to notice.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How long callers who are cut off may take to be told.
const TOLD: Duration = Duration::from_millis(300);

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
        self.drain_unless(future::pending()).await
    }

    /// The same, with the hard end as soon as it is `hurried`.
    pub async fn drain_unless(mut self, hurried: impl Future<Output = ()>) -> Drained {
        tracing::info!(timeout = ?self.drain_timeout, mutations = self.mutations.len(), "draining");
        let end = Instant::now() + self.drain_timeout;
        self.readiness.set(State::Draining).await;
        tokio::time::sleep(HEARD.min(self.drain_timeout)).await;
        self.stop_accepting.cancel();
        self.calls.close();
        self.mutations.end();
        // Calls are waited for, not connections: a silent peer or an endless stream holds nothing up.
        let (calls, mutations, grpc) = (&self.calls, &self.mutations, &mut self.grpc);
        let finished = async {
            idle(calls, mutations).await;
            // A handle is not to be asked twice.
            if !grpc.is_finished() {
                let _ = tokio::time::timeout(LAST_WORDS, grpc).await;
            }
            // A call that was on its way when the GOAWAY was.
            idle(calls, mutations).await;
        };
        let cut = tokio::select! {
            () = finished => None,
            () = tokio::time::sleep_until(end) => Some("the drain timeout has passed"),
            () = hurried => Some("nobody wants to wait for the end of the drain"),
        };
        let drained = if cut.is_none() { Drained::Whole } else { Drained::Cut };
        if let Some(why) = cut {
            self.cut_off(why).await;
        }
        self.cut_connections.cancel();
        if !self.grpc.is_finished() {
            let _ = tokio::time::timeout(LAST_WORDS, &mut self.grpc).await;
        }
        self.beside.iter().chain(&self.background).for_each(tokio::task::JoinHandle::abort);
        self.journal.write();
        tracing::info!(?drained, "drained");
        drained
    }

    /// Cuts off what is left, and has its callers told what is known.
    async fn cut_off(&mut self, why: &str) {
        let (calls, mutations) = (self.calls.len(), self.mutations.len());
        tracing::warn!(calls, mutations, "{why}: what was left is cut off");
        self.mutations.cut();
        let told = async {
            idle(&self.calls, &self.mutations).await;
            // Connections that were asked to go end once their answers are written.
            if !self.grpc.is_finished() {
                let _ = (&mut self.grpc).await;
            }
        };
        let _ = tokio::time::timeout(TOLD, told).await;
    }

    /// Returns when a listener, or who writes the lines of calls, has ended by itself, which none ever should.
    pub async fn broken(&mut self) {
        tokio::select! {
            _ = &mut self.grpc => {}
            _ = select_all(&mut self.beside) => {}
        }
    }
}

/// Returns when no call and no mutation is left. A call may leave a mutation behind, so calls come first.
async fn idle(calls: &TaskTracker, mutations: &Mutations) {
    calls.wait().await;
    mutations.ended().await;
}
