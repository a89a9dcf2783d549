//! One connection, with TLS or without: what it must say in which time, and a way to end it.

use super::accept::Place;
use super::tls::Caller;
use super::tls::Tls;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::WaitForCancellationFutureOwned;

/// How long a connection may take to say what it must.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// So many bytes ...
    bytes: usize,
    /// ... must have come by then.
    time: Duration,
}

impl Patience {
    /// For HTTP/2: `time` for the words that every connection begins with (RFC 9113, 3.4), as keepalive begins after
    /// them.
    pub(super) const fn of_http2(time: Duration) -> Self {
        const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        Self { bytes: PREFACE.len(), time }
    }

    /// For all that a connection will ever say.
    pub(super) const fn for_everything(time: Duration) -> Self {
        Self { bytes: usize::MAX, time }
    }
}

/// A connection that ends when its peer takes too long to say what it must, and that can be cut from outside: a
/// silent peer, or one with an endless stream, cannot hold up the end of the process. It is counted while it lives.
pub(super) struct Connection {
    stream: Stream,
    peer: SocketAddr,
    patience: Patience,
    /// `None` once it has said what it must.
    end: Option<Pin<Box<Sleep>>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

enum Stream {
    Plain(TcpStream),
    /// Much larger, and so elsewhere.
    Secure(Box<TlsStream<TcpStream>>),
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        peer: SocketAddr,
        place: Place,
        patience: Patience,
        cut: CancellationToken,
    ) -> Self {
        let end = Some(Box::pin(tokio::time::sleep(patience.time)));
        let cut = Box::pin(cut.cancelled_owned());
        Self { stream: Stream::Plain(stream), peer, patience, end, cut, _place: place }
    }

    /// Where it comes from.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The same with TLS, and who the caller is, if that is asked for. From here on it has the whole of its time to say
    /// what it must.
    pub(super) async fn secured(mut self, tls: &Tls) -> io::Result<(Self, Option<Caller>)> {
        let Stream::Plain(stream) = self.stream else { return Ok((self, None)) };
        let (stream, caller) = tokio::select! {
            accepted = tls.accept(stream) => accepted?,
            () = &mut self.cut => return Err(io::ErrorKind::ConnectionAborted.into()),
        };
        let end = Some(Box::pin(tokio::time::sleep(self.patience.time)));
        Ok((Self { stream: Stream::Secure(Box::new(stream)), end, ..self }, caller))
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self.cut.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }

    /// Counts what came, until it has said what it must.
    fn heard(&mut self, bytes: usize) {
        let awaited = &mut self.patience.bytes;
        *awaited = awaited.saturating_sub(bytes);
        if *awaited == 0 {
            self.end = None;
        }
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
        let read = match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Secure(stream) => Pin::new(stream).poll_read(context, buffer),
        };
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
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Secure(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Secure(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Secure(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
