//! Who may use whom, and where the one-of-a-kind things live, as a test.
//!
//! The checker is a pure function from sources to violations; its own tests feed it offenders, so that it
//! cannot rot into passing everything. It sees the tokens outside comments and strings, test code included.

#[path = "architecture/paths.rs"]
mod paths;
#[path = "architecture/tokens.rs"]
mod tokens;

use paths::NamedPath;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use tokens::{Token, attributes};

/// Each room under `src`, and the rooms that it may use. A room may always use itself.
const ROOMS: &[(&str, &str)] = &[
    ("clock", ""),
    ("pb", ""),
    ("files", ""),
    ("ocid", ""),
    ("region", ""),
    ("signature", ""),
    ("telemetry", ""),
    ("transport", "telemetry"),
    ("credentials", "signature transport clock files region ocid telemetry"),
    ("oci", "signature transport credentials clock region ocid telemetry"),
    ("rpc", "oci pb ocid telemetry"),
    // And, by `is_data`, the Config types of the rooms with the types and names that they are made of.
    ("config", "region ocid"),
    ("server", "clock files pb ocid region signature telemetry transport credentials oci rpc config"),
    // An island: a verifier that shares the signer's code proves nothing.
    ("sandbox", ""),
    (
        "commands",
        "clock files pb ocid region signature telemetry transport credentials oci rpc config server sandbox",
    ),
    ("main", "commands config"),
    ("lib", ""),
];

/// What may be named in some places only. A place is a room or a file under `src`.
struct Guard {
    names: &'static str,
    places: Places,
    reason: &'static str,
    remedy: &'static str,
}

enum Places {
    Only(&'static [&'static str]),
    Never(&'static [&'static str]),
}

const GUARDS: &[Guard] = &[
    Guard {
        names: "SystemTime::now SystemTime::elapsed Timestamp::now Zoned::now",
        places: Places::Only(&["clock.rs"]),
        reason: "one file reads the wall clock",
        remedy: "take the time as an argument; server/ asks crate::clock",
    },
    Guard {
        names: "reqwest",
        // Whoever pushes telemetry has a client of its own, which blocks.
        places: Places::Only(&["transport/reqwest.rs", "telemetry/export.rs"]),
        reason: "one file names reqwest",
        remedy: "use the HTTP service of crate::transport (its file is self::reqwest)",
    },
    Guard {
        names: "std::env EnvFilter::from_default_env EnvFilter::try_from_default_env EnvFilter::from_env",
        places: Places::Only(&["config"]),
        reason: "one room reads the environment",
        remedy: "add a setting to config/ and take its value as an argument",
    },
    Guard {
        names: "tonic tonic_health tonic_prost tonic_reflection tonic_types prost prost_types",
        places: Places::Never(&["clock", "ocid", "region", "signature", "transport", "credentials", "oci"]),
        reason: "gRPC and protobuf stop at rpc/",
        remedy: "return a typed error or a model; rpc/ translates it",
    },
    Guard {
        names: "anyhow",
        places: Places::Only(&["main.rs", "commands"]),
        reason: "a room's errors are an enum that its callers can match",
        remedy: "add a variant to the room's thiserror enum",
    },
    Guard {
        names: "tokio std::fs std::io std::net std::process",
        places: Places::Never(&["signature"]),
        reason: "signing is pure",
        remedy: "do the I/O in the room that calls and pass the result",
    },
];

/// Files in which a guarded thing must be found: elsewhere it may have moved unseen.
const HOMES: &[(&str, &str)] = &[("clock.rs", "SystemTime::now"), ("transport/reqwest.rs", "reqwest")];

const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "manager", "misc"];
const LONGEST_FILE: usize = 500;
/// Where the generated code becomes part of the tree: which lints it trips is the generator's to change.
const GENERATED: &str = "pb/mod.rs";

#[test]
fn the_sources_keep_the_rules_of_the_house() {
    let mut sources = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&root, "", &mut sources).expect("the sources are readable UTF-8");
    let violations: Vec<String> = check(&sources).iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{} violation(s)\n\n{}\n", violations.len(), violations.join("\n"));
}

