//! A sandbox at a settable time, and an HTTP client that says exactly what it is told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::signing::{Signed, sign};
use crate::sandbox::{Config, Fault, FaultRule, Identity, IssuerConfig, Sandbox, Transport};

pub(super) const STAGE: Duration = Duration::from_secs(10);
pub(super) const VOLUME: &str = "ocid1.volume.oc1.iad.one";
pub(super) const VOLUME_BACKUPS: &str = "/20160918/volumeBackups";

/// One key for all tests.
pub(super) fn identity() -> Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Identity::generate().unwrap()).clone()
}

/// A sandbox whose clock stands still until it is moved.
pub(super) struct World {
    pub(super) sandbox: Sandbox,
    clock: Arc<Mutex<SystemTime>>,
}

impl World {
    pub(super) async fn start() -> World {
        World::start_with(Transport::Plaintext).await
    }

    pub(super) async fn start_with(transport: Transport) -> World {
        World::start_as(transport, None).await
    }

    pub(super) async fn start_as(transport: Transport, issuers: Option<IssuerConfig>) -> World {
        let clock = Arc::new(Mutex::new(UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
        let shown = Arc::clone(&clock);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config {
            oci_listen: loopback,
            control_listen: loopback,
            transport,
            now: Arc::new(move || *shown.lock().unwrap()),
            stage: STAGE,
            identity: Some(identity()),
            issuers,
        };
        World { sandbox: Sandbox::start(config).await.unwrap(), clock }
    }

    pub(super) fn now(&self) -> SystemTime {
        *self.clock.lock().unwrap()
    }

    pub(super) fn pass(&self, time: Duration) {
        *self.clock.lock().unwrap() += time;
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.sandbox.inject(FaultRule::new(fault)).unwrap();
    }

    /// Until the first request has met its fault.
    pub(super) async fn until_struck(&self) {
        while self.sandbox.ledger().attempts.first().is_none_or(|attempt| attempt.fault.is_none()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(super) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.sandbox.oci_addr()).await.unwrap())
    }

    /// A request that is right in every respect, not sent yet.
    pub(super) fn request(&self, method: &str, path: &str, body: &str) -> Signed {
        sign(method, path, &self.sandbox.oci_addr().to_string(), body, self.now())
    }

    pub(super) async fn send(&self, request: &Signed) -> Answer {
        self.connect().await.send(&request.bytes()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(&self.request("GET", path, "")).await
    }

    pub(super) fn create(&self, volume: &str, token: &str) -> Signed {
        let body = format!(r#"{{"volumeId":"{volume}"}}"#);
        self.request("POST", VOLUME_BACKUPS, &body).header("opc-retry-token", token)
    }
}

pub(super) struct Client(pub(super) TcpStream);

/// What came back until the answer was whole or the connection ended.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Client {
    pub(super) async fn send(mut self, request: &[u8]) -> Answer {
        self.exchange(request).await
    }

    /// One request and its answer; the connection stays.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Answer {
        self.0.write_all(request).await.unwrap();
        let mut read = Vec::new();
        loop {
            if let Some(answer) = Answer::parse(&read).filter(Answer::is_whole) {
                return answer;
            }
            assert_ne!(self.0.read_buf(&mut read).await.unwrap(), 0, "ended after {read:?}");
        }
    }

    /// Everything until the connection ends, and how it ends.
    pub(super) async fn until_it_ends(mut self, request: &[u8]) -> (String, Result<(), std::io::ErrorKind>) {
        let mut read = Vec::new();
        let end = match self.0.write_all(request).await {
            Err(error) => Err(error.kind()),
            Ok(()) => loop {
                match self.0.read_buf(&mut read).await {
                    Ok(0) => break Ok(()),
                    Ok(_) => {}
                    Err(error) => break Err(error.kind()),
                }
            },
        };
        (String::from_utf8(read).unwrap(), end)
    }
}

impl Answer {
    pub(super) fn parse(read: &[u8]) -> Option<Answer> {
        let end = read.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&read[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        };
        Some(Answer { status, headers: lines.map(header).collect(), body: read[end + 4..].to_vec() })
    }

    fn is_whole(&self) -> bool {
        self.status == 204
            || self.header("content-length").is_some_and(|length| self.body.len().to_string() == length)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn text(&self, field: &str) -> String {
        self.json()[field].as_str().unwrap_or_default().to_owned()
    }

    /// Status and OCI's code.
    pub(super) fn verdict(&self) -> (u16, String) {
        (self.status, self.text("code"))
    }
}

/// What [`Answer::verdict`] is compared with.
pub(super) fn verdict(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}
