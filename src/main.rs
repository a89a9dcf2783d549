//! Parses the command line and hands over to one file of `commands`.

use oci_backup_gateway::commands;
use oci_backup_gateway::commands::Failure;
use oci_backup_gateway::config;
use oci_backup_gateway::config::Unparsed;
use std::io::Write;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

fn main() -> ExitCode {
    let ended = match config::parse() {
        Ok(cli) => commands::run(cli),
        Err(Unparsed::Text(text)) => {
            let _ = text.print();
            return ExitCode::SUCCESS;
        }
        Err(Unparsed::Mistake(problem)) => Err(problem.into()),
    };
    ended.unwrap_or_else(|failure| {
        let code = failure.exit_code();
        tell(failure);
        code
    })
}

/// Says why the process ends, unless nobody reads standard error: then it ends all the same.
fn tell(failure: Failure) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = writeln!(std::io::stderr(), "oci-backup-gateway: {failure}");
        told.send(())
    });
    let _ = heard.recv_timeout(PATIENCE);
}
