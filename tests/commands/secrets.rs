//! What is secret stays so: nothing that the program writes at its most talkative gives a key, a passphrase or
//! a signature away.

use crate::leaks;
use crate::leaks::Secret;
use crate::process::Program;
use crate::process::program;
use crate::upstream::IDENTITY;
use crate::upstream::Upstream;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oci_backup_gateway::pb;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::sandbox::Fault;
use oci_backup_gateway::sandbox::FaultRule;
use oci_backup_gateway::sandbox::Identity;
use oci_backup_gateway::sandbox::Transport;
use pkcs8::DecodePrivateKey;
use pkcs8::EncodePrivateKey;
use pkcs8::PrivateKeyInfo;
use pkcs8::pkcs5::pbes2::Parameters;
use rsa::RsaPrivateKey;
use rsa::traits::PrivateKeyParts;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

const PASSPHRASE: &str = "open sesame: barley";
const WRONG_PASSPHRASE: &str = "open sesame: wheat";
const CANARY: &str = "canary-that-is-logged";

/// A private key in all its parts.
fn key(name: &str, pem: &str) -> Vec<Secret> {
    let key = RsaPrivateKey::from_pkcs8_pem(pem).unwrap();
    let mut secrets = vec![Secret::new(name, key.to_pkcs8_der().unwrap().as_bytes())];
    for number in key.primes().iter().chain([key.d()]) {
        secrets.push(Secret::new(&format!("a number of {name}"), &number.to_bytes_be()));
        secrets.push(Secret::new(&format!("a number of {name} in decimal"), number.to_string().as_bytes()));
    }
    secrets
}

/// The same key behind [`PASSPHRASE`].
fn encrypted(pem: &str) -> String {
    let der = RsaPrivateKey::from_pkcs8_pem(pem).unwrap().to_pkcs8_der().unwrap();
    let (salt, iv) = ([7; 16], [9; 16]);
    let scheme = Parameters::pbkdf2_sha256_aes256cbc(2048, &salt, &iv).unwrap();
    let locked = PrivateKeyInfo::try_from(der.as_bytes()).unwrap().encrypt_with_params(scheme, PASSPHRASE);
    locked.unwrap().to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string()
}

/// What goes to OCI, as somebody on the way sees it.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Vec<u8>>>);

impl Wire {
    /// A way to the sandbox that remembers what went along.
    async fn to(sandbox: SocketAddr) -> (Self, SocketAddr) {
        let (wire, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let (seen, address) = (wire.clone(), listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(seen.clone().pass(caller, sandbox));
            }
        });
        (wire, address)
    }

    async fn pass(self, caller: TcpStream, sandbox: SocketAddr) {
        let (mut from, mut back) = caller.into_split();
        let (mut answers, mut to) = TcpStream::connect(sandbox).await.unwrap().into_split();
        tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            self.0.lock().unwrap().extend_from_slice(&buffer[..length]);
            to.write_all(&buffer[..length]).await.unwrap();
        }
    }

    /// Every signature that went along, as text and as bytes.
    fn signatures(&self) -> Vec<Secret> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let headers = text.lines().filter(|line| line.to_ascii_lowercase().starts_with("authorization: "));
        let signatures = headers.map(|header| {
            let (_, rest) = header.split_once(",signature=\"").unwrap();
            rest.split('"').next().unwrap().to_owned()
        });
        let both = |text: String| {
            [
                Secret::new("a signature", text.as_bytes()),
                Secret::new("a signature's bytes", &STANDARD.decode(text).unwrap()),
            ]
        };
        signatures.flat_map(both).collect()
    }
}

/// What programs have written.
#[derive(Default)]
struct Written(String);

impl Written {
    /// Runs it at its most talkative; the text is what it wrote.
    fn run(&mut self, program: Program, code: i32) {
        let ended = program.env("RUST_LOG", "trace").run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        self.0.push_str(&ended.stdout);
        self.0.push_str(&ended.stderr);
    }

