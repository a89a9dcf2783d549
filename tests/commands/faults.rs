//! Faults that only a whole process can meet: its environment, its names, its memory.

use crate::process::program;
use crate::process::program_within;
use crate::serve::create;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Transport;
use oci_backup_gateway::sandbox::Wire;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;
use std::time::Instant;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

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

/// Row 5. The process has a file of host names of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_first_address_is_dead_is_reached_by_its_second() {
    const OF_ITS_OWN: &str = "unshare --map-root-user --mount sh -c";
    let may = Command::new("sh").args(["-c", &format!("{OF_ITS_OWN} true")]).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("NOT PROVEN HERE: this machine gives no process a file of host names of its own");
        return;
    }
    let upstream = Upstream::start().await;
    let second = tokio::net::TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = second.local_addr().unwrap().port();
    let _first = blackhole(SocketAddr::from(([127, 0, 0, 1], port))).await;
    let oci = upstream.sandbox.oci_addr();
    tokio::spawn(async move {
        let (mut near, _peer) = second.accept().await.unwrap();
        let mut far = TcpStream::connect(oci).await.unwrap();
        tokio::io::copy_bidirectional(&mut near, &mut far).await
    });
    let hosts = r#"mount --bind "$HOME/hosts" /etc/hosts && exec "$0" "$@""#;
    let serve = program_within(&format!(r#"exec {OF_ITS_OWN} '{hosts}' "$0" "$@""#), SERVE);
    let serve = upstream.sign_in_at(serve, &format!("http://localhost:{port}"));
    let mut serve = serve.file("hosts", "127.0.0.1 localhost\n127.0.0.2 localhost\n").start();
    let address = serve.address();
    let began = Instant::now();
    create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
    let took = began.elapsed();
    // The addresses of a name share the two seconds for connecting.
    assert!((Duration::from_millis(900)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    assert_eq!((upstream.sandbox.ledger().commits.len(), upstream.sandbox.ledger().attempts.len()), (1, 1));
}
