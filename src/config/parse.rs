//! From the command line and the variables beside it to settings, or to one line that says what is wrong.

use super::Cli;
use super::Given;
use super::Problem;
use super::environment;
use clap::Arg;
use clap::Command;
use clap::CommandFactory;
use clap::FromArgMatches;
use clap::error::ContextKind;
use clap::error::ContextValue;
use clap::error::ErrorKind;
use std::error::Error as _;
use std::ffi::OsString;

/// Why there are no settings.
#[derive(Debug)]
pub enum Unparsed {
    /// A text was asked for: `--help`, `--version`.
    Text(clap::Error),
    /// A mistake.
    Mistake(Problem),
}

/// Reads the command line and the variables beside it.
pub fn parse() -> Result<Cli, Unparsed> {
    let arguments = environment::arguments();
    let command = command();
    let given = Given::read(&arguments, &command);
    let parsed = command.clone().try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => Ok(Cli { given, ..cli }),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Err(Unparsed::Text(error)),
            _ => Err(Unparsed::Mistake(Mistake { error, given, command, arguments }.told())),
        },
    }
}

/// The flags, where a variable that is empty counts as not set: a container's manifest cannot take one away.
fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        command.mut_args(|argument| match argument.get_env().is_some_and(environment::is_empty) {
            true => argument.env(None::<&str>),
            // Values would make the help differ from machine to machine, and a proxy's URL may hold a password.
            false => argument.hide_env_values(true),
        })
    })
}

/// clap's error, and what tells where the value came from.
struct Mistake {
    error: clap::Error,
    given: Given,
    command: Command,
    arguments: Vec<OsString>,
}

impl Mistake {
    fn told(&self) -> Problem {
        match self.error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
                Problem("no command is given; `oci-backup-gateway --help` lists them".to_owned())
            }
            ErrorKind::InvalidSubcommand => Problem::with(
                &format!("{:?}", self.text(ContextKind::InvalidSubcommand)),
                "is no command; `oci-backup-gateway --help` lists them",
            ),
            ErrorKind::UnknownArgument => {
                let nearest = self.text(ContextKind::SuggestedArg);
                let nearest = if nearest.is_empty() { nearest } else { format!("did you mean {nearest}? ") };
                let rest = format!("is not known here; {nearest}`--help` lists what is");
                Problem::with(&self.text(ContextKind::InvalidArg).escape_debug().to_string(), rest)
            }
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => self.bad_value(),
            ErrorKind::InvalidUtf8 => Problem::with(&self.not_text(), "its value is not UTF-8"),
            _ => Problem(self.squeezed()),
        }
    }

    fn bad_value(&self) -> Problem {
        let shown = self.text(ContextKind::InvalidArg);
        let name = self.argument(&shown).map_or(shown.clone(), |argument| self.name(argument));
        let value = self.text(ContextKind::InvalidValue);
        let valid = self.text(ContextKind::ValidValue);
        let expected = match (self.error.source(), valid.is_empty()) {
            (Some(reason), _) => reason.to_string(),
            (None, false) => format!("{valid} is expected"),
            (None, true) => "a value is expected".to_owned(),
        };
        match value.as_str() {
            "" => Problem::with(&name, format_args!("is empty; {expected}")),
            // A URL with a password in it, or a key in the wrong place.
            value if value.contains('@') || value.contains("PRIVATE KEY") => Problem::with(&name, expected),
            value => Problem::with(&name, format_args!("{value:?}: {expected}")),
        }
    }

    /// The flag whose value is no text; clap does not say which.
    fn not_text(&self) -> String {
        let words = self.arguments.iter().zip(self.arguments.iter().skip(1));
        let mut broken = words.filter(|(_, word)| word.to_str().is_none()).map(|(before, word)| {
            let (before, word) = (before.to_string_lossy(), word.to_string_lossy());
            match word.split_once('=') {
                Some((flag, _)) if flag.starts_with("--") => flag.to_owned(),
                _ if before.starts_with("--") => before.into_owned(),
                _ => format!("{word:?}"),
            }
        });
        let variables = || {
            let variables = self.arguments_of_commands().filter_map(Arg::get_env);
            variables.filter_map(|name| name.to_str()).find(|name| environment::is_not_text(name))
        };
        broken
            .next()
            .or_else(|| variables().map(str::to_owned))
            .unwrap_or_else(|| "the command line".to_owned())
    }

    fn arguments_of_commands(&self) -> impl Iterator<Item = &Arg> {
        self.command.get_subcommands().flat_map(Command::get_arguments)
    }

    /// The flag that clap shows as `--flag <VALUE>`.
    fn argument(&self, shown: &str) -> Option<&Arg> {
        let flag = shown.split(' ').next()?.trim_start_matches("--");
        self.arguments_of_commands().find(|argument| argument.get_long() == Some(flag))
    }

    fn name(&self, argument: &Arg) -> String {
        let flag = format!("--{}", argument.get_long().unwrap_or_default());
        let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or(&flag);
        self.given.name(&flag, variable).to_owned()
    }

    fn text(&self, kind: ContextKind) -> String {
        match self.error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(texts)) => texts.join(" or "),
            _ => String::new(),
        }
    }

    /// clap's own words on one line, without its usage.
    fn squeezed(&self) -> String {
        let text = self.error.to_string();
        let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage"));
        let lines = lines.filter(|line| !line.is_empty()).map(|line| line.trim_start_matches("error: "));
        lines.collect::<Vec<_>>().join(" ")
    }
}