#[test]
fn the_tests_that_the_specification_names_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let specification =
        fs::read_to_string(root.join("SPECIFICATION.md")).expect("SPECIFICATION.md is readable");
    let named: Vec<(&str, &str)> =
        specification.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::")).collect();
    assert!(named.len() > 100, "only {} tests are named", named.len());
    let missing: Vec<String> = named
        .into_iter()
        .filter(|(file, test)| {
            let text = fs::read_to_string(root.join(format!("{file}.rs"))).unwrap_or_default();
            !text.contains(&format!("fn {test}("))
        })
        .map(|(file, test)| format!("{file}.rs::{test}"))
        .collect();
    assert!(missing.is_empty(), "SPECIFICATION.md names what is not there:\n{}", missing.join("\n"));
}

fn collect(directory: &Path, prefix: &str, sources: &mut Vec<Source>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), sources)?;
        } else if path.ends_with(".rs") {
            sources.push(Source { text: fs::read_to_string(entry.path())?, path });
        }
    }
    sources.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(())
}

/// A file by its path under `src`.
struct Source {
    path: String,
    text: String,
}

#[derive(Debug)]
struct Violation {
    path: String,
    line: usize,
    rule: String,
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "src/{}:{}: {}\n    remedy: {}", self.path, self.line, self.rule, self.remedy)
    }
}

fn check(sources: &[Source]) -> Vec<Violation> {
    let files: Vec<File<'_>> = sources.iter().map(File::read).collect();
    let mut violations: Vec<Violation> = files.iter().flat_map(File::violations).collect();
    violations.extend(missing_rooms(&files));
    violations.extend(missing_homes(&files));
    violations
}

