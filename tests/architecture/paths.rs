//! Which paths the code names, and where in this crate they lead.

use super::tokens::Token;

/// A path as it stands in the code, groups expanded.
#[derive(Clone, Debug)]
pub(super) struct NamedPath<'a> {
    pub(super) segments: Vec<&'a str>,
    pub(super) line: usize,
    /// From the crate's root, when the path leads into this crate.
    pub(super) local: Option<Vec<&'a str>>,
    /// A group, a glob or an alias is opened at the crate's root.
    pub(super) spans_rooms: bool,
    /// It stands alone in a `use`, or under another name.
    is_import: bool,
}

impl NamedPath<'_> {
    /// Whether the path leads out of this crate and through `name`: from its start, or, for the function of
    /// a type, at its end.
    pub(super) fn is_foreign(&self, name: &str) -> bool {
        let name: Vec<&str> = name.split("::").collect();
        let is_type = name.iter().any(|segment| segment.starts_with(char::is_uppercase));
        let through = self.segments.starts_with(&name) || (is_type && self.segments.ends_with(&name));
        // A word alone is a variable, unless it is imported.
        let alone = self.segments.len() == 1 && !self.is_import;
        self.local.is_none() && through && !alone
    }
}

/// Every path in the tokens of a file.
pub(super) fn read<'a>(tokens: &[Token<'a>], file: &'a str) -> Vec<NamedPath<'a>> {
    let mut found = Vec::new();
    let mut scope = module_of(file);
    let mut depths = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let text_at = |index: usize| tokens.get(index).map_or("", |token| token.text);
        match token.text {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if depths.last() == Some(&depth) {
                    depths.pop();
                    scope.pop();
                }
            }
            "mod" if text_at(at + 2) == "{" => {
                depths.push(depth);
                scope.push(text_at(at + 1));
            }
            word if token.is_identifier() && !KEYWORDS.contains(&word) && starts_path(tokens, at) => {
                let mut reader = PathReader { tokens, scope: &scope, found: &mut found };
                at = reader.read(at, &[], false);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// What may stand before a path that begins with `::`, and is no part of it.
const KEYWORDS: &[&str] = &[
    "use", "as", "in", "dyn", "impl", "mut", "return", "break", "match", "if", "else", "while", "move",
    "where", "for",
];

fn starts_path(tokens: &[Token<'_>], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|index| tokens.get(index));
    match before(1).map(|token| token.text) {
        Some("." | "mod") => false,
        // `::std` starts one, also after a keyword; `a::std` and `<T>::std` go on with one.
        Some("::") => before(2).is_none_or(|token| {
            KEYWORDS.contains(&token.text) || (!token.is_identifier() && token.text != ">")
        }),
        _ => true,
    }
}

struct PathReader<'t, 'a> {
    tokens: &'t [Token<'a>],
    scope: &'t [&'a str],
    found: &'t mut Vec<NamedPath<'a>>,
}

impl<'a> PathReader<'_, 'a> {
    /// Reads one path, or the branches of its group, and returns where it ends.
    fn read(&mut self, start: usize, prefix: &[&'a str], spans: bool) -> usize {
        let mut segments = prefix.to_vec();
        let mut at = start;
        let line = self.tokens.get(start).map_or(0, |token| token.line);
        loop {
            match self.text(at) {
                "{" => return self.read_group(at + 1, &segments, spans || self.is_root(&segments)),
                "*" => segments.push("*"),
                name => segments.push(name),
            }
            at += 1;
            let goes_on =
                self.tokens.get(at + 1).is_some_and(|t| t.is_identifier() || ["{", "*"].contains(&t.text));
            if self.text(at) != "::" || !goes_on {
                break;
            }
            at += 1;
        }
        let last = segments.pop_if(|last| *last == "*" || (*last == "self" && !prefix.is_empty()));
        let opened = last == Some("*") || self.text(at) == "as";
        let spans_rooms = spans || (opened && self.is_root(&segments));
        let before = start.checked_sub(1).map_or("", |before| self.text(before));
        let is_import = self.text(at) == "as" || ["use", "crate", "::"].contains(&before);
        let local = resolve(&segments, self.scope);
        self.found.push(NamedPath { segments, line, local, spans_rooms, is_import });
        at
    }

    fn read_group(&mut self, start: usize, prefix: &[&'a str], spans: bool) -> usize {
        let mut at = start;
        while at < self.tokens.len() && self.text(at) != "}" {
            at = match self.text(at) {
                "," => at + 1,
                _ => self.read(at, prefix, spans),
            };
            // The new name of an `as` is no path.
            at += if self.text(at) == "as" { 2 } else { 0 };
        }
        at + 1
    }

    fn is_root(&self, segments: &[&'a str]) -> bool {
        resolve(segments, self.scope).is_some_and(|local| local.is_empty())
    }

    fn text(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }
}

fn module_of(path: &str) -> Vec<&str> {
    let mut module: Vec<&str> = path.trim_end_matches(".rs").split('/').collect();
    if matches!(module.last(), Some(&("mod" | "lib" | "main"))) {
        module.pop();
    }
    module
}

/// The path from the crate's root, or nothing when it leads elsewhere.
fn resolve<'a>(segments: &[&'a str], scope: &[&'a str]) -> Option<Vec<&'a str>> {
    let (first, mut rest) = segments.split_first()?;
    let mut local = match *first {
        "crate" | "oci_backup_gateway" => Vec::new(),
        "self" => scope.to_vec(),
        "super" => scope.split_last()?.1.to_vec(),
        _ => return None,
    };
    while let Some((&"super", tail)) = rest.split_first() {
        local.pop()?;
        rest = tail;
    }
    local.extend(rest);
    Some(local)
}

#[test]
fn groups_are_expanded_and_super_is_resolved() {
    let cases: [(&str, &str, &[&str]); 9] = [
        (
            "oci/call.rs",
            "use crate::region::{A, b::{self, C as D}, *};",
            &["region::A", "region::b", "region::b::C", "region"],
        ),
        ("oci/call.rs", "super::super::rpc::x()", &["rpc::x"]),
        ("oci/mod.rs", "super::rpc::x()", &["rpc::x"]),
        ("oci.rs", "super::rpc::x()", &["rpc::x"]),
        ("oci/call.rs", "mod tests { use super::super::rpc; } use super::rpc;", &["oci::rpc", "oci::rpc"]),
        ("oci/call.rs", "mod a { fn f() { {} } } use super::rpc;", &["oci::rpc"]),
        ("oci/call.rs", "mod a {} use self::super::super::rpc;", &["rpc"]),
        ("main.rs", "oci_backup_gateway::commands::run()", &["commands::run"]),
        ("oci/call.rs", "$crate::rpc::x!()", &["rpc::x"]),
    ];
    for (file, text, expected) in cases {
        let tokens = super::tokens::read(text);
        let found: Vec<String> = read(&tokens, file)
            .into_iter()
            .filter_map(|path| path.local)
            .map(|path| path.join("::"))
            .collect();
        assert_eq!(found, expected, "{file}: {text}");
    }
}

#[test]
fn only_a_path_from_its_start_names_a_crate() {
    let names = |text| {
        let tokens = super::tokens::read(text);
        read(&tokens, "transport/mod.rs").iter().any(|path| path.is_foreign("reqwest"))
    };
    let naming = [
        "use reqwest;",
        "use reqwest::Client;",
        "extern crate reqwest;",
        "use reqwest as http;",
        "use ::reqwest as upstream;",
        "use ::reqwest;",
        "use {bytes::Bytes, reqwest::Client};",
        "fn f(client: ::reqwest::Client) {}",
        "fn f() -> Vec<reqwest::Client> {}",
    ];
    let innocent = [
        "mod reqwest;",
        "self::reqwest::Client::new()",
        "crate::transport::reqwest::Client",
        "client.reqwest()",
        "let reqwest = 1;",
        "// reqwest::Client",
        "x(\"reqwest::Client\")",
    ];
    assert_eq!(naming.map(names), naming.map(|_| true));
    assert_eq!(innocent.map(names), innocent.map(|_| false));
}
