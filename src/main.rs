//! Parses the command line and hands over to one file of `commands`.

use oci_backup_gateway::commands;
use oci_backup_gateway::commands::Failure;
use oci_backup_gateway::config;
use oci_backup_gateway::config::Cli;
use oci_backup_gateway::config::Unparsed;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What is left of the process's life for tasks that were cut off, to say so in the log.
const LAST_WORDS: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    let ended = match config::parse() {
        Ok(cli) => run(cli),
        Err(Unparsed::Text(text)) => {
            let _ = text.print();
            return ExitCode::SUCCESS;
        }
        Err(Unparsed::Mistake(problem)) => Err(problem.into()),
    };
    ended.unwrap_or_else(|failure| {
        let _ = writeln!(std::io::stderr(), "oci-backup-gateway: {failure}");
        failure.exit_code()
    })
}

/// Runs the command on a runtime that ends when the command does: the blocking threads of a silent name
/// server would hold up an ordinary one.
fn run(cli: Cli) -> Result<ExitCode, Failure> {
    // One provider of cryptography for everything that speaks TLS; a second one would make rustls panic.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime =
        Runtime::new().map_err(|error| Failure::Runtime(format!("no threads can be started: {error}")))?;
    let ended = runtime.block_on(commands::run(cli));
    runtime.shutdown_timeout(LAST_WORDS);
    ended
}
