//! Compiles the proto without an installed `protoc`, and tells the binary from what it was built.
#![expect(clippy::disallowed_methods, reason = "cargo hands a build script its arguments by environment")]

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const PROTO_ROOT: &str = "proto";
const SERVICE: &str = "ocibackup/v1/backup_service.proto";

/// What goes into the binary: a change elsewhere leaves the build clean.
const INPUTS: [&str; 5] = ["src", PROTO_ROOT, "build.rs", "Cargo.toml", "Cargo.lock"];

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match compile_proto().and_then(|()| describe_build()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A message of several lines (protox points at the faulty one) needs the prefix on each.
            error.to_string().lines().for_each(|line| println!("cargo::error={line}"));
            ExitCode::FAILURE
        }
    }
}

fn compile_proto() -> Outcome<()> {
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_file(SERVICE).map_err(|error| format!("{error:?}"))?;

    // Written here and not by `compile_fds`, which leaves the file out; and from protox, because
    // prost-types would lose options that it does not know.
    fs::write(out_dir()?.join("descriptor_set.bin"), compiler.encode_file_descriptor_set())?;
    fs::write(out_dir()?.join("sources.rs"), sources(&compiler)?)?;

    tonic_prost_build::configure()
        // Ordered, so that one message always has the same bytes: a repeated call must not differ.
        .btree_map(".")
        .codec_path("crate::pb::codec::Codec")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// The contract as it stands in `proto/`, as pairs of name and text. What every generator brings along is not among it.
fn sources(compiler: &protox::Compiler) -> Outcome<String> {
    let mut pairs = String::new();
    for file in compiler.files() {
        if let Some(path) = file.path() {
            pairs += &format!("({:?}, {:?}),\n", file.name(), fs::read_to_string(path)?);
        }
    }
    Ok(format!("&[\n{pairs}]"))
}

fn describe_build() -> Outcome<()> {
    INPUTS.iter().for_each(|input| println!("cargo::rerun-if-changed={input}"));
    println!("cargo::rerun-if-env-changed=GATEWAY_GIT_REVISION");

    println!("cargo::rustc-env=GATEWAY_GIT_REVISION={}", git_revision());
    println!("cargo::rustc-env=GATEWAY_BUILD_TARGET={}", variable("TARGET")?);
    let rustc = Command::new(variable("RUSTC")?).arg("--version").output()?;
    println!("cargo::rustc-env=GATEWAY_RUSTC_VERSION={}", String::from_utf8(rustc.stdout)?.trim());
    Ok(())
}

/// The short commit hash, with `-dirty` when the inputs differ from it. Where there is no git (a
/// tarball, an image build) the builder may give it by the same name; else it is `unknown`.
fn git_revision() -> String {
    let given = std::env::var("GATEWAY_GIT_REVISION").ok().filter(|revision| !revision.is_empty());
    given.or_else(revision_of_checkout).unwrap_or_else(|| "unknown".to_owned())
}

fn revision_of_checkout() -> Option<String> {
    // Sources unpacked inside some other repository must not take that one's revision.
    let top = fs::canonicalize(git(&["rev-parse", "--show-toplevel"])?).ok()?;
    if top != fs::canonicalize(variable("CARGO_MANIFEST_DIR").ok()?).ok()? {
        return None;
    }
    watch_head();
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let status = git(&[&["status", "--porcelain", "--"][..], &INPUTS[..]].concat())?;
    Some(if status.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Every move of HEAD changes one of these files. Only those that exist are named: cargo would run
/// this script anew each time for one that does not.
fn watch_head() {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    ["HEAD", "logs/HEAD", "packed-refs"]
        .into_iter()
        .chain(branch.as_deref())
        .filter_map(|name| git(&["rev-parse", "--git-path", name]))
        .filter(|path| Path::new(path).exists())
        .for_each(|path| println!("cargo::rerun-if-changed={path}"));
}

/// What git prints, or nothing where there is no git, no repository, or git refuses.
fn git(arguments: &[&str]) -> Option<String> {
    // Without optional locks: `git status` beside a running build must not write the index.
    let output = Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn out_dir() -> Outcome<PathBuf> {
    Ok(PathBuf::from(variable("OUT_DIR")?))
}

fn variable(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|error| format!("cargo did not set {name}: {error}").into())
}
