//! Clients that cost next to nothing: prepared bytes go out, the end of an answer is awaited, and no task, thread
//! or library stands in between. What such a pair of them differs by is the gateway alone.

use crate::Outcome;
use crate::upstream::VOLUME;
use prost::Message;
use std::io::Read;
use std::io::Write;
use std::net::SocketAddr;
use std::net::TcpStream;

/// `CreateVolumeBackup` over one connection, frame by frame (RFC 9113).
pub(crate) struct Grpc {
    connection: TcpStream,
    message: Vec<u8>,
    /// Odd, and never the same twice.
    stream: u32,
}

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const SETTINGS: u8 = 0x4;
const PING: u8 = 0x6;
const GOAWAY: u8 = 0x7;
const WINDOW_UPDATE: u8 = 0x8;
const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

impl Grpc {
    pub(crate) fn connect(gateway: SocketAddr, request: &impl Message) -> Outcome<Self> {
        let mut connection = TcpStream::connect(gateway)?;
        connection.set_nodelay(true)?;
        let mut opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        opening.extend(frame(SETTINGS, 0, 0, &[])?);
        // Room for every answer of the run.
        opening.extend(frame(WINDOW_UPDATE, 0, 0, &0x4000_0000_u32.to_be_bytes())?);
        connection.write_all(&opening)?;
        // Not compressed, and its length (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
        let mut message = vec![0];
        message.extend(u32::try_from(request.encoded_len())?.to_be_bytes());
        request.encode(&mut message)?;
        Ok(Self { connection, message, stream: 1 })
    }

    /// One call, from its first byte to the last of the answer.
    pub(crate) fn call(&mut self) -> Outcome<()> {
        let mut call = frame(HEADERS, END_HEADERS, self.stream, &headers()?)?;
        call.extend(frame(DATA, END_STREAM, self.stream, &self.message)?);
        self.connection.write_all(&call)?;
        let answered = self.stream;
        self.stream += 2;
        self.end_of(answered)
    }

    fn end_of(&mut self, stream: u32) -> Outcome<()> {
        let mut answered = false;
        loop {
            let (kind, flags, of, payload) = self.next()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.connection.write_all(&frame(SETTINGS, ACK, 0, &[])?)?,
                PING if flags & ACK == 0 => self.connection.write_all(&frame(PING, ACK, 0, &payload)?)?,
                GOAWAY => return Err("the gateway ended the connection".into()),
                DATA if of == stream => answered = true,
                _ => {}
            }
            if of == stream && flags & END_STREAM != 0 {
                // An error is told by headers alone.
                return if answered { Ok(()) } else { Err("the gateway answered with an error".into()) };
            }
        }
    }

    fn next(&mut self) -> Outcome<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.connection.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c]))?];
        self.connection.read_exact(&mut payload)?;
        Ok((kind, flags, u32::from_be_bytes(stream), payload))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Outcome<Vec<u8>> {
    let [_, a, b, c] = u32::try_from(payload.len())?.to_be_bytes();
    let mut bytes = vec![a, b, c, kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    Ok(bytes)
}

/// Each a literal without indexing (RFC 7541, 6.2.2): nothing has to be remembered.
fn headers() -> Outcome<Vec<u8>> {
    let mut block = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/ocibackup.v1.BackupService/CreateVolumeBackup"),
        (":authority", "gateway"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("grpc-timeout", "10S"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len())?);
            block.extend(text.bytes());
        }
    }
    Ok(block)
}

/// The POST that the gateway sends, over one connection.
pub(crate) struct Rest {
    connection: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Rest {
    pub(crate) fn connect(upstream: SocketAddr) -> Outcome<Self> {
        let connection = TcpStream::connect(upstream)?;
        connection.set_nodelay(true)?;
        let body = serde_json::to_vec(&serde_json::json!({
            "volumeId": VOLUME,
            "displayName": "nightly",
            "type": "INCREMENTAL",
            "freeformTags": { "service": "orders", "stage": "production" },
            "definedTags": { "Operations": { "CostCenter": "42", "Owner": "storage" } },
        }))?;
        let mut request = format!(
            "POST /20160918/volumeBackups HTTP/1.1\r\nhost: {upstream}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(body);
        Ok(Self { connection, request, answer: vec![0; 64 * 1024] })
    }

    /// One request, from its first byte to the last of the answer.
    pub(crate) fn send(&mut self) -> Outcome<()> {
        self.connection.write_all(&self.request)?;
        let mut length = 0;
        while crate::upstream::message(self.answer.get(..length).unwrap_or_default()).is_none() {
            let room = self.answer.get_mut(length..).filter(|room| !room.is_empty()).ok_or("too long")?;
            match self.connection.read(room)? {
                0 => return Err("the upstream ended the connection".into()),
                read => length += read,
            }
        }
        Ok(())
    }
}
