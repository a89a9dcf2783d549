//! Starting, stopping, and what a client needs to come in.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{STAGE, VOLUME, VOLUME_BACKUPS, World, identity};
use crate::sandbox::{CutPoint, Fault, Identity, Transport};

#[test]
fn an_identity_hides_its_key_and_names_it_by_its_fingerprint() {
    let identity = Identity::generate().unwrap();
    let shown = format!("{identity:?}");
    let key_line = identity.private_key_pem().lines().nth(1).unwrap();
    assert!(
        shown.contains(identity.fingerprint()) && !shown.contains("PRIVATE") && !shown.contains(key_line)
    );
    assert!(identity.private_key_pem().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    let pairs: Vec<&str> = identity.fingerprint().split(':').collect();
    assert!(pairs.len() == 16 && pairs.iter().all(|pair| pair.len() == 2));
    assert!(
        identity.tenancy().starts_with("ocid1.tenancy.oc1..")
            && identity.user().starts_with("ocid1.user.oc1..")
    );
}

#[tokio::test]
async fn the_written_files_are_complete_and_private() {
    let world = World::start().await;
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("made");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("key.pem"), "old and open").unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), inner.join("config")).unwrap();
    std::fs::set_permissions(inner.join("key.pem"), std::fs::Permissions::from_mode(0o644)).unwrap();

    let written = world.sandbox.write_config(&inner).unwrap();
    for file in [&written.config, &written.key] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    let who = identity();
    assert_eq!(std::fs::read_to_string(&written.key).unwrap(), who.private_key_pem());
    let wanted = format!(
        "[DEFAULT]\nuser={}\nfingerprint={}\ntenancy={}\nregion=us-ashburn-1\nkey_file={}\n",
        who.user(),
        who.fingerprint(),
        who.tenancy(),
        inner.join("key.pem").display(),
    );
    assert_eq!(std::fs::read_to_string(&written.config).unwrap(), wanted);
    assert_eq!(written.certificate_authority, None);
    assert!(!dir.path().join("elsewhere").exists(), "an old link is not followed");
}

/// Sends bytes over TLS to a sandbox, trusting its authority, and reads to the end.
async fn over_tls(world: &World, name: &'static str, request: &[u8]) -> std::io::Result<String> {
    let mut roots = rustls::RootCertStore::empty();
    let authority = world.sandbox.certificate_authority_pem().unwrap();
    roots.add(rustls::pki_types::CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tcp = TcpStream::connect(world.sandbox.oci_addr()).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut tls = connector.connect(ServerName::try_from(name).unwrap(), tcp).await?;
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    tls.write_all(request).await?;
    let mut read = String::new();
    tls.read_to_string(&mut read).await.map(|_| read)
}

#[tokio::test]
async fn tls_is_trusted_by_its_own_authority_under_each_local_name() {
    let world = World::start_with(Transport::Tls).await;
    assert!(world.sandbox.endpoint().starts_with("https://127.0.0.1:"));
    for name in ["localhost", "127.0.0.1", "::1"] {
        let request = world
            .request("GET", &format!("{VOLUME_BACKUPS}?compartmentId=x"), "")
            .header("connection", "close");
        let read = over_tls(&world, name, &request.bytes()).await.unwrap();
        assert!(read.starts_with("HTTP/1.1 200 OK"), "{name}: {read}");
    }
    assert!(over_tls(&world, "elsewhere.example", b"").await.is_err());

    let dir = tempfile::tempdir().unwrap();
    let file = world.sandbox.write_config(dir.path()).unwrap().certificate_authority.unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), world.sandbox.certificate_authority_pem().unwrap());
}

#[tokio::test]
async fn faults_strike_below_tls() {
    let world = World::start_with(Transport::Tls).await;
    world.inject(Fault::reset(CutPoint::AfterCommit));
    let error = over_tls(&world, "localhost", &world.create(VOLUME, "t").bytes()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    world.inject(Fault::hang_up(CutPoint::MidAnswer));
    let read = over_tls(&world, "localhost", &world.create(VOLUME, "t").bytes()).await.unwrap();
    assert!(read.starts_with("HTTP/1.1 200 OK") && !read.ends_with('}'), "{read}");
    assert_eq!(world.sandbox.ledger().commits.len(), 1);
}

#[tokio::test]
async fn stopping_ends_listeners_connections_and_requests() {
    let world = World::start().await;
    let (oci, control) = (world.sandbox.oci_addr(), world.sandbox.control_addr());
    world.inject(Fault::stall(crate::sandbox::StallPoint::BeforeCommit, Duration::from_secs(3600)));
    let mut stalled = world.connect().await;
    stalled.0.write_all(&world.create(VOLUME, "t").bytes()).await.unwrap();
    world.until_struck().await;
    world.sandbox.stop().await;
    assert!(TcpStream::connect(oci).await.is_err() && TcpStream::connect(control).await.is_err());
    assert!(matches!(stalled.until_it_ends(b"").await, (read, _) if read.is_empty()));
}

#[tokio::test]
async fn dropping_ends_it_too() {
    let world = World::start().await;
    let oci = world.sandbox.oci_addr();
    let client = world.connect().await;
    drop(world);
    let (read, _) = tokio::time::timeout(STAGE, client.until_it_ends(b"")).await.unwrap();
    assert_eq!(read, "");
    assert!(TcpStream::connect(oci).await.is_err());
}

#[tokio::test]
async fn an_answer_extends_a_well_formed_request_id_and_replaces_any_other() {
    let world = World::start().await;
    let path = format!("{VOLUME_BACKUPS}?compartmentId=x");
    let part = "a".repeat(32);
    let full = format!("{part}/{part}/{part}");
    for (sent, kept) in [("mine-1_x", "mine-1_x/"), (full.as_str(), full.as_str())] {
        let answer = world.send(&world.request("GET", &path, "").header("opc-request-id", sent)).await;
        let answered = answer.header("opc-request-id").unwrap();
        assert!(answered.starts_with(kept) && answered.split('/').count() == 3, "{answered}");
    }
    let too_long = "a".repeat(33);
    for sent in ["", "a b", "ä", "a//b", "a/b/c/d", too_long.as_str()] {
        let answer = world.send(&world.request("GET", &path, "").header("opc-request-id", sent)).await;
        let answered = answer.header("opc-request-id").unwrap();
        assert!(answered.len() == 98 && !answered.contains("aa"), "{sent:?} gave {answered}");
    }
}

#[tokio::test]
async fn a_body_without_measure_is_refused_whole() {
    let world = World::start().await;
    let request = world.request("POST", VOLUME_BACKUPS, &" ".repeat((1 << 20) + 1));
    let mut client = world.connect().await;
    let answer = client.exchange(&request.bytes()).await;
    assert_eq!((answer.status, answer.text("code").as_str()), (413, "PayloadTooLarge"));
    assert!(answer.header("opc-request-id").is_some());
}
