//! The gateway as a process of its own, its log in a pipe that is read.

use crate::Outcome;
use crate::processor;
use std::io::BufRead;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::process::ChildStderr;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// A gateway that ends with this value.
pub(crate) struct Gateway {
    process: Child,
    address: SocketAddr,
    lines: Arc<AtomicU64>,
}

impl Gateway {
    /// Starts one and returns when it listens. Every layer is as in production; only the upstream is `upstream`.
    pub(crate) fn start(config_file: &Path, upstream: SocketAddr) -> Outcome<Self> {
        Self::start_with(config_file, upstream, &[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(config_file: &Path, upstream: SocketAddr, more: &[&str]) -> Outcome<Self> {
        Self::start_as(config_file, upstream, more, &[])
    }

    /// The same with variables.
    pub(crate) fn start_as(
        config_file: &Path,
        upstream: SocketAddr,
        more: &[&str],
        variables: &[(&str, String)],
    ) -> Outcome<Self> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_oci-backup-gateway"))
            .arg("serve")
            .arg("--config-file")
            .arg(config_file)
            .args(["--endpoint", &format!("http://{upstream}")])
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(more)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stderr(Stdio::piped())
            .spawn()?;
        let log = process.stderr.take().map(BufReader::new);
        let lines = Arc::new(AtomicU64::new(0));
        let mut gateway = Self { process, address: SocketAddr::from(([0, 0, 0, 0], 0)), lines };
        let mut log = log.ok_or("the gateway has no standard error")?;
        gateway.address = address(&mut log)?;
        let lines = Arc::clone(&gateway.lines);
        thread::spawn(move || {
            log.split(b'\n').for_each(|_| {
                lines.fetch_add(1, Ordering::Relaxed);
            })
        });
        Ok(gateway)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Outcome<Channel> {
        Ok(Channel::from_shared(format!("http://{}", self.address))?.tcp_nodelay(true).connect().await?)
    }

    /// Returns when the health service says SERVING.
    pub(crate) async fn serving(&self) -> Outcome<()> {
        let mut health = HealthClient::new(self.connect().await?);
        for _ in 0..1000 {
            let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
            if answer.status() == ServingStatus::Serving {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Err("the gateway does not become ready".into())
    }

    /// The processor time used so far.
    pub(crate) fn processor_time(&self) -> Outcome<Duration> {
        processor::of_process(self.process.id())
    }

    /// Keeps it on one processor from now on.
    pub(crate) fn keep(&self, on: usize) -> Outcome<()> {
        processor::keep_process(self.process.id(), on)
    }

    /// The resident memory, in bytes.
    pub(crate) fn resident(&self) -> Outcome<u64> {
        processor::resident(self.process.id())
    }

    /// How many descriptors are open.
    pub(crate) fn descriptors(&self) -> Outcome<u32> {
        Ok(u32::try_from(std::fs::read_dir(format!("/proc/{}/fd", self.process.id()))?.count())?)
    }

    /// How many lines were logged since the start.
    pub(crate) fn logged(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Reads the log up to the line that says where the gateway listens.
fn address(log: &mut BufReader<ChildStderr>) -> Outcome<SocketAddr> {
    let mut said = String::new();
    while log.read_line(&mut said)? > 0 {
        let event: serde_json::Value = serde_json::from_str(said.trim()).unwrap_or_default();
        if let Some(address) = event.get("address").and_then(serde_json::Value::as_str) {
            return Ok(address.parse()?);
        }
        if !event.is_object() {
            return Err(format!("the gateway did not start: {said}").into());
        }
        said.clear();
    }
    Err("the gateway ended before it listened".into())
}