fn missing_rooms(files: &[File<'_>]) -> impl Iterator<Item = Violation> {
    ROOMS.iter().filter(|(room, _)| !files.iter().any(|file| file.room == *room)).map(|(room, _)| Violation {
        path: (*room).to_owned(),
        line: 1,
        rule: format!("the room `{room}` is in the table but not in the tree"),
        remedy: "take it out of ROOMS in tests/architecture.rs".to_owned(),
    })
}

fn missing_homes(files: &[File<'_>]) -> impl Iterator<Item = Violation> {
    let at_home = |home: &str, name: &str| {
        files.iter().any(|file| file.path == home && file.paths.iter().any(|path| path.is_foreign(name)))
    };
    HOMES.iter().filter(move |(home, name)| !at_home(home, name)).map(|(home, name)| Violation {
        path: (*home).to_owned(),
        line: 1,
        rule: format!("`{name}` is not found in the one file that is to hold it"),
        remedy: "move it back, or change HOMES and GUARDS in tests/architecture.rs".to_owned(),
    })
}

/// A source that has been scanned.
struct File<'a> {
    path: &'a str,
    room: &'a str,
    text: &'a str,
    tokens: Vec<Token<'a>>,
    paths: Vec<NamedPath<'a>>,
}

impl<'a> File<'a> {
    fn read(source: &'a Source) -> Self {
        let path = source.path.as_str();
        let room = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
        let tokens = tokens::read(&source.text);
        let paths = paths::read(&tokens, path);
        Self { path, room, text: &source.text, tokens, paths }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = self.misplaced();
        found.extend(self.misplaced_words());
        found.extend(self.paths.iter().filter_map(|path| self.forbidden_use(path)));
        found.extend(self.paths.iter().filter_map(|path| self.guarded_use(path)));
        found.extend(self.bad_attributes());
        found
    }

    fn violation(&self, line: usize, rule: String, remedy: &str) -> Violation {
        Violation { path: self.path.to_owned(), line, rule, remedy: remedy.to_owned() }
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| *place == self.path || *place == self.room)
    }

    /// Rules on the file itself: known room, name, header, length.
    fn misplaced(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        if !ROOMS.iter().any(|(room, _)| *room == self.room) {
            let rule = format!("the room `{}` is not in the table", self.room);
            found.push(self.violation(1, rule, "say in ROOMS of tests/architecture.rs what it may use"));
        }
        if let Some(drawer) =
            self.path.split('/').find(|part| DRAWERS.contains(&part.trim_end_matches(".rs")))
        {
            let rule = format!("`{drawer}` is a drawer: its name says nothing of what is in it");
            found.push(self.violation(1, rule, "name it after what it does"));
        }
        if self.path.ends_with("/mod.rs") && !self.text.starts_with("//!") {
            let rule = "a mod.rs opens with `//!`".to_owned();
            found.push(self.violation(1, rule, "say what the room is for and one thing that it never does"));
        }
        let length = self.production_lines();
        if length > LONGEST_FILE {
            let rule = format!("{length} lines of production code, more than {LONGEST_FILE}");
            found.push(self.violation(LONGEST_FILE, rule, "split the file by what its parts do"));
        }
        found
    }

    fn misplaced_words(&self) -> impl Iterator<Item = Violation> {
        let (words, rule, remedy): (&[&str], _, _) = match self.room {
            "signature" => {
                (&["async", "await"], "signing is pure: nothing waits", "wait in the room that calls")
            }
            _ if self.path != GENERATED && self.tokens.iter().any(|token| token.text == "include") => {
                (&["include"], "a file of another place becomes part of this one", "use its room's names")
            }
            "lib" => (&["fn", "impl", "struct", "enum", "trait"], "lib.rs is the map", "put it into a room"),
            _ => (&[], "", ""),
        };
        let misplaced = self.tokens.iter().filter(|token| words.contains(&token.text));
        misplaced.map(move |token| self.violation(token.line, format!("`{}`: {rule}", token.text), remedy))
    }

    /// The lines before the test module, or all.
    fn production_lines(&self) -> usize {
        let test_module =
            attributes(&self.tokens).find(|it| it.names("cfg") && it.contains("test") && it.opens_module());
        test_module.map_or_else(|| self.text.lines().count(), |attribute| attribute.line - 1)
    }

    fn forbidden_use(&self, path: &NamedPath<'_>) -> Option<Violation> {
        let local = path.local.as_ref()?;
        let written = path.segments.join("::");
        if path.spans_rooms {
            let rule = format!("`{written}` is taken from a group, glob or alias over rooms");
            return Some(self.violation(path.line, rule, "write one `use crate::room::...` per line"));
        }
        let room = *local.first()?;
        let in_table = |(name, allowed): &(&str, &str)| {
            *name == self.room && allowed.split(' ').any(|allowed| allowed == room)
        };
        let setting = self.room == "config" && is_data(local);
        if room == self.room || setting || ROOMS.iter().any(in_table) {
            return None;
        }
        let rule = format!("`{}` may not use `{room}` (`{written}`)", self.room);
        Some(self.violation(path.line, rule, "hand data down as arguments, let errors climb as types"))
    }

    fn guarded_use(&self, path: &NamedPath<'_>) -> Option<Violation> {
        let broken = |guard: &&Guard| match guard.places {
            Places::Only(places) => !self.is_in(places),
            Places::Never(places) => self.is_in(places),
        };
        let named = |guard: &&Guard| guard.names.split(' ').any(|name| path.is_foreign(name));
        let guard = GUARDS.iter().filter(broken).find(named)?;
        let rule = format!("`{}` is not to be named here: {}", path.segments.join("::"), guard.reason);
        Some(self.violation(path.line, rule, guard.remedy))
    }

    fn bad_attributes(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for attribute in attributes(&self.tokens) {
            let clap = attribute.names("arg") || attribute.names("clap") || attribute.names("command");
            if clap && attribute.contains("env") && self.room != "config" {
                let rule = "one room reads the environment, clap's `env` too".to_owned();
                found.push(self.violation(attribute.line, rule, "declare the setting in config/"));
            }
            let opens = attribute.calls("allow") || attribute.calls("expect");
            if opens && !attribute.contains("reason") {
                let rule = "a lint is opened without a reason".to_owned();
                found.push(self.violation(attribute.line, rule, "add `reason = \"...\"`"));
            }
            if attribute.names("path") {
                let rule = "a file of another place under the name of this one".to_owned();
                found.push(self.violation(attribute.line, rule, "let the tree say what is where"));
            }
            if attribute.calls("allow") && self.path != GENERATED {
                let rule = "`allow` stays when it is no longer needed".to_owned();
                found.push(self.violation(attribute.line, rule, "use `expect`"));
            }
        }
        found
    }
}

/// Whether the path names a type or a constant of a room, and so no function and no whole module: `config`
/// fills in what the rooms are made with and has nothing done.
fn is_data(local: &[&str]) -> bool {
    let elsewhere = ["pb", "commands", "main", "lib", "sandbox", "rpc"];
    let in_a_room = local.first().is_some_and(|room| !elsewhere.contains(room));
    in_a_room && local.len() > 1 && local.last().is_some_and(|name| name.starts_with(char::is_uppercase))
}

