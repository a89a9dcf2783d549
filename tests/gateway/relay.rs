//! A way to OCI that can lose what is sent on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// What the way loses. No connection ends by it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Loses {
    Nothing,
    Requests,
    Answers,
}

/// Passes on what it hears, unless it is lost. Clones share everything.
#[derive(Clone)]
pub(crate) struct Relay(Arc<State>);

struct State {
    loses: Mutex<Loses>,
    lost: AtomicUsize,
}

impl Relay {
    /// Passes everything on, from the listener to the server.
    pub(crate) fn start(listener: TcpListener, to: SocketAddr) -> Self {
        let relay = Self(Arc::new(State { loses: Mutex::new(Loses::Nothing), lost: AtomicUsize::new(0) }));
        tokio::spawn(relay.clone().serve(listener, to));
        relay
    }

    pub(crate) fn lose(&self, loses: Loses) {
        *self.0.loses.lock().unwrap() = loses;
    }

    /// Waits until something has been lost.
    pub(crate) async fn lost(&self) {
        while self.0.lost.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn serve(self, listener: TcpListener, to: SocketAddr) {
        loop {
            let (near, _peer) = listener.accept().await.unwrap();
            let far = TcpStream::connect(to).await.unwrap();
            let ((hears, tells), (listens, says)) = (near.into_split(), far.into_split());
            tokio::spawn(self.clone().pass_on(hears, says, Loses::Requests));
            tokio::spawn(self.clone().pass_on(listens, tells, Loses::Answers));
        }
    }

    async fn pass_on(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, lost: Loses) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            if *self.0.loses.lock().unwrap() == lost {
                self.0.lost.fetch_add(1, Ordering::Relaxed);
            } else if to.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    }
}
