//! `proto`: writes the contract of this very version, for those who have only the program or its image.

use super::Failure;
use crate::config::Proto;
use crate::pb;
use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn run(settings: &Proto) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    for (name, text) in pb::SOURCES {
        let path = settings.out.join(name);
        let failed = |error| Failure::Runtime(format!("{} cannot be written: {error}", path.display()));
        write(&path, text).map_err(failed)?;
        // The files are what was asked for; whether anybody reads their names is another matter.
        let _ = writeln!(stdout, "{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// In one step: who reads the file meanwhile sees the old text or the new one.
fn write(path: &Path, text: &str) -> io::Result<()> {
    // A name of its own: others may write the same at the same time.
    let beside = path.with_extension(format!("proto.{}", std::process::id()));
    fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_error| drop(fs::remove_file(&beside)))
}