/// The rules that one file of the given text breaks, each with its line.
fn complaints(path: &str, text: &str) -> Vec<String> {
    let source = Source { path: path.to_owned(), text: text.to_owned() };
    File::read(&source).violations().iter().map(|it| format!("{}: {}", it.line, it.rule)).collect()
}

fn assert_refused(cases: &[(&str, &str, &str)]) {
    for (path, text, expected) in cases {
        let complaints = complaints(path, text);
        assert!(complaints.len() == 1, "{path}: {text}: expected one violation, got {complaints:?}");
        assert!(complaints.iter().any(|rule| rule.contains(expected)), "{path}: {text}: got {complaints:?}");
    }
}

fn assert_accepted(cases: &[(&str, &str)]) {
    for (path, text) in cases {
        assert_eq!(complaints(path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_room_that_reaches_for_a_forbidden_one_is_refused() {
    assert_refused(&[
        ("oci/call.rs", "\nuse crate::rpc::status;", "2: `oci` may not use `rpc`"),
        ("oci/call.rs", "fn f(x: crate::rpc::Status) {}", "`oci` may not use `rpc`"),
        ("oci/call.rs", "use super::super::pb::VolumeBackup;", "`oci` may not use `pb`"),
        ("oci/call.rs", "mod tests { use super::super::super::rpc::x; }", "`oci` may not use `rpc`"),
        ("clock.rs", "use super::region::x;", "`clock` may not use `region`"),
        ("rpc/field.rs", "use crate::transport::error::Error;", "`rpc` may not use `transport`"),
        (
            "rpc/mod.rs",
            "//! x\n#[cfg(test)]\nmod tests { use crate::sandbox::x; }",
            "`rpc` may not use `sandbox`",
        ),
        ("sandbox/mod.rs", "//! x\nuse crate::signature::sign;", "`sandbox` may not use `signature`"),
        ("server/mod.rs", "//! x\nuse crate::sandbox::x;", "`server` may not use `sandbox`"),
        ("server/mod.rs", "//! x\nuse crate::commands::x;", "`server` may not use `commands`"),
        ("main.rs", "use oci_backup_gateway::oci::Client;", "`main` may not use `oci`"),
        ("config/flags.rs", "use crate::server::serve;", "`config` may not use `server`"),
        ("config/flags.rs", "use crate::oci;", "`config` may not use `oci`"),
        ("config/flags.rs", "use crate::pb::SomeConfig;", "`config` may not use `pb`"),
        ("oci/call.rs", "use crate::CONSTANT;", "`oci` may not use `CONSTANT`"),
    ]);
}

#[test]
fn a_path_that_hides_which_room_it_takes_is_refused() {
    let cases = [
        "use crate::{region::A, ocid::B};",
        "use crate::{self};",
        "use crate::*;",
        "use crate as root;",
        "use super::super::{region};",
        "use super::super::*;",
        "use oci_backup_gateway as root;",
    ];
    for text in cases {
        let complaints = complaints("oci/call.rs", text);
        assert!(!complaints.is_empty(), "{text}");
        assert!(
            complaints.iter().all(|rule| rule.contains("group, glob or alias")),
            "{text}: {complaints:?}"
        );
    }
}

#[test]
fn what_has_one_place_is_refused_elsewhere() {
    assert_refused(&[
        ("server/x.rs", "std::time::SystemTime::now()", "wall clock"),
        ("server/x.rs", "SystemTime::now()", "wall clock"),
        ("server/x.rs", "x.map_or_else(SystemTime::now, f)", "wall clock"),
        ("oci/x.rs", "let now = jiff::Timestamp::now();", "wall clock"),
        ("telemetry/x.rs", "EnvFilter::from_default_env()", "one room reads the environment"),
        ("server/x.rs", "use reqwest::Client;", "one file names reqwest"),
        ("transport/mod.rs", "//! x\nuse reqwest::Client;", "one file names reqwest"),
        ("server/x.rs", "use std::{env, fs};", "one room reads the environment"),
        ("main.rs", "let x = std::env::args();", "one room reads the environment"),
        ("commands/x.rs", "struct X { #[arg(long, env = \"X\")] x: u8 }", "clap's `env`"),
        ("oci/x.rs", "fn f() -> tonic::Status {}", "stop at rpc/"),
        ("region/x.rs", "use prost_types::Struct;", "stop at rpc/"),
        ("rpc/x.rs", "use anyhow::Context;", "a room's errors"),
        ("signature/x.rs", "use std::fs::File;", "signing is pure"),
        ("signature/x.rs", "async fn f() {}", "nothing waits"),
        ("lib.rs", "fn f() {}", "lib.rs is the map"),
    ]);
}

#[test]
fn files_and_attributes_out_of_order_are_refused() {
    let long = "x();\n".repeat(LONGEST_FILE + 1);
    let tests_elsewhere = format!("#[cfg(test)]\nmod tests;\n{long}");
    assert_refused(&[
        ("attic/mod.rs", "//! x", "the room `attic` is not in the table"),
        ("oci/util.rs", "", "`util.rs` is a drawer"),
        ("oci/helpers/call.rs", "", "`helpers` is a drawer"),
        ("oci/mod.rs", "// x", "opens with `//!`"),
        ("oci/call.rs", &long, "501 lines"),
        ("oci/call.rs", &tests_elsewhere, "503 lines"),
        ("oci/call.rs", "#[expect(dead_code)]\nfn f() {}", "without a reason"),
        ("oci/call.rs", "#![cfg_attr(test, expect(dead_code))]", "without a reason"),
        ("oci/call.rs", "#[allow(dead_code, reason = \"x\")]\nfn f() {}", "`allow` stays"),
        ("sandbox/x.rs", "#[path = \"../signature/mod.rs\"]\nmod signer;", "a file of another place"),
        ("sandbox/x.rs", "include!(\"../signature/key.rs\");", "a file of another place"),
        ("pb/mod.rs", "//! x\n#[allow(dead_code)]\nfn f() {}", "without a reason"),
        ("pb/codec.rs", "#[allow(dead_code, reason = \"x\")]\nfn f() {}", "`allow` stays"),
        ("pb/codec.rs", "include!(\"../signature/key.rs\");", "a file of another place"),
    ]);
}

#[test]
fn a_room_or_a_home_that_is_gone_is_missed() {
    let source = Source { path: "transport/reqwest.rs".to_owned(), text: "// reqwest::Client".to_owned() };
    let rules: Vec<String> = check(&[source]).into_iter().map(|violation| violation.rule).collect();
    let expected = ROOMS.len() - 1 + HOMES.len();
    assert_eq!(rules.len(), expected, "{rules:?}");
    assert!(rules.contains(&"the room `oci` is in the table but not in the tree".to_owned()));
    assert!(rules.iter().any(|rule| rule.starts_with("`reqwest` is not found")));
}

#[test]
fn code_that_keeps_the_rules_is_accepted() {
    let tested =
        format!("x();\n#[cfg(test)]\n#[expect(x, reason = \"y\")]\nmod tests {{\n{}}}", "x();\n".repeat(600));
    assert_accepted(&[
        ("clock.rs", "SystemTime::now()"),
        ("transport/reqwest.rs", "use reqwest::Client;"),
        (
            "transport/mod.rs",
            "//! x\nmod reqwest;\nuse crate::telemetry::metrics;\npub use self::reqwest::Upstream;",
        ),
        (
            "oci/call.rs",
            "use crate::region::{Realm, Region};\nuse super::error::Error;\npub(crate) fn f() {}",
        ),
        ("oci/call.rs", "// crate::rpc tonic::Status\nlet x = \"crate::rpc\"; /* std::env */"),
        ("oci/call.rs", &tested),
        ("rpc/status.rs", "use tonic::Status;\nuse crate::oci::Error;\nuse crate::pb::VolumeBackup;"),
        (
            "config/flags.rs",
            "use crate::server::Config;\nuse crate::transport::reqwest::Trust;\n#[arg(env = \"X\")]\nstd::env::var(\"X\");",
        ),
        ("server/mod.rs", "//! x\nenv!(\"CARGO_PKG_VERSION\"); tokio::time::Instant::now();"),
        ("commands/serve.rs", "use crate::sandbox::Sandbox;\nuse anyhow::Context;"),
        ("main.rs", "use oci_backup_gateway::commands;\nuse oci_backup_gateway::config;"),
        ("pb/mod.rs", "//! x\n#[allow(warnings, reason = \"generated\")]\nmod generated {}"),
    ]);
}