    /// Serves one create that succeeds and some that do not.
    async fn serve(&mut self, program: Program, upstream: &Upstream) {
        let mut serve = program.env("RUST_LOG", "trace").start();
        let line = serve.until(|serve| {
            let lines = serve.stderr();
            let line =
                lines.lines().find(|line| line.contains("listening") && line.contains("admin_address"));
            line.map(str::to_owned)
        });
        // `address="…"` or `"address":"…"`; the first port in either is that of gRPC.
        let port = line.split("127.0.0.1:").nth(1).unwrap();
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let mut caller = BackupServiceClient::connect(format!("http://127.0.0.1:{port}")).await.unwrap();
        for (volume, fault) in [
            ("ocid1.volume.oc1.iad.one", None),
            ("ocid1.volume.oc1.iad.missing", None),
            (
                "ocid1.volume.oc1.iad.two",
                Some((5, Fault::status(500, "InternalServerError", "out of order"))),
            ),
            ("ocid1.volume.oc1.iad.three", Some((1, Fault::status(401, "NotAuthenticated", "no")))),
            ("ocid1.instance.oc1.iad.four", None),
        ] {
            if let Some((times, fault)) = fault {
                upstream.sandbox.inject(FaultRule::new(fault).method("POST").times(times)).unwrap();
            }
            let request =
                pb::CreateVolumeBackupRequest { volume_id: volume.to_owned(), ..Default::default() };
            let mut request = tonic::Request::new(request);
            request.metadata_mut().insert("opc-request-id", CANARY.parse().unwrap());
            let made = caller.create_volume_backup(request).await;
            assert_eq!(made.is_ok(), volume.ends_with("one"), "{made:?}");
        }
        serve.signal("TERM");
        let ended = serve.wait();
        self.0.push_str(&ended.stdout);
        self.0.push_str(&ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_passphrase_or_signature_is_ever_written() {
    let (upstream, stranger) = (Upstream::start().await, Identity::generate().unwrap());
    let (wire, address) = Wire::to(upstream.sandbox.oci_addr()).await;
    let locked = upstream.path("locked.pem");
    std::fs::write(&locked, encrypted(IDENTITY.private_key_pem())).unwrap();
    let signed_in = |arguments: &str, passphrase: &str| {
        let program = upstream.sign_in_at(program(arguments), &format!("http://{address}"));
        program.env("OCI_CLI_KEY_FILE", &locked).env("OCI_CLI_PASSPHRASE", passphrase)
    };
    let mut written = Written::default();
    for format in ["json", "text"] {
        let serve = format!("serve --log-format {format} --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0");
        written.serve(signed_in(&serve, PASSPHRASE), &upstream).await;
    }
    written.run(signed_in("check", PASSPHRASE), 0);
    written.run(signed_in("check", WRONG_PASSPHRASE), 2);
    let wrong_key = signed_in("check", PASSPHRASE).env("OCI_CLI_FINGERPRINT", stranger.fingerprint());
    written.run(wrong_key.env("OCI_CLI_KEY_CONTENT", stranger.private_key_pem()), 1);
    for broken in [&stranger.private_key_pem()[..900], &stranger.private_key_pem().replace('M', "*")] {
        written.run(signed_in("check", PASSPHRASE).env("OCI_CLI_KEY_CONTENT", broken), 2);
    }
    for misplaced in [
        "OCI_CLI_KEY_FILE",
        "OCI_CLI_FINGERPRINT",
        "OCI_CLI_USER",
        "OCI_CLI_TENANCY",
        "OCI_CLI_REGION",
        "GATEWAY_PROXY",
    ] {
        written.run(signed_in("check", PASSPHRASE).env(misplaced, stranger.private_key_pem()), 2);
    }
    let secure = Upstream::with(Transport::Tls, Duration::ZERO).await;
    written.run(secure.sign_in(program("check")), 0);
    let demonstration =
        program("sandbox --once --stage 50ms --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --write-config");
    let files = upstream.path("demonstration");
    written.run(demonstration.arg(&files), 0);

    let mut secrets = key("the key", IDENTITY.private_key_pem());
    secrets.extend(key("the wrong key", stranger.private_key_pem()));
    secrets.extend(key("the sandbox's key", &std::fs::read_to_string(format!("{files}/key.pem")).unwrap()));
    secrets.push(Secret::new("the passphrase", PASSPHRASE.as_bytes()));
    secrets.push(Secret::new("the wrong passphrase", WRONG_PASSPHRASE.as_bytes()));
    secrets.push(Secret::new("an Authorization header", b"Signature version="));
    secrets.push(Secret::new("an Authorization header", b"algorithm=\"rsa-sha256\""));
    let signatures = wire.signatures();
    assert!(signatures.len() >= 12, "{} signatures were seen on the wire", signatures.len());
    secrets.extend(signatures);

    let Written(text) = written;
    println!("{} bytes were written", text.len());
    assert_eq!(leaks::found(&text, &secrets), BTreeSet::new());
    let canary = Secret::new("canary", CANARY.as_bytes());
    assert_eq!(leaks::found(&text, &[canary]).len(), 1, "what is logged was not found");
    for level in ["TRACE", "DEBUG", "INFO", "WARN"] {
        assert!(text.contains(level), "{level} was not logged");
    }
    let leak = format!("{text}{:?}", &STANDARD.encode(IDENTITY.private_key_pem())[100..200]);
    assert!(!leaks::found(&leak, &[Secret::new("pem", IDENTITY.private_key_pem().as_bytes())]).is_empty());
}
