//! Serves connections: one after another is let in, and is asked to go when its time has come. A value per line and its
//! reason: hyper sets next to none of them by itself.

use super::accept::Incoming;
use super::connection::Connection;
use super::layers::Response;
use super::services::Answer;
use super::services::Services;
use super::tls::Tls;
use futures_util::TryFutureExt;
use futures_util::future::Either;
use futures_util::future::MapErr;
use futures_util::future::Ready;
use futures_util::future::ready;
use hyper::body::Incoming as Body;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long before its caller's certificate expires a connection is asked to go: whoever has a new one loses no call.
const AHEAD: Duration = Duration::from_secs(10);

/// How connections are served.
pub(super) struct Terms {
    /// What calls meet.
    pub(super) services: Services,
    /// Handshakes, if there are any.
    pub(super) tls: Option<Tls>,
    /// After this time, or one that is a tenth off, a connection is asked to go.
    pub(super) age: Duration,
    /// So long after that it is cut: its last calls have ended.
    pub(super) farewell: Duration,
    /// Nobody is let in any more, and everybody is asked to go.
    pub(super) stop: CancellationToken,
}

/// Where a call comes from, for whoever asks its request.
#[derive(Debug, Clone)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Who its certificate says it is.
    pub(super) caller: Option<Arc<str>>,
}

/// Serves until it is to stop, and then until the last connection has ended.
pub(super) async fn serve(mut incoming: Incoming, terms: Terms) {
    let (terms, connections) = (Arc::new(terms), TaskTracker::new());
    loop {
        tokio::select! {
            () = terms.stop.cancelled() => break,
            // Its handshake is its own affair, and nobody else waits for it.
            connection = incoming.next() => drop(connections.spawn(attend(connection, Arc::clone(&terms)))),
        }
    }
    // Whoever comes now finds the port closed and goes elsewhere.
    drop(incoming);
    connections.close();
    connections.wait().await;
}

/// One connection, from its first byte to its last.
async fn attend(connection: Connection, terms: Arc<Terms>) {
    let address = connection.peer();
    let (connection, caller) = match &terms.tls {
        None => (connection, None),
        Some(tls) => match connection.secured(tls).await {
            Ok(secured) => secured,
            Err(error) => return tls.refused(address, &error),
        },
    };
    let expires = caller.as_ref().map(|caller| caller.expires);
    let peer = Peer { address, caller: caller.map(|caller| caller.name) };
    let calls = Calls { services: terms.services.clone(), peer: peer.clone(), expires };
    let mut served = pin!(protocol().serve_connection(TokioIo::new(connection), calls));
    tokio::select! {
        ended = &mut served => return told(address, &ended),
        () = terms.stop.cancelled() => {}
        () = tokio::time::sleep(jittered(terms.age)) => {}
        () = expiring(expires) => {
            let caller = peer.caller.as_deref();
            tracing::info!(peer = %address, caller, "a caller's certificate expires: its connection has to go");
        }
    }
    // GOAWAY; calls in flight are answered.
    served.as_mut().graceful_shutdown();
    if let Ok(ended) = tokio::time::timeout(terms.farewell, served).await {
        told(address, &ended);
    }
}

fn told(peer: SocketAddr, ended: &Result<(), hyper::Error>) {
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, cause = error.source().map(tracing::field::display), "a connection ended");
    }
}

/// HTTP/2 with every limit set.
fn protocol() -> http2::Builder<TokioExecutor> {
    let mut protocol = http2::Builder::new(TokioExecutor::new());
    protocol
        .timer(TokioTimer::new())
        // Advertised to clients.
        .max_concurrent_streams(128)
        // A peer that keeps provoking resets from our side loses its connection ("MadeYouReset").
        .max_local_error_reset_streams(Some(1024))
        // A peer that opens and resets streams loses it sooner ("rapid reset"). Callers who all give up at once are no
        // such peer, and would take along the answers of those who wait on the same connection.
        .max_pending_accept_reset_streams(Some(500))
        .max_header_list_size(16 * 1024)
        // Requests are small; a peer cannot make us buffer more than this.
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(1024 * 1024)
        // Peers that vanished without a word are found out.
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(10));
    protocol
}

/// ±10 %, so that connections which began together do not end together.
fn jittered(age: Duration) -> Duration {
    age.mul_f64(rand::random_range(0.9..=1.1))
}

/// Ends a little before the certificate does, or with it where no more is left than that.
async fn expiring(expires: Option<Instant>) {
    let Some(expires) = expires else { return std::future::pending().await };
    let ahead = expires.checked_sub(AHEAD).filter(|ahead| *ahead > Instant::now() + AHEAD);
    tokio::time::sleep_until(ahead.unwrap_or(expires)).await;
}

/// The calls of one connection.
struct Calls {
    services: Services,
    peer: Peer,
    expires: Option<Instant>,
}

type Answered = MapErr<Answer, fn(Infallible) -> h2::Error>;

impl Service<http::Request<Body>> for Calls {
    type Response = Response;
    type Error = h2::Error;
    type Future = Either<Answered, Ready<Result<Response, h2::Error>>>;

    fn call(&self, mut request: http::Request<Body>) -> Self::Future {
        // Who does not go when asked to is not served any longer. A stream that was refused has begun nothing, and gRPC's
        // libraries open it anew on another connection by themselves (RFC 9113, 8.7; gRFC A6, "transparent retries").
        if self.expires.is_some_and(|expires| Instant::now() >= expires) {
            return Either::Right(ready(Err(h2::Reason::REFUSED_STREAM.into())));
        }
        request.extensions_mut().insert(self.peer.clone());
        let answer = self.services.call(request.map(tonic::body::Body::new));
        Either::Left(answer.map_err(never as fn(Infallible) -> h2::Error))
    }
}

fn never(never: Infallible) -> h2::Error {
    match never {}
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

    #[tokio::test(start_paused = true)]
    async fn who_has_a_certificate_for_long_is_asked_to_go_before_it_expires_and_others_when_it_does() {
        for (left, asked) in [(3600, 3590), (21, 11), (20, 20), (3, 3), (0, 0)] {
            let began = Instant::now();
            expiring(Some(began + Duration::from_secs(left))).await;
            assert_eq!(began.elapsed().as_secs(), asked, "{left}");
        }
    }
}
