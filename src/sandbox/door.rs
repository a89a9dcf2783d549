//! A listener that can be closed, so that connections are refused, and opened again at its address.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::Error;

/// How long to let the system recover when a connection cannot be accepted (it is out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Door {
    pub(super) address: SocketAddr,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    listener: Option<TcpListener>,
    /// Ends the connections that came in since it was opened.
    connections: CancellationToken,
}

impl Door {
    pub(super) async fn bind(address: SocketAddr) -> Result<Arc<Door>, Error> {
        let listening = async {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            let state = State { listener: Some(listener), connections: CancellationToken::new() };
            Ok(Arc::new(Door { address, state: Mutex::new(state), changed: Notify::new() }))
        };
        listening.await.map_err(|source| Error::Listen { address, source })
    }

    /// From now on connections are refused; those that are there end.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.listener = None;
        state.connections.cancel();
    }

    /// Listens again where it did.
    pub(super) fn open(&self) -> Result<(), Error> {
        let mut state = self.state();
        if state.listener.is_none() {
            let listener = self.listen().map_err(|source| Error::Listen { address: self.address, source })?;
            *state = State { listener: Some(listener), connections: CancellationToken::new() };
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The next connection, and what ends it. For one caller at a time.
    pub(super) async fn accept(&self) -> (TcpStream, CancellationToken) {
        loop {
            let next = poll_fn(|cx| match &self.state().listener {
                Some(listener) => listener.poll_accept(cx),
                None => Poll::Pending,
            });
            tokio::select! {
                accepted = next => match accepted {
                    Ok((tcp, _)) => {
                        // Faults write in small pieces, which must not be joined.
                        let _ = tcp.set_nodelay(true);
                        return (tcp, self.state().connections.clone());
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
                () = self.changed.notified() => {}
            }
        }
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let listener = std::net::TcpListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
