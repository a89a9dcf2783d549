//! Parses the command line and hands over to one file of `commands`.

use oci_backup_gateway::commands;
use oci_backup_gateway::config;
use oci_backup_gateway::config::Unparsed;
use std::io::Write;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match config::parse() {
        Ok(cli) => commands::run(cli).await,
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
