//! Makes the code of the contract, without an installed `protoc`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Where the contract and the service config are: in a copy of this folder beside this file, else in the
/// gateway's repository. `oci-backup-gateway proto --out proto` writes the first.
const PROTO: [&str; 2] = ["proto", "../../../proto"];
const SERVICE_CONFIG: [&str; 2] = ["service-config.json", "../service-config.json"];

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (proto, service_config) = (first_there(PROTO)?, first_there(SERVICE_CONFIG)?);
    for input in ["build.rs", proto, service_config] {
        println!("cargo::rerun-if-changed={input}");
    }
    fs::copy(service_config, out.join("service-config.json"))?;

    let mut compiler = protox::Compiler::new([proto])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file("ocibackup/v1/backup_service.proto")?;
    // For the JSON lines alone.
    fs::write(out.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().build_server(false).compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn first_there(candidates: [&'static str; 2]) -> Result<&'static str, String> {
    candidates
        .into_iter()
        .find(|path| Path::new(path).exists())
        .ok_or_else(|| format!("none of {candidates:?} is there"))
}
