//! A gateway within this process, for what no flag of the program sets: limits so wide that in a storm which lasts for
//! the whole run each call may use all its attempts, or no breaker that spares the budget the work.

use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::credentials;
use oci_backup_gateway::credentials::ProvideCredentials;
use oci_backup_gateway::credentials::StaticCredentials;
use oci_backup_gateway::oci;
use oci_backup_gateway::oci::endpoint::Endpoint;
use oci_backup_gateway::region::Regions;
use oci_backup_gateway::region::Sources;
use oci_backup_gateway::sandbox::Sandbox;
use oci_backup_gateway::server;
use oci_backup_gateway::server::Server;
use oci_backup_gateway::telemetry::Recorder;
use oci_backup_gateway::transport::breaker;
use oci_backup_gateway::transport::budget;
use oci_backup_gateway::transport::reqwest;
use oci_backup_gateway::transport::reqwest::Trust;
use oci_backup_gateway::transport::retry;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Neither budget nor breaker, and pauses that are short beside what a caller has time for.
pub(crate) fn wide() -> retry::Config {
    let (short, longer) = (Duration::from_millis(5), Duration::from_millis(20));
    retry::Config {
        pause: short,
        pause_for_state: longer,
        pause_for_overload: longer,
        longest_pause: Duration::from_millis(100),
        budget: budget::Config { capacity: u32::MAX, ..budget::Config::default() },
        breaker: breaker::Config { attempts: u32::MAX, ..breaker::Config::default() },
        ..retry::Config::default()
    }
}

/// The program's own, but for the breaker.
pub(crate) fn by_budget() -> retry::Config {
    let breaker = breaker::Config { attempts: u32::MAX, ..breaker::Config::default() };
    retry::Config { breaker, ..retry::Config::default() }
}

/// Starts one in front of the sandbox.
pub(crate) async fn start(
    sandbox: &Sandbox,
    config_file: &Path,
    retry: retry::Config,
    sharing: oci::Sharing,
) -> Server {
    let (credentials, mutations) = (credentials(config_file), oci::Mutations::new());
    let config = oci::Config {
        place: oci::Place::known(Endpoint::parse(&sandbox.endpoint()).unwrap(), "us-ashburn-1"),
        attempt_timeout: Duration::from_millis(500),
        regions: Regions::new(Sources::default()),
        retry,
        sharing,
        recorder: Recorder::nowhere(),
    };
    let http =
        reqwest::Config { trust: Trust::Plaintext, proxy: None, user_agent: oci::USER_AGENT.to_owned() };
    let http = Arc::new(reqwest::Client::new(&http).unwrap());
    let client = oci::Client::new(config, http, Arc::clone(&credentials), Clock::system(), mutations.clone());
    Server::start(serving(), client, credentials, mutations).await.unwrap()
}

fn serving() -> server::Config {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let minute = Duration::from_secs(60);
    server::Config {
        listen: local,
        admin_listen: local,
        health_listen: None,
        tls: None,
        deadlines: server::deadline::Config {
            default: minute / 2,
            max: minute,
            message: server::deadline::MESSAGE_TIMEOUT,
        },
        max_in_flight: 1024,
        max_connections: 1024,
        first_bytes_timeout: server::FIRST_BYTES_TIMEOUT,
        first_look: None,
        max_connection_age: 15 * minute,
        drain_timeout: Duration::from_secs(5),
        reflection: server::Reflection::Off,
    }
}

fn credentials(config_file: &Path) -> Arc<dyn ProvideCredentials> {
    let origin = credentials::Origin::Default;
    let source = credentials::Source {
        auth: origin,
        config_file: credentials::Setting { value: config_file.into(), origin },
        profile: credentials::Setting { value: "DEFAULT".to_owned(), origin },
        home: None,
        variables: credentials::Variables::default(),
    };
    Arc::new(StaticCredentials::new(source.load().unwrap().credentials))
}
