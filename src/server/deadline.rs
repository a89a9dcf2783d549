//! `grpc-timeout` → the caller's deadline, answered in the contract's words.

use super::layers::Request;
use super::layers::Response;
use super::layers::Whole;
use super::message;
use crate::oci;
use crate::oci::Seat;
use crate::oci::deadline::Deadline;
use crate::oci::request_id::RequestId;
use crate::rpc::metadata;
use crate::rpc::metadata::Only;
use crate::rpc::status::Refusal;
use http::HeaderMap;
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tower::Service;

const GRPC_TIMEOUT: &str = "grpc-timeout";

/// How long a message may take to come once its call has begun. It needs no more than the call's own headers; a call
/// whose message never came would keep its place from others.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How much later than the handler's own answer it is answered for.
const AFTER_THE_HANDLER: Duration = Duration::from_millis(20);

/// What bounds a call.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// For callers who give no deadline.
    pub default: Duration,
    /// For callers who give a longer one.
    pub max: Duration,
    /// [`MESSAGE_TIMEOUT`], but in tests.
    pub message: Duration,
}

/// Gives the call its deadline, waits for its message, and answers when the time is up.
pub(super) async fn enforce<S>(
    config: Config,
    request: Request,
    request_id: &RequestId,
    seat: Arc<Seat>,
    mut service: S,
) -> Result<Response, Refusal>
where
    S: Service<Whole, Response = Response, Error = Infallible>,
{
    let timeout = timeout(request.headers()).map_err(|Malformed| Refusal::Timeout)?;
    let deadline = Deadline::after(timeout.unwrap_or(config.default).min(config.max));
    if !deadline.allows_attempt() {
        return Err(Refusal::Deadline);
    }
    let mut request = received(request, deadline.answer_by().min(Instant::now() + config.message)).await?;
    let trace = request.extensions_mut().remove().unwrap_or_default();
    let call = oci::Call { deadline, request_id: request_id.clone(), trace, seat: Some(seat) };
    request.extensions_mut().insert(call);
    let end = deadline.answer_by() + AFTER_THE_HANDLER;
    let Ok(Ok(response)) = tokio::time::timeout_at(end, service.call(request)).await else {
        // The handler answers in time by itself; whatever kept it, it may have called OCI.
        return Err(Refusal::Late);
    };
    Ok(response)
}

/// The call with the whole of its message.
async fn received(request: Request, end: Instant) -> Result<Whole, Refusal> {
    let (head, body) = request.into_parts();
    let read = tokio::time::timeout_at(end, message::read(body));
    let message = read.await.map_err(|_elapsed| Refusal::NoMessage)??;
    Ok(Whole::from_parts(head, Full::new(message)))
}

/// What the caller itself allows, as it told.
pub(super) fn told(headers: &HeaderMap) -> Option<Deadline> {
    timeout(headers).ok().flatten().map(Deadline::after)
}

/// The header's value is not of gRPC's form.
struct Malformed;

/// `Timeout → TimeoutValue TimeoutUnit`: at most eight digits and one letter, once
/// (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let text = match metadata::only(headers, GRPC_TIMEOUT) {
        Only::None => return Ok(None),
        Only::Value(value) => value.to_str().map_err(|_not_ascii| Malformed)?,
        Only::Several => return Err(Malformed),
    };
    let (digits, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(Malformed)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(Malformed);
    }
    let value: u64 = digits.parse().map_err(|_no_number| Malformed)?;
    match unit {
        "H" => Ok(Some(Duration::from_secs(value * 3600))),
        "M" => Ok(Some(Duration::from_secs(value * 60))),
        "S" => Ok(Some(Duration::from_secs(value))),
        "m" => Ok(Some(Duration::from_millis(value))),
        "u" => Ok(Some(Duration::from_micros(value))),
        "n" => Ok(Some(Duration::from_nanos(value))),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_and_refuses_every_other_form() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
            timeout(&headers).ok().flatten()
        };
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("3S", Duration::from_secs(3)),
            ("4m", Duration::from_millis(4)),
            ("5u", Duration::from_micros(5)),
            ("6n", Duration::from_nanos(6)),
            ("0m", Duration::ZERO),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
        }
        for text in ["", "m", "5", "5s", "-5S", "+5S", "5 S", "1.5S", "123456789S", "S5", "5SS", "é"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
