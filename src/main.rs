//! Parses the command line and hands over to one file of `commands`.

use oci_backup_gateway::commands;
use oci_backup_gateway::config;
use std::io::Write;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match config::parse() {
        Ok(cli) => commands::run(cli).await,
        Err(Ok(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(Err(problem)) => Err(problem.into()),
    };
    ended.unwrap_or_else(|failure| {
        let _ = writeln!(std::io::stderr(), "oci-backup-gateway: {failure}");
        failure.exit_code()
    })
}
