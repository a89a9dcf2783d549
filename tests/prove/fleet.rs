//! Gateways side by side, any of which may be gone for a moment.

use crate::gateway::Client;
use crate::gateway::Gateway;
use oci_backup_gateway::sandbox::Sandbox;
use std::path::PathBuf;
use std::sync::Mutex;
use tempfile::TempDir;

/// Gateways in front of one OCI.
pub(crate) struct Fleet {
    gateways: Vec<Mutex<Gateway>>,
    config_file: PathBuf,
    oci: String,
    _home: TempDir,
}

impl Fleet {
    /// Starts so many and returns when all of them listen.
    pub(crate) fn start(gateways: usize, sandbox: &Sandbox) -> Self {
        let home = TempDir::new().unwrap();
        let config_file = sandbox.write_config(home.path()).unwrap().config;
        let oci = sandbox.endpoint();
        let gateways = (0..gateways).map(|_| Mutex::new(Gateway::start(&config_file, &oci))).collect();
        Self { gateways, config_file, oci, _home: home }
    }

    pub(crate) fn size(&self) -> usize {
        self.gateways.len()
    }

    /// Those that live, and those that were just killed.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.gateways.iter().map(|gateway| gateway.lock().unwrap().process()).collect()
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
