//! Whole calls through the release binary: what one costs, what it adds, how soon the gateway serves and how
//! much memory it takes. Exits 1 when a promise of `SPECIFICATION.md` is not kept.
//!
//! `cargo bench --bench whole_calls`, or with `-- --quick` for a first impression, or with the parts that
//! matter: `-- start memory latency cost tracing storm`; `-- soak`, which takes its time, has to be named.
//!
//! The gateway is a process of its own, so that its processor time and memory are its own; its log goes as
//! JSON into a pipe that is read. Callers and an upstream that answers at once live in this process. The
//! upstream speaks plain HTTP.

mod callers;
mod cost;
mod figures;
mod gateway;
mod health;
mod latency;
mod memory;
mod processor;
mod quiet;
mod signer;
mod soak;
mod start;
mod storm;
mod tracing;
mod upstream;
mod wire;

use figures::Figure;
use oci_backup_gateway::clock::Clock;
use oci_backup_gateway::sandbox;
use oci_backup_gateway::sandbox::Sandbox;
use signer::Signer;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How thoroughly, and as whom.
struct Setting {
    config_file: PathBuf,
    signer: Signer,
    rounds: usize,
    round: Duration,
    latencies: usize,
    starts: usize,
}

impl Setting {
    /// Whether a first impression is enough.
    fn is_quick(&self) -> bool {
        self.rounds < THOROUGH
    }
}

const THOROUGH: usize = 9;

fn main() -> ExitCode {
    let run = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run()));
    match run {
        Ok(exit_code) => exit_code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "whole_calls: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Outcome<ExitCode> {
    let directory = tempfile::tempdir()?;
    let setting = setting(directory.path().to_owned()).await?;
    let mut kept = true;
    if asked("start") {
        kept &= show(&start::measure(&setting).await?)?;
    }
    if asked("memory") {
        kept &= show(&memory::measure(&setting).await?)?;
    }
    if asked("latency") {
        kept &= show(&latency::measure(&setting).await?)?;
    }
    if asked("cost") {
        kept &= show(&cost::measure(&setting).await?)?;
    }
    if asked("tracing") {
        kept &= show(&tracing::measure(&setting).await?)?;
    }
    if asked("storm") {
        kept &= show(&storm::measure(&setting).await?)?;
    }
    if named("soak") {
        kept &= show(&soak::measure(&setting).await?)?;
    }
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether this part was named, or none was.
fn asked(part: &str) -> bool {
    parts().next().is_none() || named(part)
}

fn named(part: &str) -> bool {
    parts().any(|named| named == part)
}

fn parts() -> impl Iterator<Item = String> {
    std::env::args().skip(1).filter(|argument| !argument.starts_with("--"))
}

/// Prints figures, and says whether all their promises are kept.
fn show(figures: &[Figure]) -> Outcome<bool> {
    figures.iter().try_for_each(|figure| writeln!(std::io::stdout(), "{figure}"))?;
    Ok(figures.iter().all(Figure::is_kept))
}

/// An identity of the sandbox's, in files as `serve` reads them.
async fn setting(directory: PathBuf) -> Outcome<Setting> {
    let clock = Clock::system();
    let sandbox = Sandbox::start(sandbox::Config {
        oci_listen: ([127, 0, 0, 1], 0).into(),
        control_listen: ([127, 0, 0, 1], 0).into(),
        transport: sandbox::Transport::Plaintext,
        now: Arc::new(move || clock.now()),
        stage: Duration::from_secs(1),
        identity: None,
        issuers: None,
    })
    .await?;
    let config_file = sandbox.write_config(&directory)?.config;
    let signer = Signer::new(sandbox.identity().private_key_pem())?;
    sandbox.stop().await;
    let thorough = Setting {
        config_file,
        signer,
        rounds: THOROUGH,
        round: Duration::from_secs(3),
        latencies: 3000,
        starts: 30,
    };
    Ok(match std::env::args().any(|argument| argument == "--quick") {
        false => thorough,
        true => Setting { rounds: 3, round: Duration::from_secs(1), latencies: 500, starts: 7, ..thorough },
    })
}
