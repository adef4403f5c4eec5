//! Usage errors: what was typed that cannot be understood, without repeating what may be private.

use std::io::{self, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use super::{Cli, Command};
use crate::privacy::may_be_private;
use crate::terminal;

impl Cli {
    /// Reads the arguments of the process, or ends it: with 0 after `--help` and `--version`, with 2 after a usage error.
    pub fn parse_or_exit() -> Command {
        let typed: Vec<String> =
            std::env::args_os().skip(1).map(|typed| typed.to_string_lossy().into_owned()).collect();
        match Self::try_parse().and_then(|cli| one_each(&typed).map(|()| cli)) {
            Ok(cli) => cli.into_command(),
            Err(error) => {
                let error = with_example(error, &typed);
                let code = exit_code(&error);
                let error = silent(error, &typed);
                let failed = error.print().err().filter(|_| !error.use_stderr());
                if let Some(why) = failed.as_ref().and_then(terminal::output_failure) {
                    let _ = writeln!(io::stderr(), "blooio-exporter: {why}");
                    std::process::exit(1);
                }
                std::process::exit(code)
            }
        }
    }
}

/// An example where something is missing that cannot be guessed.
fn with_example(error: clap::Error, typed: &[String]) -> clap::Error {
    const EXAMPLES: [(&str, &str); 2] = [
        (
            "inspect",
            "names no chat; write `blooio-exporter inspect +14155550123` for the chat with this contact, or \
             `blooio-exporter inspect --line sales` for the newest chats of one of your lines",
        ),
        (
            "plan",
            "lacks a number; write `blooio-exporter plan --chats 200 --messages-per-second 0.5` with the chats and the \
             messages, in and out, of your account",
        ),
    ];
    let example = EXAMPLES.iter().find(|(name, _)| typed.first().is_some_and(|first| first == name));
    match (error.kind(), example) {
        (ErrorKind::MissingRequiredArgument, Some((name, example))) => {
            let mut root = Cli::command();
            root.build();
            let command = root.find_subcommand_mut(name);
            command.map_or(error, |command| {
                command.error(ErrorKind::MissingRequiredArgument, format!("{name} {example}"))
            })
        }
        _ => error,
    }
}

/// A value that is not accepted ends the program as it does where the configuration finds it: with 1. 2 is left for what
/// cannot be parsed: unknown or missing arguments.
fn exit_code(error: &clap::Error) -> i32 {
    let is_given = |value: &ContextValue| matches!(value, ContextValue::String(text) if !text.is_empty());
    let is_value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue)
        && error.get(ContextKind::InvalidValue).is_some_and(is_given);
    if is_value { 1 } else { error.exit_code() }
}

/// Rejects an argument that holds a second one, as a forgotten quote in a script makes it: whatever stands there would be
/// taken for a part of a path, and shown as one.
fn one_each(typed: &[String]) -> Result<(), clap::Error> {
    let holds_two =
        |argument: &&String| argument.split_whitespace().skip(1).any(|word| word.starts_with("--"));
    match typed.iter().find(holds_two) {
        Some(_) => Err(Cli::command().error(
            ErrorKind::UnknownArgument,
            "an argument holds a second one behind a space; put them into quotes of their own",
        )),
        None => Ok(()),
    }
}

/// The error, without what was typed where a part of that may be private, or acts on a terminal: errors end up in logs.
fn silent(error: clap::Error, typed: &[String]) -> clap::Error {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error;
    }
    let said = error.to_string();
    if !typed.iter().flat_map(|argument| parts(argument)).any(|part| said.contains(part) && is_secret(part)) {
        return error;
    }
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) if is_ours(text) => Some(text),
        _ => None,
    };
    let what = match (error.kind(), argument) {
        (_, Some(argument)) => format!("a value cannot be used for '{argument}'"),
        (ErrorKind::InvalidSubcommand, None) => "there is no such command".to_owned(),
        _ => "there is no such argument".to_owned(),
    };
    let kind = error.kind();
    Cli::command().error(kind, format!("{what}; it is not repeated here, because it may be private"))
}

/// An argument, and what stands around its spaces and signs of equality.
fn parts(argument: &str) -> impl Iterator<Item = &str> {
    let parts = argument.split([' ', '=']).map(|part| part.trim_start_matches('-'));
    std::iter::once(argument).chain(parts).filter(|part| !part.is_empty())
}

/// Whether a text that was typed may be private, or acts on a terminal.
fn is_secret(text: &str) -> bool {
    terminal::printable(text) != text || may_be_private(text.trim_start_matches('-'))
}

