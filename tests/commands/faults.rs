//! Faults that only a whole process can meet: its environment, its names, its memory.

use crate::process::Running;
use crate::process::program;
use crate::serve::create;
use crate::upstream::Upstream;
use oci_backup_gateway::sandbox::AnswerChange;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Transport;
use oci_backup_gateway::sandbox::Wire;
use std::ffi::OsStr;
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

/// The most memory that a process has had, in KiB, since that was last asked.
fn peak(process: &Running) -> u64 {
    let path = format!("/proc/{}", process.id());
    let status = std::fs::read_to_string(format!("{path}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    // proc_pid_clear_refs(5): 5 sets the peak to what there is now.
    std::fs::write(format!("{path}/clear_refs"), "5").unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Rows 44 and 45: no answer takes more than 8 MiB, whatever it says of itself.
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
    peak(&serve);
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
        let before = peak(&serve);
        for volume in volumes.by_ref().take(3) {
            upstream.sandbox.inject(FaultRule::new(fault.clone()).method("POST")).unwrap();
            create(address, &volume).await.unwrap_or_else(|status| panic!("{name}: {status:?}"));
        }
        let more = peak(&serve).saturating_sub(before);
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
    const OF_ITS_OWN: [&str; 3] = ["unshare", "--map-root-user", "--mount"];
    let may = Command::new(OF_ITS_OWN[0]).args(&OF_ITS_OWN[1..]).arg("true").status();
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
    let script = r#"mount --bind "$HOME/hosts" /etc/hosts && exec "$@""#;
    let by = [&OF_ITS_OWN[..], &["sh", "-c", script, "sh"]].concat();
    let serve = upstream.sign_in_at(program(SERVE), &format!("http://localhost:{port}"));
    let serve = serve.file("hosts", "127.0.0.1 localhost\n127.0.0.2 localhost\n");
    let mut serve = serve.by(&by.iter().map(OsStr::new).collect::<Vec<_>>()).start();
    let address = serve.address();
    let began = Instant::now();
    create(address, "ocid1.volume.oc1.iad.one").await.unwrap();
    let took = began.elapsed();
    // The addresses of a name share the two seconds for connecting.
    assert!((Duration::from_millis(900)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    assert_eq!((upstream.sandbox.ledger().commits.len(), upstream.sandbox.ledger().attempts.len()), (1, 1));
}
