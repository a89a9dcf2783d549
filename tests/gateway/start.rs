//! A server that cannot start says which setting is the matter.

use crate::rig::Rig;
use crate::rig::Setup;
use oci_backup_gateway::server;
use std::error::Error;
use std::io;
use std::net::TcpListener;

#[tokio::test]
async fn a_taken_port_is_reported_with_its_setting_and_its_address() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = Setup::default().server;
    for (setting, config) in [
        ("--listen", server::Config { listen: address, ..config.clone() }),
        ("--admin-listen", server::Config { admin_listen: address, ..config.clone() }),
    ] {
        let error = Rig::try_with(Setup { server: config, ..Setup::default() }).await.err().unwrap();
        let told = error.to_string();
        assert!(told.starts_with(&format!("{setting}: cannot listen on {address}")), "{told}");
        let source = error.source().unwrap().downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.kind(), io::ErrorKind::AddrInUse);
    }
}
