//! Who gets in: connections up to a limit, each with its permit, and a pause where the machine has none to give.
//!
//! A loop that asked again at once after an error of a listener would take a whole core at the limit of descriptors; so
//! errors end here.

use super::connection::Connection;
use super::connection::Patience;
use super::seldom::Seldom;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// How long nobody is asked for after the system had no descriptor or no memory for a connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What a listener gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// The most connections at a time; whoever comes then is let go at once.
    pub(super) connections: usize,
    /// How long a connection may take to say what it must.
    pub(super) patience: Patience,
}

/// Accepted connections, each of which ends when `cut` is cancelled.
pub(super) struct Incoming {
    listener: TcpListener,
    terms: Terms,
    room: Arc<Semaphore>,
    cut: CancellationToken,
    pause: Option<Pin<Box<Sleep>>>,
    refused: Seldom,
    failed: Seldom,
}

impl Incoming {
    pub(super) fn new(listener: TcpListener, terms: Terms, cut: CancellationToken) -> Self {
        let room = Arc::new(Semaphore::new(terms.connections.min(Semaphore::MAX_PERMITS)));
        let (refused, failed) = (Seldom::default(), Seldom::default());
        Self { listener, terms, room, cut, pause: None, refused, failed }
    }

    /// The next connection.
    pub(super) async fn next(&mut self) -> Connection {
        poll_fn(|context| self.poll_accept(context)).await
    }

    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Connection> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((stream, peer)) => {
                    if let Some(connection) = self.admit(stream, peer) {
                        return Poll::Ready(connection);
                    }
                }
                Err(error) if is_the_peers(&error) => {}
                Err(error) => self.pause(&error),
            }
        }
    }

    /// `None` where there is no room: the connection ends by that.
    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) -> Option<Connection> {
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            if let Some(times) = self.refused.due() {
                let most = self.terms.connections;
                tracing::warn!(times, most, "connections are refused: there are as many as there may be");
            }
            return None;
        };
        // Answers are small, and nobody is to wait for more of them.
        let _ = stream.set_nodelay(true);
        Some(Connection::new(stream, peer, permit, self.terms.patience, self.cut.clone()))
    }

    fn pause(&mut self, error: &io::Error) {
        if let Some(times) = self.failed.due() {
            tracing::warn!(times, %error, "no connection can be accepted for a moment");
        }
        self.pause = Some(Box::pin(tokio::time::sleep(BACK_OFF)));
    }
}

/// For the admin listener.
impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let connection = self.next().await;
        let peer = connection.peer();
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Half of the descriptors that the process may have: the other half is for the way to OCI, and for a reserve.
#[must_use]
pub fn half_of_the_descriptors() -> usize {
    let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    soft.and_then(|most| usize::try_from(most / 2).ok()).unwrap_or(usize::MAX).max(1)
}

/// Whether it was this one connection that failed, so that the next may come at once (accept(2)).
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_peer_did_lets_the_next_one_come_at_once() {
        use rustix::io::Errno;
        let peers = |errno: Errno| is_the_peers(&io::Error::from_raw_os_error(errno.raw_os_error()));
        assert!([Errno::CONNABORTED, Errno::CONNRESET, Errno::INTR].into_iter().all(peers));
        assert!(
            ![Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::BADF].into_iter().any(peers)
        );
    }
}
