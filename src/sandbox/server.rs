//! The listeners and their connections.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::Error;
use super::control::Control;
use super::door::Door;
use super::fault::{CutPoint, StallPoint};
use super::pipeline::{Cut, Face, Pipeline};
use super::socket::{Socket, Stream};

pub(super) struct Listeners {
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
    /// None yet.
    pub(super) fn new() -> Listeners {
        let stop = CancellationToken::new();
        let tasks = Tasks { tracker: TaskTracker::new(), stop: stop.clone() };
        Listeners { tasks, _end: stop.drop_guard() }
    }

    /// Serves a face from now on, behind what is returned.
    pub(super) async fn serve<F: Face>(
        &self,
        listen: SocketAddr,
        acceptor: Option<TlsAcceptor>,
        pipeline: &Arc<Pipeline<F>>,
    ) -> Result<Arc<Door>, Error> {
        let door = Door::bind(listen).await?;
        let serving = serve(Arc::clone(&door), acceptor, Arc::clone(pipeline), self.tasks.clone());
        self.tasks.spawn(serving);
        Ok(door)
    }

    /// Serves the control face from now on, and says where.
    pub(super) async fn control(&self, listen: SocketAddr, control: Control) -> Result<SocketAddr, Error> {
        let door = Door::bind(listen).await?;
        let address = door.address;
        self.tasks.spawn(serve_control(door, Arc::new(control), self.tasks.clone()));
        Ok(address)
    }

    pub(super) async fn stop(self) {
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
    }
}

async fn serve<F: Face>(
    door: Arc<Door>,
    acceptor: Option<TlsAcceptor>,
    pipeline: Arc<Pipeline<F>>,
    tasks: Tasks,
) {
    loop {
        let (tcp, end) = door.accept().await;
        pipeline.ledger.connected();
        let connection = connection(tcp, acceptor.clone(), Arc::clone(&pipeline), tasks.clone());
        tasks.spawn(end.run_until_cancelled_owned(connection));
    }
}

async fn connection<F: Face>(
    tcp: TcpStream,
    acceptor: Option<TlsAcceptor>,
    pipeline: Arc<Pipeline<F>>,
    tasks: Tasks,
) {
    if let Some(drawn) = pipeline.rules.draw_at_accept() {
        if let Some(pause) = drawn.fault().stalls_at(StallPoint::Accept) {
            sleep(pause).await;
        }
        if let Some(wire) = drawn.fault().cuts_at(CutPoint::Accept) {
            pipeline.ledger.cut_at_accept();
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
        let (pipeline, socket) = (Arc::clone(&pipeline), socket.clone());
        // A task of its own: the server drops its future when the caller leaves, but what was read is
        // carried out.
        let handled = tasks.spawn(async move { pipeline.handle(request, socket).await });
        async move { handled.await.ok().flatten().unwrap_or(Err(Cut)) }
    });
    // Dates come from the sandbox's own clock.
    let served =
        http1::Builder::new().auto_date_header(false).serve_connection(TokioIo::new(socket.clone()), service);
    // It fails when the peer leaves or a fault has taken the socket: nobody is left to be told.
    let _ = served.await;
}

async fn serve_control(door: Arc<Door>, control: Arc<Control>, tasks: Tasks) {
    loop {
        let (tcp, _) = door.accept().await;
        let control = Arc::clone(&control);
        tasks.spawn(async move {
            let service = service_fn(|request| control.answer(request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
        });
    }
}
