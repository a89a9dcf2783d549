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
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;
use tonic::transport::server::TcpConnectInfo;
use tonic::transport::server::TcpIncoming;

/// A server with every limit set.
pub(super) fn server(max_connection_age: Duration) -> tonic::transport::Server {
    tonic::transport::Server::builder()
        // Advertised to clients; tonic advertises no limit by itself.
        .max_concurrent_streams(128)
        // A peer that keeps provoking resets from our side loses its connection ("MadeYouReset").
        .http2_max_local_error_reset_streams(Some(1024))
        // A peer that opens and resets streams loses it sooner ("rapid reset").
        .http2_max_pending_accept_reset_streams(Some(20))
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

/// ±10 %, so that replicas which started together do not shed their connections together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(0.9..=1.1))
}

/// Accepted connections, each of which ends when `cut` is cancelled.
pub(super) struct Incoming {
    accepted: TcpIncoming,
    cut: CancellationToken,
}

impl Incoming {
    pub(super) fn new(listener: TcpListener, cut: CancellationToken) -> Self {
        Self { accepted: TcpIncoming::from(listener).with_nodelay(Some(true)), cut }
    }
}

impl Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = Pin::new(&mut self.accepted).poll_next(context);
        accepted.map_ok(|stream| Connection::new(stream, self.cut.clone()))
    }
}

/// A connection that can be cut from outside: a silent peer, or one with an endless stream, cannot hold up
/// the end of the process.
pub(super) struct Connection {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Connection {
    fn new(stream: TcpStream, cut: CancellationToken) -> Self {
        Self { stream, cut: Box::pin(cut.cancelled_owned()) }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.cut.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
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
