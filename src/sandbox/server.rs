//! The two listeners and their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Error;
use super::control;
use super::fault::{CutPoint, StallPoint};
use super::pipeline::{Cut, Oci};
use super::socket::{Socket, Stream};

/// How long to let the system recover when a connection cannot be accepted (it is out of descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Listeners {
    pub(super) oci_addr: SocketAddr,
    pub(super) control_addr: SocketAddr,
    tasks: Tasks,
    _end: DropGuard,
}

/// Where everything is spawned, so that it ends with the sandbox.
#[derive(Clone)]
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// The task's result; `None` when the sandbox ended first.
    fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<T>> {
        self.tracker.spawn(self.stop.clone().run_until_cancelled_owned(task))
    }
}

impl Listeners {
    pub(super) async fn start(
        oci_listen: SocketAddr,
        control_listen: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        oci: Arc<Oci>,
    ) -> Result<Listeners, Error> {
        let (oci_listener, oci_addr) = bind(oci_listen).await?;
        let (control_listener, control_addr) = bind(control_listen).await?;
        let stop = CancellationToken::new();
        let tasks = Tasks { tracker: TaskTracker::new(), stop: stop.clone() };
        tasks.spawn(serve_oci(oci_listener, acceptor, Arc::clone(&oci), tasks.clone()));
        tasks.spawn(serve_control(control_listener, oci, tasks.clone()));
        Ok(Listeners { oci_addr, control_addr, tasks, _end: stop.drop_guard() })
    }

    pub(super) async fn stop(self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let listening = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listening.await.map_err(|source| Error::Listen { address, source })
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                // Faults write in small pieces, which must not be joined.
                let _ = tcp.set_nodelay(true);
                return tcp;
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn serve_oci(listener: TcpListener, acceptor: Option<TlsAcceptor>, oci: Arc<Oci>, tasks: Tasks) {
    loop {
        let tcp = accept(&listener).await;
        oci.ledger.connected();
        tasks.spawn(oci_connection(tcp, acceptor.clone(), Arc::clone(&oci), tasks.clone()));
    }
}

async fn oci_connection(tcp: TcpStream, acceptor: Option<TlsAcceptor>, oci: Arc<Oci>, tasks: Tasks) {
    if let Some(drawn) = oci.rules.draw_at_accept() {
        if let Some(pause) = drawn.fault().stalls_at(StallPoint::Accept) {
            sleep(pause).await;
        }
        if let Some(wire) = drawn.fault().cuts_at(CutPoint::Accept) {
            oci.ledger.cut_at_accept();
            return wire.cut(Stream::Plain(tcp)).await;
        }
    }
    let stream = match acceptor {
        None => Stream::Plain(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(tls) => Stream::Tls(Box::new(tls)),
            Err(_) => return,
        },
    };
    let socket = Socket::new(stream);
    let service = service_fn(|request| {
        let (oci, socket) = (Arc::clone(&oci), socket.clone());
        // A task of its own: the server drops its future when the caller leaves, but what was read is
        // carried out.
        let handled = tasks.spawn(async move { oci.handle(request, socket).await });
        async move { handled.await.ok().flatten().unwrap_or(Err(Cut)) }
    });
    // Dates come from the sandbox's own clock.
    let served =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(socket.clone()), service);
    // It fails when the peer leaves or a fault has taken the socket: nobody is left to be told.
    let _ = served.await;
}

async fn serve_control(listener: TcpListener, oci: Arc<Oci>, tasks: Tasks) {
    loop {
        let tcp = accept(&listener).await;
        let oci = Arc::clone(&oci);
        tasks.spawn(async move {
            let service = service_fn(|request| control::answer(request, &oci));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
        });
    }
}
