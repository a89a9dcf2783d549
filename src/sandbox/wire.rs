//! Answers written by hand, where an HTTP server would not do what a fault asks for.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::answer::Answer;
use super::fault::{CutPoint, Framing, Part, Wire};
use super::socket::Stream;

impl Wire {
    /// How the ledger names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Wire::Reset { at: CutPoint::Accept } => "reset at accept",
            Wire::Reset { at: CutPoint::BeforeCommit } => "reset before commit",
            Wire::Reset { at: CutPoint::AfterCommit } => "reset after commit",
            Wire::Reset { at: CutPoint::MidAnswer } => "reset mid answer",
            Wire::Reset { at: CutPoint::AfterAnswer } => "reset after answer",
            Wire::HangUp { at: CutPoint::Accept } => "hang up at accept",
            Wire::HangUp { at: CutPoint::BeforeCommit } => "hang up before commit",
            Wire::HangUp { at: CutPoint::AfterCommit } => "hang up after commit",
            Wire::HangUp { at: CutPoint::MidAnswer } => "hang up mid answer",
            Wire::HangUp { at: CutPoint::AfterAnswer } => "hang up after answer",
            Wire::Truncate { framing: Framing::ContentLength } => "truncate content-length",
            Wire::Truncate { framing: Framing::Chunked } => "truncate chunked",
            Wire::Truncate { framing: Framing::Close } => "truncate close",
            Wire::Slow { part: Part::Head, .. } => "slow head",
            Wire::Slow { part: Part::Body, .. } => "slow body",
            Wire::GiantBody { .. } => "giant body",
            Wire::Interim { .. } => "interim",
            Wire::BulkyHead { .. } => "bulky head",
            Wire::TwoLengths {} => "two lengths",
        }
    }

    /// Ends a connection on which nothing more is said.
    pub(super) async fn cut(self, mut stream: Stream) {
        if matches!(self, Wire::Reset { .. }) {
            return stream.reset();
        }
        // The peer may have ended it first.
        let _ = stream.shutdown().await;
    }

    /// Sends the answer in its way and ends the connection. A peer that has gone is no error here.
    pub(super) async fn deliver(self, mut stream: Stream, answer: &Answer) {
        let _ = self.send(&mut stream, answer).await;
        self.cut(stream).await;
    }

    async fn send(self, stream: &mut Stream, answer: &Answer) -> io::Result<()> {
        let body = &answer.body;
        let half = body.slice(..body.len() / 2);
        let whole_length = format!("content-length: {}\r\n", body.len());
        match self {
            Wire::Reset { at: CutPoint::AfterAnswer } | Wire::HangUp { at: CutPoint::AfterAnswer } => {
                write(stream, &[head(answer, &whole_length), body.to_vec()]).await
            }
            Wire::Reset { .. } | Wire::HangUp { .. } | Wire::Truncate { framing: Framing::ContentLength } => {
                // An empty body is cut short by announcing one.
                let length = format!("content-length: {}\r\n", body.len().max(16));
                write(stream, &[head(answer, &length), half.to_vec()]).await
            }
            Wire::Truncate { framing: Framing::Chunked } => {
                let chunk = format!("{:x}\r\n", body.len().max(16)).into_bytes();
                write(stream, &[head(answer, "transfer-encoding: chunked\r\n"), chunk, half.to_vec()]).await
            }
            Wire::Truncate { framing: Framing::Close } => {
                write(stream, &[head(answer, CLOSE), half.to_vec()]).await
            }
            Wire::Slow { part: Part::Head, ms } => {
                trickle(stream, &head(answer, &(whole_length + CLOSE)), Duration::from_millis(ms)).await?;
                write(stream, &[body.to_vec()]).await
            }
            Wire::Slow { part: Part::Body, ms } => {
                write(stream, &[head(answer, &(whole_length + CLOSE))]).await?;
                trickle(stream, body, Duration::from_millis(ms)).await
            }
            Wire::GiantBody { bytes } => send_giant(stream, answer, bytes).await,
            Wire::Interim { count } => {
                for _ in 0..count {
                    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
                write(stream, &[head(answer, &(whole_length + CLOSE)), body.to_vec()]).await
            }
            Wire::BulkyHead { headers, bytes } => {
                let value = "x".repeat(usize::try_from(bytes).unwrap_or(usize::MAX));
                let bulk: String =
                    (0..headers).map(|number| format!("x-bulk-{number}: {value}\r\n")).collect();
                write(stream, &[head(answer, &(bulk + &whole_length + CLOSE)), body.to_vec()]).await
            }
            Wire::TwoLengths {} => {
                let lengths = format!("{whole_length}content-length: {}\r\n{CLOSE}", body.len() + 1);
                write(stream, &[head(answer, &lengths), body.to_vec()]).await
            }
        }
    }
}

const CLOSE: &str = "connection: close\r\n";

/// Status line, the answer's headers, `more` (whole lines), and the empty line.
fn head(answer: &Answer, more: &str) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(more.as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

async fn write(stream: &mut Stream, parts: &[Vec<u8>]) -> io::Result<()> {
    stream.write_all(&parts.concat()).await?;
    stream.flush().await
}

async fn trickle(stream: &mut Stream, bytes: &[u8], pause: Duration) -> io::Result<()> {
    for byte in bytes {
        sleep(pause).await;
        write(stream, &[vec![*byte]]).await?;
    }
    Ok(())
}

async fn send_giant(stream: &mut Stream, answer: &Answer, bytes: u64) -> io::Result<()> {
    let length = |part: &Bytes| u64::try_from(part.len()).unwrap_or(u64::MAX);
    let bytes = bytes.max(length(&answer.body));
    write(stream, &[head(answer, &format!("content-length: {bytes}\r\n{CLOSE}"))]).await?;
    write(stream, &[answer.body.to_vec()]).await?;
    let spaces = Bytes::from(vec![b' '; 64 * 1024]);
    let mut left = bytes - length(&answer.body);
    while left > 0 {
        let part = spaces.slice(..usize::try_from(left).unwrap_or(usize::MAX).min(spaces.len()));
        stream.write_all(&part).await?;
        left -= length(&part);
    }
    stream.flush().await
}
