//! Faults that only a whole process can meet: its environment, its names, its memory.

use crate::process::Program;
use crate::process::program;
use crate::process::program_within;
use crate::serve::channel;
use crate::serve::create;
use crate::serve::create_within;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Transport;
use oci_backup_gateway::sandbox::Wire;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

const SERVE: &str = "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";

/// Row 15.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_only_the_environment_names_hears_nothing() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    for transport in [Transport::Plaintext, Transport::Tls] {
        let upstream = Upstream::with(transport, Duration::ZERO).await;
        let mut serve = upstream.sign_in(program(SERVE));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            serve = serve.env(name, &url);
        }
        let mut serve = serve.start();
        create(serve.address(), "ocid1.volume.oc1.iad.one").await.unwrap();
        assert_eq!(upstream.sandbox.ledger().commits.len(), 1);
    }
    let called = proxy.accept();
    assert_eq!(called.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Rows 44 and 45: all of them together take no more than 8 MiB, whatever they say of themselves.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_however_large_takes_much_memory() {
    const MOST_KIB: u64 = 8 * 1024;
    let upstream = Upstream::start().await;
    let mut serve = upstream.sign_in(program(SERVE)).start();
    let address = serve.address();
    let mut volumes = (0..).map(|number| format!("ocid1.volume.oc1.iad.v{number}"));
    for volume in volumes.by_ref().take(20) {
        create(address, &volume).await.unwrap();
    }
    let before = serve.memory("VmHWM");
    for (name, fault) in [
        ("512 MiB", Fault::wire(Wire::GiantBody { bytes: 512 << 20 })),
        ("500 headers", Fault::wire(Wire::BulkyHead { headers: 500, bytes: 1000 })),
        ("a header of 2 MB", Fault::wire(Wire::BulkyHead { headers: 1, bytes: 2 << 20 })),
        ("1,000 x 100 Continue", Fault::wire(Wire::Interim { count: 1000 })),
        ("100,000 lists", Fault::body("application/json", &"[".repeat(100_000))),
        (
            "an error of 512 MiB",
            Fault { answer: down(), ..Fault::wire(Wire::GiantBody { bytes: 512 << 20 }) },
        ),
    ] {
        for volume in volumes.by_ref().take(3) {
            upstream.sandbox.inject(FaultRule::new(fault.clone()).method("POST")).unwrap();
            create(address, &volume).await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
        let more = serve.memory("VmHWM") - before;
        println!("{name}: {more} KiB");
        assert!(more <= MOST_KIB, "{name}: {more} KiB");
    }
}

fn down() -> Option<AnswerChange> {
    Some(AnswerChange { status: Some(500), ..AnswerChange::default() })
}

/// Takes connections into its queue until that is full: whoever comes then hears nothing.
async fn blackhole(address: SocketAddr) -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let (listener, mut queue) = (socket.listen(1).unwrap(), Vec::new());
    let patience = Duration::from_millis(100);
    while let Ok(stream) = tokio::time::timeout(patience, TcpStream::connect(address)).await {
        queue.push(stream.unwrap());
    }
    (listener, queue)
}

/// A process with files of the system of its own.
const OF_ITS_OWN: &str = "unshare --map-root-user --mount sh -c";

/// Whether that can be had here.
fn may_have_files_of_its_own() -> bool {
    let may = Command::new("sh").args(["-c", &format!("{OF_ITS_OWN} true")]).status();
    may.is_ok_and(|status| status.success())
}

/// The program, with this file of its home in place of one of the system's.
fn with_own(file: &str, system: &str) -> Program {
    let mount = format!(r#"mount --bind "$HOME/{file}" {system} && exec "$0" "$@""#);
    program_within(&format!(r#"exec {OF_ITS_OWN} '{mount}' "$0" "$@""#), SERVE)
}

/// Row 4, a name server that says nothing. The process has one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_name_server_is_told_in_time_and_holds_up_neither_health_nor_the_end() {
    const DEADLINE: Duration = Duration::from_secs(10);
    // After two attempts of nearly each the breaker is open, which ends them all.
    const CALLS: usize = 12;
    // The port of name servers is for the privileged.
    let silent = UdpSocket::bind("127.0.0.3:53");
    let (true, Ok(silent)) = (may_have_files_of_its_own(), silent) else {
        println!("NOT PROVEN HERE: this machine gives no process a name server of its own");
        return;
    };
    let upstream = Upstream::with(Transport::Tls, Duration::ZERO).await;
    let serve = with_own("resolv.conf", "/etc/resolv.conf").file("resolv.conf", "nameserver 127.0.0.3\n");
    let mut serve = upstream.sign_in_at(serve, "https://oci.example").start();
    let address = serve.address();
    let mut calls = JoinSet::new();
    for at in 0..CALLS {
        calls.spawn(async move {
            let began = Instant::now();
            let ended = create_within(address, &format!("ocid1.volume.oc1.iad.v{at}"), DEADLINE).await;
            (ended.unwrap_err(), began.elapsed())
        });
    }
    let mut health = HealthClient::new(channel(address).await);
    while !calls.is_empty() {
        let began = Instant::now();
        health.check(HealthCheckRequest { service: "liveness".to_owned() }).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
        while let Some(ended) = calls.try_join_next() {
            let (status, took) = ended.unwrap();
            let info = status.get_error_details().error_info().unwrap().clone();
            assert_eq!(
                (status.code(), info.reason.as_str()),
                (Code::Unavailable, "UPSTREAM_DNS"),
                "{status:?}"
            );
            assert_eq!(info.metadata["outcome"], "NOT_STARTED");
            assert!(took <= DEADLINE && info.metadata["attempts"] != "1", "{took:?} {info:?}");
        }
    }
    assert!(silent.recv(&mut [0; 512]).unwrap() > 0, "it was asked");
    serve.signal("TERM");
    let ending = Instant::now();
    assert_eq!(serve.wait().code, Some(0));
    assert!(ending.elapsed() < Duration::from_secs(3), "{:?}", ending.elapsed());
}

/// Row 5. The process has a file of host names of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_first_address_is_dead_is_reached_by_its_second() {
    if !may_have_files_of_its_own() {
        println!("NOT PROVEN HERE: this machine gives no process a file of host names of its own");
        return;
    }
    let upstream = Upstream::start().await;
    let second = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = second.local_addr().unwrap().port();
    let _first = blackhole(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let oci = upstream.sandbox.oci_addr();
    tokio::spawn(async move {
        while let Ok((mut near, _peer)) = second.accept().await {
            let mut far = TcpStream::connect(oci).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    let serve = with_own("hosts", "/etc/hosts");
    let serve = upstream.sign_in_at(serve, &format!("http://localhost:{port}"));
    let began = Instant::now();
    let mut serve = serve.file("hosts", "127.0.0.1 localhost\n127.0.0.2 localhost\n").start();
    let address = serve.address();
    // The first connection is that of readiness; a create goes over it, too.
    serve.until(|_serve| upstream.sandbox.ledger().attempts.first().map(drop));
    let took = began.elapsed();
    // The addresses of a name share the two seconds for connecting.
    assert!((Duration::from_millis(900)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
    assert_eq!((upstream.sandbox.ledger().commits.len(), upstream.sandbox.ledger().attempts.len()), (1, 2));
}
