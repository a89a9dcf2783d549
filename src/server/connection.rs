//! The limits of one connection, and a way to end it. A value per line and its reason: tonic sets next to
//! none of them by itself.

use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;
use tonic::transport::server::TcpConnectInfo;

/// A server with every limit set.
pub(super) fn server(max_connection_age: Duration) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        // Advertised to clients; tonic advertises no limit by itself.
        .max_concurrent_streams(128)
        // A peer that keeps provoking resets from our side loses its connection ("MadeYouReset").
        .http2_max_local_error_reset_streams(Some(1024))
        // A peer that opens and resets streams loses it sooner ("rapid reset"). Callers who all give up at once are no
        // such peer, and would take along the answers of those who wait on the same connection.
        .http2_max_pending_accept_reset_streams(Some(500))
        .http2_max_header_list_size(16 * 1024)
        // Requests are small; a peer cannot make us buffer more than this.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // Peers that vanished without a word are found out.
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(10)))
        // Without a grace: that would drop calls in flight without a GOAWAY.
        .max_connection_age(jittered(max_connection_age))
}

const OLDEST: f64 = 1.1;

/// ±10 %, so that replicas which started together do not shed their connections together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(2.0 - OLDEST..=OLDEST))
}

/// How long a connection may last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// So many bytes ...
    bytes: usize,
    /// ... must have come by then.
    time: Duration,
    /// And all that comes after them may take this long.
    rest: Duration,
}

/// After the age at which a connection is asked to go, and the longest deadline, its last calls have ended.
const GRACE: Duration = Duration::from_secs(5);

impl Patience {
    /// For HTTP/2: `time` for the words that every connection begins with (RFC 9113, 3.4), as keepalive begins after
    /// them; and an end for peers who take no answer and do not go when they are asked to.
    pub(super) fn of_http2(time: Duration, max_connection_age: Duration, max_deadline: Duration) -> Self {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        Self { bytes: PREFACE.len(), time, rest: max_connection_age.mul_f64(OLDEST) + max_deadline + GRACE }
    }

    /// For all that a connection will ever say.
    pub(super) const fn for_everything(time: Duration) -> Self {
        Self { bytes: usize::MAX, time, rest: Duration::ZERO }
    }
}

/// A connection that ends when its peer takes too long to say what it must, and that can be cut from outside: a
/// silent peer, or one with an endless stream, cannot hold up the end of the process. It is counted while it lives.
pub(super) struct Connection {
    stream: TcpStream,
    patience: Patience,
    end: Pin<Box<Sleep>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        permit: OwnedSemaphorePermit,
        patience: Patience,
        cut: CancellationToken,
    ) -> Self {
        let end = Box::pin(tokio::time::sleep(patience.time));
        Self { stream, patience, end, cut: Box::pin(cut.cancelled_owned()), _permit: permit }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().poll(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self.cut.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Counts what came, until it has said what it must.
    fn heard(&mut self, bytes: usize) {
        let Patience { bytes: awaited, rest, .. } = &mut self.patience;
        if *awaited > 0 {
            *awaited = awaited.saturating_sub(bytes);
            if *awaited == 0 {
                self.end.as_mut().reset(Instant::now() + *rest);
            }
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.heard(buffer.filled().len().saturating_sub(before));
        read
    }
}

/// Without vectored writes, on purpose: h2 then copies an answer of up to 1 KiB in between its headers and its
/// trailers, and one write carries the end of the call; else the trailers go out by a write of their own
/// (h2, `src/codec/framed_write.rs`, `CHAIN_THRESHOLD_WITHOUT_VECTORED_IO`).
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ages_differ_by_at_most_a_tenth() {
        let ages: BTreeSet<Duration> = (0..100).map(|_| jittered(Duration::from_secs(100))).collect();
        assert!(ages.len() > 1, "all the same");
        assert!(ages.iter().all(|age| (90_000..=110_000).contains(&age.as_millis())), "{ages:?}");
    }
}
