//! By which name a setting was given: an error names what the operator has to change.

use super::environment;
use clap::Arg;
use clap::Command;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// The settings that have their value from their variable, by their flags.
#[derive(Debug, Clone, Default)]
pub struct Given(BTreeSet<String>);

impl Given {
    /// A flag beats its variable, so a variable counts where its flag is not on the command line.
    pub(super) fn read(arguments: &[OsString], command: &Command) -> Self {
        let by_flag =
            |flag: &str| arguments.iter().filter_map(|word| word.to_str()).any(|word| names(word, flag));
        let by_variable = |argument: &&Arg| argument.get_env().is_some_and(environment::is_set);
        let flags = command.get_subcommands().flat_map(Command::get_arguments).filter(by_variable);
        let flags = flags.filter_map(Arg::get_long).filter(|flag| !by_flag(flag));
        Self(flags.map(str::to_owned).collect())
    }

    /// The one of its two names by which a setting was given; the flag, when it was not.
    #[must_use]
    pub fn name<'a>(&self, flag: &'a str, variable: &'a str) -> &'a str {
        if self.0.contains(flag.trim_start_matches('-')) { variable } else { flag }
    }
}

/// Whether a word of the command line is this flag, with or without its value.
fn names(word: &str, flag: &str) -> bool {
    let rest = word.strip_prefix("--").and_then(|word| word.strip_prefix(flag));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}
