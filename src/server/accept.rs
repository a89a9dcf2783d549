//! Who gets in: connections up to a limit, each with its place, and a pause where the machine has none to give.
//!
//! A loop that asked again at once after an error of a listener would take a whole core at the limit of descriptors; so
//! errors end here.

use super::connection::Connection;
use super::connection::Patience;
use super::seldom::Seldom;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Weak;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// How long nobody is asked for after the system had no descriptor or no memory for a connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Room for so many connections, and who found none.
#[derive(Clone)]
pub(super) struct Room {
    most: usize,
    places: Arc<Semaphore>,
    refused: Arc<AtomicU64>,
}

impl Room {
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { most, places: Arc::new(Semaphore::new(most)), refused: Arc::default() }
    }

    /// How many connections there may be.
    pub(super) fn limit(&self) -> usize {
        self.most
    }

    /// How many there are.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.places.available_permits())
    }

    /// How many found no room.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// What becomes of whoever comes when there are as many as may be.
pub(super) enum Crowd {
    /// It is let go at once, and can go elsewhere: a caller.
    Refused(Room),
    /// It takes the place of whoever came first of so many: a probe, which asks its question and leaves. Nobody keeps the
    /// others out by staying.
    Replaces(usize, VecDeque<Guest>),
}

impl Crowd {
    pub(super) fn replaces(most: usize) -> Self {
        Self::Replaces(most, VecDeque::new())
    }
}

/// A connection that can be ended for another.
pub(super) struct Guest {
    here: Weak<()>,
    leave: CancellationToken,
}

/// What a connection holds as long as it lives.
pub(super) enum Place {
    Permit { _permit: OwnedSemaphorePermit },
    Guest { _here: Arc<()> },
}

/// Accepted connections, each of which ends when `cut` is cancelled.
pub(super) struct Incoming {
    listener: TcpListener,
    crowd: Crowd,
    patience: Patience,
    cut: CancellationToken,
    pause: Option<Pin<Box<Sleep>>>,
    refused: Seldom,
    failed: Seldom,
}

impl Incoming {
    /// Connections to `listener`; `patience` is how long each may take to say what it must.
    pub(super) fn new(
        listener: TcpListener,
        crowd: Crowd,
        patience: Patience,
        cut: CancellationToken,
    ) -> Self {
        let (refused, failed) = (Seldom::default(), Seldom::default());
        Self { listener, crowd, patience, cut, pause: None, refused, failed }
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
        let (place, cut) = match &mut self.crowd {
            Crowd::Refused(room) => match Arc::clone(&room.places).try_acquire_owned() {
                Ok(permit) => (Place::Permit { _permit: permit }, self.cut.clone()),
                Err(_full) => {
                    room.refused.fetch_add(1, Ordering::Relaxed);
                    if let Some(times) = self.refused.due() {
                        let most = room.most;
                        tracing::warn!(
                            times,
                            most,
                            "connections are refused: there are as many as there may be"
                        );
                    }
                    return None;
                }
            },
            Crowd::Replaces(most, guests) => {
                guests.retain(|guest| guest.here.strong_count() > 0);
                while guests.len() >= *most {
                    guests.pop_front().into_iter().for_each(|first| first.leave.cancel());
                }
                let (here, leave) = (Arc::new(()), self.cut.child_token());
                guests.push_back(Guest { here: Arc::downgrade(&here), leave: leave.clone() });
                (Place::Guest { _here: here }, leave)
            }
        };
        // Answers are small, and nobody is to wait for more of them.
        let _ = stream.set_nodelay(true);
        Some(Connection::new(stream, peer, place, self.patience, cut))
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
