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
        match Self::try_parse() {
            Ok(cli) => cli.into_command(),
            Err(error) => {
                let error = silent(error);
                let failed = error.print().err().filter(|_| !error.use_stderr());
                if let Some(why) = failed.as_ref().and_then(terminal::output_failure) {
                    let _ = writeln!(io::stderr(), "blooio-exporter: {why}");
                    std::process::exit(1);
                }
                std::process::exit(error.exit_code())
            }
        }
    }
}

/// The error, without the values that were typed where one of them may be a key or a phone number: errors end up in logs.
fn silent(error: clap::Error) -> clap::Error {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return error;
    }
    let is_private = error.context().any(|(kind, value)| match (kind, value) {
        (ContextKind::InvalidArg | ContextKind::InvalidSubcommand | ContextKind::InvalidValue, value) => {
            texts(value).any(is_secret)
        }
        _ => false,
    });
    if !is_private {
        return error;
    }
    let argument =
        error.get(ContextKind::InvalidArg).into_iter().flat_map(texts).find(|text| !is_secret(text));
    let what = match (error.kind(), argument) {
        (_, Some(argument)) => format!("a value cannot be used for '{argument}'"),
        (ErrorKind::InvalidSubcommand, None) => "there is no such command".to_owned(),
        _ => "there is no such argument".to_owned(),
    };
    let kind = error.kind();
    Cli::command().error(kind, format!("{what}; it is not repeated here, because it may be private"))
}

fn texts(value: &ContextValue) -> impl Iterator<Item = &str> {
    let texts: Vec<&str> = match value {
        ContextValue::String(text) => vec![text],
        ContextValue::Strings(texts) => texts.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter()
}

/// Whether a text that was typed may be private, or act on a terminal. An argument is known by its name; the rest of `--log.level <LEVEL>` is ours.
fn is_secret(text: &str) -> bool {
    let name = text.split([' ', '=']).next().unwrap_or_default();
    let is_name = name.starts_with('-') && name.bytes().all(|b| b.is_ascii_lowercase() || b"-.".contains(&b));
    let acts = terminal::printable(text) != text;
    acts || !(is_name && name.len() <= 40) && may_be_private(text.trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(arguments: &[&str]) -> String {
        silent(Cli::try_parse_from([&["blooio-exporter"], arguments].concat()).unwrap_err()).to_string()
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
        ] {
            let said = said(arguments);
            assert!(!said.contains("4f9AkQ0s") && !said.contains("4155550123"), "{arguments:?}: {said}");
            assert!(said.contains("Usage: ") && said.starts_with("error: "), "{arguments:?}: {said}");
        }
        assert!(said(&["--log.level", "loud"]).contains("'loud'"));
        assert!(said(&["--log.levle", "info"]).contains("--log.level"));
        assert!(said(&["--log.level", KEY]).contains("--log.level <LEVEL>"));
        assert!(said(&["simulat"]).contains("simulate"));
    }
}
