//! A gateway, as a rule a process of its own, and clients that reach it.

use crate::mortal;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use oci_backup_gateway::pb::backup_service_client::BackupServiceClient;
use oci_backup_gateway::server::Server;
use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tonic::body::Body;

/// Settings of every gateway that is a process.
const SETTINGS: &[&str] = &["--attempt-timeout", "500ms", "--drain-timeout", "5s"];

/// A connection carries at most 128 calls at a time; a run has more callers than that.
const CONNECTIONS: usize = 4;

/// A client of gRPC that does not look at `grpc-timeout` itself, so that a late answer is seen and not cut off.
pub(crate) type Client = BackupServiceClient<legacy::Client<HttpConnector, Body>>;

/// A gateway that ends when it is dropped, or with its runtime.
pub(crate) struct Gateway {
    life: Life,
    clients: Vec<Client>,
}

enum Life {
    Process(Child),
    Within(Box<Server>),
}

impl Gateway {
    /// Starts one in front of `oci` and returns when it listens, on a port of its own choice.
    pub(crate) fn start(config_file: &Path, oci: &str) -> Self {
        let mut command = mortal::command(env!("CARGO_BIN_EXE_oci-backup-gateway"));
        command
            .env_clear()
            .args(["serve", "--endpoint", oci, "--config-file"])
            .arg(config_file)
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json"])
            .args(SETTINGS)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = mortal::spawn(command);
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let address = address(&mut log);
        // A log that is not read would hold back lines, and a closed one be an error.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self::reached(Life::Process(process), address)
    }

    /// One within this process.
    pub(crate) fn within(server: Server) -> Self {
        let address = server.address();
        Self::reached(Life::Within(Box::new(server)), address)
    }

    fn reached(life: Life, address: SocketAddr) -> Self {
        Self { life, clients: (0..CONNECTIONS).map(|_| client(address)).collect() }
    }

    /// One of the clients; the same number gets the same one.
    pub(crate) fn client(&self, number: usize) -> Client {
        self.clients[number % CONNECTIONS].clone()
    }

    /// `None` within this one.
    pub(crate) fn process(&self) -> Option<u32> {
        match &self.life {
            Life::Process(process) => Some(process.id()),
            Life::Within(_) => None,
        }
    }

    /// SIGKILL. Returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        let process = self.child();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGTERM, and whether the process ended by itself with success.
    pub(crate) fn terminate(&mut self) -> bool {
        let process = self.child();
        let sent = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
        sent.unwrap().success() && process.wait().unwrap().success()
    }

    fn child(&mut self) -> &mut Child {
        match &mut self.life {
            Life::Process(process) => process,
            Life::Within(server) => panic!("nobody kills {} but with all of us", server.address()),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Life::Process(process) = &mut self.life {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn client(address: SocketAddr) -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(Duration::from_secs(2)));
    let http = legacy::Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    BackupServiceClient::with_origin(http, format!("http://{address}").parse().unwrap())
}

/// Reads the log up to the line that says where the gateway listens.
fn address(log: &mut BufReader<impl Read>) -> SocketAddr {
    let mut line = String::new();
    while log.read_line(&mut line).unwrap() > 0 {
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        if let Some(address) = event["address"].as_str() {
            return address.parse().unwrap();
        }
        line.clear();
    }
    panic!("the gateway ended before it listened")
}