/// Whether it is one of our own arguments, as in `--log.level <LEVEL>`.
fn is_ours(text: &str) -> bool {
    let (name, rest) = text.split_at(text.find(['[', ' ', '=', '<']).unwrap_or(text.len()));
    let is_rest = rest.bytes().all(|b| b.is_ascii_uppercase() || b"<>[]=_. ".contains(&b));
    let root = Cli::command();
    let mut commands = std::iter::once(&root).chain(root.get_subcommands());
    let is_known = |long| commands.any(|command| command.get_arguments().any(|a| a.get_long() == Some(long)));
    is_rest && (name.is_empty() || name.strip_prefix("--").is_some_and(is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_shown_by_an_example() {
        for (arguments, example) in [
            (&["inspect"][..], "blooio-exporter inspect --line sales"),
            (&["inspect", "--json"], "blooio-exporter inspect +14155550123"),
            (&["plan", "--chats", "1"], "blooio-exporter plan --chats 200 --messages-per-second 0.5"),
        ] {
            let typed: Vec<String> = arguments.iter().map(|typed| (*typed).to_owned()).collect();
            let error = Cli::try_parse_from([&["blooio-exporter"], arguments].concat()).unwrap_err();
            let error = with_example(error, &typed);
            let said = error.to_string();
            assert!(said.contains(example) && said.contains("Usage: blooio-exporter "), "{said}");
            assert_eq!(exit_code(&error), 2);
        }
    }

    fn said(arguments: &[&str]) -> String {
        let typed: Vec<String> = arguments.iter().map(|typed| (*typed).to_owned()).collect();
        silent(Cli::try_parse_from([&["blooio-exporter"], arguments].concat()).unwrap_err(), &typed)
            .to_string()
    }

    #[test]
    fn what_may_be_private_is_not_repeated_and_the_rest_is() {
        const KEY: &str = "bl_live_4f9AkQ0sZ7";
        for arguments in [
            &["--log.level", KEY][..],
            &["--log.format", KEY],
            &[KEY],
            &["--bl_live_4f9AkQ0sZ7"],
            &["--log.level=bl_live_4f9AkQ0sZ7"],
            &["--bl_live_4f9AkQ0sZ7=x"],
            &["-bl_live_4f9AkQ0sZ7"],
            &["healthcheck", KEY],
            &["healthcheck", "--healthcheck.timeout", KEY],
            &["plan", "--chats", KEY],
            &["plan", "--chats", "+14155550123", "--messages-per-second", "1"],
            &["demo", KEY],
            &["demo", "--simulator.seed", KEY],
            &["simulate", "--simulator.pace", KEY],
            &["inspect", "a", "b", KEY],
            &["inspect", "a", "--accounts", KEY],
            &["--log.level bl_live_4f9AkQ0sZ7"],
            &["-- bl_live_4f9AkQ0sZ7"],
            &["--log.levle bl_live_4f9AkQ0sZ7"],
            &["--log.levle=bl_live_4f9AkQ0sZ7"],
            &["-x bl_live_4f9AkQ0sZ7"],
            &["-k=bl_live_4f9AkQ0sZ7"],
            &["--help=bl_live_4f9AkQ0sZ7"],
            &["--version=bl_live_4f9AkQ0sZ7"],
            &["help", "--flag=bl_live_4f9AkQ0sZ7"],
            &["help", "-k=bl_live_4f9AkQ0sZ7"],
            &["help", KEY],
            &["help", "plan", KEY],
            &["plan", "--chats=1", "--help=bl_live_4f9AkQ0sZ7"],
            &["--config.check=bl_live_4f9AkQ0sZ7"],
            &["simulate", "--flag +1 (415) 555-0123"],
            &["simulate", "--flag=+14155550123"],
            &["--log.level <bl_live_4f9AkQ0sZ7>"],
            &["inspect", "a", "--show=bl_live_4f9AkQ0sZ7"],
        ] {
            let said = said(arguments);
            let is_repeated = ["4f9AkQ0s", "4155550123", "555-0123"].iter().any(|part| said.contains(part));
            assert!(!is_repeated, "{arguments:?}: {said}");
            assert!(said.contains("Usage: ") && said.starts_with("error: "), "{arguments:?}: {said}");
        }
        assert!(said(&["--log.level", "loud"]).contains("'loud'"));
        assert!(said(&["--log.levle", "info"]).contains("--log.level"));
        assert!(said(&["--log.level", KEY]).contains("--log.level <LEVEL>"));
        assert!(said(&["simulat"]).contains("simulate"));
    }
}
