//! What can be wrong with a configured credential, a line each.

use std::io;
use std::sync::Arc;

use super::Error;
use super::JwtError;
use super::PemError;
use crate::ocid::ParseOcidError;
use crate::region::ParseRegionError;

/// What is wrong with a configured credential, and where: one line that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    place: String,
    problem: Problem,
}

impl ConfigError {
    pub(super) fn new(place: impl Into<String>, problem: impl Into<Problem>) -> Self {
        Self { place: place.into(), problem: problem.into() }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        if matches!(error.problem, Problem::NotConfigured { .. }) {
            Self::NotConfigured(Arc::new(error))
        } else if matches!(error.problem, Problem::Hangs { .. }) {
            // Nobody has to change a setting before that goes away.
            Self::Unavailable(Arc::new(error))
        } else {
            Self::InvalidConfiguration(Arc::new(error))
        }
    }
}

/// What is wrong. Each line reads on from the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Neither a file nor variables.
    #[error(
        "does not exist; make it with `oci setup config`, name another with --config-file, or set {}",
        missing.join(", ")
    )]
    NotConfigured {
        /// The variables that would make the file unnecessary.
        missing: Vec<&'static str>,
    },
    /// A file that was named is not there.
    #[error("does not exist; correct the path")]
    Absent,
    /// A directory in a file's place.
    #[error("is a directory, a file was expected")]
    Directory,
    /// A pipe or a socket, whose reader might wait for ever, and cannot read twice.
    #[error("is a pipe or a socket, a file was expected")]
    Stream,
    /// A file of somebody else.
    #[error("may not be read by the user that this process runs as; change its owner or its mode")]
    Denied,
    /// A read without an end, as from a mount whose server is gone.
    #[error("has not been read to its end after {seconds} s; does the file system that it is on answer?")]
    Hangs {
        /// How long that was waited for.
        seconds: u64,
    },
    /// Any other failure to read.
    #[error("cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// Bytes that are no text.
    #[error("is not a text in UTF-8; save it as one")]
    NotText,
    /// A text that is no configuration file.
    #[error("is not a configuration file: {reason}")]
    Syntax {
        /// As the library that reads it says.
        reason: String,
    },
    /// A value for no profile.
    #[error("has a line before the first profile; put a line such as [DEFAULT] above it")]
    Outside,
    /// Two values for one key.
    #[error("line {line} gives {key} of profile {profile} a second time; keep one of them")]
    Twice {
        /// The second one's line.
        line: usize,
        /// The key.
        key: String,
        /// Its profile.
        profile: String,
    },
    /// A profile that is not in the file.
    #[error("is not in the file, which has {}", listed(known))]
    NoProfile {
        /// Those that are.
        known: Vec<String>,
    },
    /// A value that stands nowhere.
    #[error("has no {key}; add it or set {variable}")]
    Missing {
        /// What it is called in the file.
        key: &'static str,
        /// And in the environment.
        variable: &'static str,
    },
    /// A value that is empty.
    #[error("is empty; give it a value or take it away")]
    Empty,
    /// An identifier that is none.
    #[error("{0}")]
    NoOcid(ParseOcidError),
    /// An identifier of something else.
    #[error("is the OCID of a {found}, that of a {expected} was expected")]
    OtherOcid {
        /// What it identifies.
        found: String,
        /// What it should.
        expected: &'static str,
    },
    /// A region that is none.
    #[error("{0}")]
    NoRegion(ParseRegionError),
    /// A fingerprint that is none.
    #[error("is no fingerprint; 16 pairs of hexadecimal digits with colons between them were expected")]
    NoFingerprint,
    /// A fingerprint of another key.
    #[error("is {given}, but the key in {key} has {own}; correct the one that is wrong")]
    OtherKey {
        /// The configured fingerprint.
        given: String,
        /// The fingerprint of the key that was loaded.
        own: String,
        /// Where that key stands.
        key: String,
    },
    /// A path in a home directory that nobody knows.
    #[error("begins with ~ and there is no home directory; write the path in full")]
    NoHome,
    /// A key inside of the configuration file, which the Python SDK refuses too.
    #[error("has no place in a file; put the key into a file of its own and name that in key_file")]
    KeyContent,
    /// A key in the place of its file's name; it must not be repeated as one.
    #[error("holds a key, the name of its file was expected; a key itself goes into OCI_CLI_KEY_CONTENT")]
    KeyForPath,
    /// A profile for another way to sign in.
    #[error("asks to sign in by {kind}; {remedy}, or use a profile with an API key")]
    OtherSignIn {
        /// How, in OCI's words.
        kind: String,
        /// How to have that.
        remedy: &'static str,
    },
    /// A file that is far too long.
    #[error("is longer than 1 MiB: that is no credential; correct the path")]
    TooLong,
    /// A variable that has to be set.
    #[error("is not set; {remedy}")]
    NotSet {
        /// Who sets it, and what to do.
        remedy: &'static str,
    },
    /// A version of resource principals that is not spoken here.
    #[error("is {given:?}; this gateway signs in as a resource principal of version 2.2 only")]
    Version {
        /// As it was given.
        given: String,
    },
    /// A path that is taken for the value itself.
    #[error(
        "looks like a path that does not begin with `/`, and is taken as the value itself; write the path in full"
    )]
    Relative,
    /// A file without certificates.
    #[error("holds no certificates in PEM; those of the cluster were expected")]
    NoCertificates,
    /// No token, or none that can be used.
    #[error("{error}; {remedy}")]
    Token {
        /// What is wrong with it.
        error: JwtError,
        /// Where another comes from.
        remedy: &'static str,
    },
    /// A key that goes with another token.
    #[error("is a token for another key than that in {key}; both are replaced together: {remedy}")]
    OtherToken {
        /// Where the key stands.
        key: String,
        /// Where another token comes from.
        remedy: &'static str,
    },
    /// An encrypted key that the passphrase does not open, or that has none.
    #[error("is encrypted, and {variable} does not open it; correct that variable")]
    Locked {
        /// The variable.
        variable: &'static str,
    },
    /// No private key, or none that can be used.
    #[error("{0}")]
    Key(PemError),
}

/// Where lines of a file have run together, what looks like a profile's name may hold a passphrase: it is not told.
fn listed(profiles: &[String]) -> String {
    const MOST: usize = 8;
    const LONGEST: usize = 64;
    let is_name = |name: &&String| {
        let bare = name.trim_matches(['[', ']']);
        bare.len() <= LONGEST && !bare.contains(|letter: char| letter.is_control() || "=[]".contains(letter))
    };
    let mut names: Vec<&str> = profiles.iter().filter(is_name).take(MOST).map(String::as_str).collect();
    match profiles.len() - names.len() {
        0 => {}
        more if names.is_empty() && more == 1 => return "a line that is no section header".to_owned(),
        _ => names.push("and others"),
    }
    if names.is_empty() { "no profile".to_owned() } else { names.join(", ") }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Absent,
            io::ErrorKind::IsADirectory => Self::Directory,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::FileTooLarge => Self::TooLong,
            io::ErrorKind::NotSeekable => Self::Stream,
            other => Self::Unreadable(other),
        }
    }
}

impl From<ParseOcidError> for Problem {
    fn from(error: ParseOcidError) -> Self {
        Self::NoOcid(error)
    }
}

impl From<ParseRegionError> for Problem {
    fn from(error: ParseRegionError) -> Self {
        Self::NoRegion(error)
    }
}

impl From<PemError> for Problem {
    fn from(error: PemError) -> Self {
        Self::Key(error)
    }
}
