//! The OCI configuration file: one profile of it, with what it inherits.
//!
//! Read as the Python SDK does (`oci/config.py:85-120`), whose rules contain those of the others: `=` or `:`
//! parts key and value, keys count in any case, a line that begins with `#` or `;` is a comment, a value is
//! taken as it is, and a profile inherits from `DEFAULT`. Like there, a key that is given twice in a profile
//! is an error: which of two users was meant is nobody's to guess.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use configparser::ini::Ini;
use configparser::ini::IniDefault;
use zeroize::Zeroizing;

use super::ConfigError;
use super::Problem;
use super::files::read_text;
use crate::files::Files;

/// The profile that every other inherits from.
const DEFAULT: &str = "DEFAULT";

/// A setting's value, and how it was given, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// How it was given.
    pub origin: Origin,
}

/// How a setting was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By this flag or environment variable.
    Named(&'static str),
    /// Not at all.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "from {name}"),
            Self::Default => f.write_str("the default"),
        }
    }
}

/// The keys that mean something here. The SDKs' other keys are known and unused: `log_requests`,
/// `additional_user_agent`, and `delegation_token_file`, which goes with an `authentication_type`.
const KEYS: [&str; 13] = [
    "user",
    "tenancy",
    "fingerprint",
    "key_file",
    "key_content",
    "pass_phrase",
    "passphrase",
    "region",
    "security_token_file",
    "authentication_type",
    "delegation_token_file",
    "log_requests",
    "additional_user_agent",
];

/// A value of the profile and where it stands, for messages.
pub(super) struct Entry {
    pub(super) text: Zeroizing<String>,
    pub(super) place: String,
}

/// One profile with what it inherits from `DEFAULT`.
pub(super) struct Profile {
    pub(super) place: String,
    pub(super) entries: BTreeMap<&'static str, Entry>,
    /// Those of the keys that it does not inherit.
    pub(super) own: BTreeSet<&'static str>,
    pub(super) warnings: Vec<String>,
}

impl Profile {
    /// For who needs no file.
    pub(super) fn none() -> Self {
        let (entries, own) = (BTreeMap::new(), BTreeSet::new());
        Self { place: "the environment".to_owned(), entries, own, warnings: Vec::new() }
    }

    /// Reads a profile of the file at `path`, which was given by `origin`.
    pub(super) fn read(
        files: &Files,
        path: &Path,
        origin: Origin,
        name: &Setting<String>,
    ) -> Result<Self, ConfigError> {
        let file = format!("{} ({origin})", path.display());
        let text = read_text(files, path).map_err(|problem| ConfigError::new(&file, problem))?;
        let mut profiles = parse(&text).map_err(|problem| ConfigError::new(&file, problem))?;
        let Some(own) = profiles.remove(&name.value) else {
            let place = format!("{file}, profile {} ({})", name.value, name.origin);
            let known = profiles.into_keys().map(|name| format!("[{name}]")).collect::<BTreeSet<_>>();
            return Err(ConfigError::new(&place, Problem::NoProfile { known: known.into_iter().collect() }));
        };
        let place = |profile: &str| format!("{file}, profile {profile}");
        let mut profile = Self { place: place(&name.value), ..Self::none() };
        profile.add(&place(DEFAULT), profiles.remove(DEFAULT).unwrap_or_default());
        profile.own = profile.add(&place(&name.value), own);
        Ok(profile)
    }

    /// Later values take the place of earlier ones. Answers which keys these are.
    fn add(&mut self, place: &str, values: Values) -> BTreeSet<&'static str> {
        let mut added = BTreeSet::new();
        // The library's map has another order in each process.
        for (name, value) in values.into_iter().collect::<BTreeMap<_, _>>() {
            let known = KEYS.into_iter().find(|key| key.eq_ignore_ascii_case(&name));
            match (known, value) {
                (Some(key), value) => {
                    let text = Zeroizing::new(value.unwrap_or_default());
                    self.entries.insert(key, Entry { text, place: format!("{place}, {key}") });
                    added.insert(key);
                }
                (None, Some(_)) => {
                    self.warnings.push(format!("{place}, {}: is no known key and is ignored", shown(&name)));
                }
                (None, None) => {
                    self.warnings.push(format!("{place}: has a line without `=`, which is ignored"));
                }
            }
        }
        added
    }
}

type Values = HashMap<String, Option<String>>;

fn parse(text: &str) -> Result<HashMap<String, Values>, Problem> {
    let text = text.trim_start_matches('\u{feff}');
    refuse_twice(text)?;
    let mut ini = Ini::new_from_defaults(reader());
    ini.read(text.to_owned()).map_err(|reason| Problem::Syntax { reason })?;
    let mut profiles = std::mem::take(ini.get_mut_map());
    match profiles.remove(OUTSIDE) {
        Some(_) => Err(Problem::Outside),
        None => Ok(profiles),
    }
}

/// Where the library puts what stands before the first profile.
const OUTSIDE: &str = "";

fn reader() -> IniDefault {
    let mut reader = IniDefault::default();
    reader.default_section = OUTSIDE.to_owned();
    reader.comment_symbols = vec!['#', ';'];
    reader.delimiters = vec!['=', ':'];
    // Profiles are told apart by case, keys are not: those are compared where they are taken.
    reader.case_sensitive = true;
    reader.multiline = false;
    reader.enable_inline_comments = false;
    reader
}

/// The library keeps the last of two values. A profile may stand in two places as long as no key does.
fn refuse_twice(text: &str) -> Result<(), Problem> {
    let mut seen = HashSet::new();
    let mut profile = "";
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[') {
            profile = header.rsplit_once(']').map_or(header, |(name, _)| name).trim();
        } else if let Some((key, _)) = line.split_once(['=', ':'])
            && !seen.insert((profile, key.trim().to_ascii_lowercase()))
        {
            return Err(Problem::Twice { line: number, key: shown(key.trim()), profile: profile.to_owned() });
        }
    }
    Ok(())
}

/// A key as messages name it. What does not look like one may be part of a secret that went astray.
fn shown(key: &str) -> String {
    let looks_like_a_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match key.len() <= 32 && key.chars().all(looks_like_a_key) {
        true => key.to_owned(),
        false => "a key that is not shown here".to_owned(),
    }
}
