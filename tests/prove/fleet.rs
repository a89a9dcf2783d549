//! Gateways side by side, any of which may be gone for a moment.

use crate::gateway::Client;
use crate::gateway::Gateway;
use crate::within;
use oci_backup_gateway::oci::Sharing;
use oci_backup_gateway::sandbox::Sandbox;
use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;

/// What a fleet is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// So many processes with the program's own limits.
    Processes(usize),
    /// Two within this process whose limits are wide: calls with one token share an exchange in one of them, and not in
    /// the other.
    Wide,
    /// One within this process that has no breaker.
    ByBudget,
}

/// Gateways in front of one OCI.
pub(crate) struct Fleet {
    gateways: Vec<Mutex<Gateway>>,
    config_file: PathBuf,
    oci: String,
    _home: TempDir,
}

impl Fleet {
    /// Starts them and returns when all of them listen.
    pub(crate) async fn start(kind: Kind, sandbox: &Sandbox) -> Self {
        let home = TempDir::new().unwrap();
        let config_file = sandbox.write_config(home.path()).unwrap().config;
        let oci = sandbox.endpoint();
        let mut gateways = Vec::new();
        match kind {
            Kind::Processes(count) => {
                gateways.extend((0..count).map(|_| Gateway::start(&config_file, &oci)));
            }
            Kind::Wide => {
                for sharing in [Sharing::On, Sharing::Off] {
                    let server = within::start(sandbox, &config_file, within::wide(), sharing).await;
                    gateways.push(Gateway::within(server));
                }
            }
            Kind::ByBudget => {
                let server = within::start(sandbox, &config_file, within::by_budget(), Sharing::On).await;
                gateways.push(Gateway::within(server));
            }
        }
        Self { gateways: gateways.into_iter().map(Mutex::new).collect(), config_file, oci, _home: home }
    }

    pub(crate) fn size(&self) -> usize {
        self.gateways.len()
    }

    /// Those that live, and those that were just killed.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.gateways.iter().filter_map(|gateway| gateway.lock().unwrap().process()).collect()
    }

    /// A way to one of them, as it is now: it may be dead.
    pub(crate) fn client(&self, gateway: usize, number: usize) -> Client {
        self.gateways[gateway].lock().unwrap().client(number)
    }

    /// SIGKILL, and a new one in its place, elsewhere. Until it listens callers find the dead one.
    pub(crate) fn kill(&self, gateway: usize) {
        self.gateways[gateway].lock().unwrap().kill();
        self.replace(gateway);
    }

    /// A new one in its place, then SIGTERM for the old; whether that ended in order.
    pub(crate) fn roll(&self, gateway: usize) -> bool {
        self.replace(gateway).terminate()
    }

    fn replace(&self, gateway: usize) -> Gateway {
        let new = Gateway::start(&self.config_file, &self.oci);
        std::mem::replace(&mut *self.gateways[gateway].lock().unwrap(), new)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes(count) => write!(formatter, "{count} as processes, with their own limits"),
            Self::Wide => write!(formatter, "2 with wide limits, one of them without sharing"),
            Self::ByBudget => write!(formatter, "1 with the program's limits, but no breaker"),
        }
    }
}
