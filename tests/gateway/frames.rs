//! A peer that speaks HTTP/2 frame by frame, so that it can say what no library would (RFC 9113).

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

pub(crate) const DATA: u8 = 0x0;
pub(crate) const HEADERS: u8 = 0x1;
pub(crate) const RST_STREAM: u8 = 0x3;
pub(crate) const SETTINGS: u8 = 0x4;
pub(crate) const PING: u8 = 0x6;
pub(crate) const GOAWAY: u8 = 0x7;
pub(crate) const WINDOW_UPDATE: u8 = 0x8;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;

pub(crate) const NO_ERROR: u32 = 0x0;
pub(crate) const REFUSED_STREAM: u32 = 0x7;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 0xb;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as it came.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at this place of the payload.
    pub(crate) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection on which nothing happens by itself.
pub(crate) struct Peer<S = TcpStream>(S);

impl Peer {
    /// Connects, and says what every client says first.
    pub(crate) async fn connect(gateway: SocketAddr) -> Self {
        Self::over(TcpStream::connect(gateway).await.unwrap()).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// The same over a connection that there is.
    pub(crate) async fn over(stream: S) -> Self {
        let mut peer = Self(stream);
        peer.send(PREFACE).await;
        peer.send(&frame(SETTINGS, 0, 0, &[])).await;
        peer
    }

    /// What the other side has closed already is no matter here: reading shows it.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let read = tokio::time::timeout(Duration::from_secs(60), self.read());
        read.await.expect("the other side says something or ends the connection")
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(frame) if frame.kind != kind => {}
                other => return other,
            }
        }
    }

    /// Returns when all that was sent has been read, as the answer to a PING shows; `Err` is the GOAWAY that came
    /// instead.
    pub(crate) async fn settle(&mut self) -> Result<(), Frame> {
        self.send(&frame(PING, 0, 0, b"settled?")).await;
        loop {
            let next = self.next().await.expect("a connection ends with GOAWAY");
            match next.kind {
                PING if next.flags == ACK && next.payload == b"settled?" => return Ok(()),
                GOAWAY => return Err(next),
                _ => {}
            }
        }
    }
}

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// The HEADERS of a call of `path` with `more` headers, each a literal without indexing (RFC 7541, 6.2.2).
pub(crate) fn call(stream: u32, path: &str, more: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let usual = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut block = Vec::new();
    for (name, value) in usual.iter().chain(more) {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    frame(HEADERS, END_HEADERS | flags, stream, &block)
}

/// The ids of a client's streams: odd, and never the same twice.
pub(crate) fn streams() -> impl Iterator<Item = u32> {
    (1..).step_by(2)
}
