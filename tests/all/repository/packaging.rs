//! What the package carries is generated from the flags: `BLESS=1 cargo test --test all packaging` writes it again.

use std::fs;

use blooio_exporter::config::Cli;
use blooio_exporter::simulator;
use clap::CommandFactory as _;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;

use crate::support::in_repository;

/// What the manual says beside the flags.
const SECTIONS: &str = r#".SH "CONFIGURATION FILE"
YAML. A flag \fB\-\-collector.interval\fR is the key \fBinterval\fR of the section \fBcollector\fR, with underscores for hyphens. Flags come before the environment, and both before the file. What flags cannot say:
.PP
.nf
lines: {"+13105550101": sales}     # aliases of your numbers
probe: {chats: ["+14155550123"]}   # chats to probe devices with
labels: {team: messaging}          # labels of blooio_account_info
accounts:                          # several accounts
  \- name: clinic
    api_key_file: clinic.key       # relative to this file
.fi
.PP
\fB\-\-config.check\fR lists the settings that apply.
.SH FILES
.TP
/etc/default/blooio\-exporter
Flags of the service, in ARGS.
.TP
/etc/blooio\-exporter/blooio.key
The API key that the service gets a copy of.
.TP
/var/lib/blooio\-exporter/state.db
The state of the service. With a journal beside it, copy both.
.SH SIGNALS
.TP
SIGTERM, SIGINT
Commit what is under way and end.
.TP
SIGHUP
Read the configuration again. One that cannot be used is logged, and the one before stays in force. \fBdemo\fR and \fBsimulate\fR end.
"#;

/// The section of every command's page.
const EXIT_STATUS: &str = r#".SH "EXIT STATUS"
.TP
0
Success. Also when the reader of the output is gone.
.TP
1
The program cannot start or go on: a setting, a file, an address or the API; for \fBhealthcheck\fR, the exporter is not ready; for \fBbackfill\fR, it was not finished. One line on standard error says what, where, and what to do.
.TP
2
The command line cannot be parsed: an argument is unknown, missing or without its value.
"#;

/// Examples of the commands, each with what it does.
const EXAMPLES: [(&str, &[(&str, &str)]); 9] = [
    (
        "",
        &[
            ("blooio-exporter --blooio.api-key-file blooio.key", "Watches one account."),
            (
                "blooio-exporter --config.file config.yml --config.check",
                "Checks a configuration and lists it.",
            ),
        ],
    ),
    ("-serve", &[("blooio-exporter serve --config.file config.yml", "Watches the accounts of a file.")]),
    ("-demo", &[("blooio-exporter demo", "Shows the pages of a simulated account.")]),
    (
        "-simulate",
        &[(
            "blooio-exporter simulate --simulator.scenario quiet --simulator.fault http-503",
            "A small account whose API fails.",
        )],
    ),
    (
        "-inspect",
        &[
            ("blooio-exporter inspect +14155550123", "The chat with this contact."),
            ("blooio-exporter inspect --line sales", "The newest chats of a line, by its alias."),
        ],
    ),
    (
        "-healthcheck",
        &[("blooio-exporter healthcheck --web.listen-address 127.0.0.1:12566", "Whether it is ready.")],
    ),
    (
        "-plan",
        &[(
            "blooio-exporter plan --chats 200 --messages-per-second 0.5",
            "The budget and the memory that such an account needs.",
        )],
    ),
    (
        "-backfill",
        &[(
            "blooio-exporter backfill --from 30d --to-directory history",
            "The last 30 days before the first start.",
        )],
    ),
    (
        "-state-copy",
        &[("blooio-exporter state copy state.db postgres://exporter@db/blooio", "Moves to PostgreSQL.")],
    ),
];

/// The section of the examples of a page, by the end of its name.
fn examples(page: &str) -> String {
    let of_page = EXAMPLES.iter().find(|(name, _)| *name == page).map_or(&[][..], |(_, examples)| examples);
    let escaped = |text: &str| text.replace('-', "\\-");
    let items = of_page.iter().map(|(example, does)| format!(".TP\n\\fB{}\\fR\n{does}\n", escaped(example)));
    let items: String = items.collect();
    if items.is_empty() { items } else { format!(".SH EXAMPLES\n{items}") }
}

/// The commands with the names of scenarios and faults, which only the simulator has.
fn command() -> clap::Command {
    let scenarios: Vec<&str> = simulator::all().iter().map(|scenario| scenario.name).collect();
    let faults: Vec<&str> = simulator::faults().map(|(name, ..)| name).collect();
    let of_webhooks: Vec<&str> = simulator::DELIVERY_FAULTS.iter().map(|(name, _)| *name).collect();
    let named = [("scenario", scenarios), ("faults", faults), ("webhook_faults", of_webhooks)];
    Cli::command().mut_subcommand("simulate", |simulate| {
        named.into_iter().fold(simulate, |simulate, (id, names)| {
            assert!(names.len() > 5, "{id}: {names:?}");
            simulate.mut_arg(id, |argument| argument.value_parser(PossibleValuesParser::new(names)))
        })
    })
}

/// The files as they should be, made in a folder of their own.
fn generate(folder: &std::path::Path) {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).unwrap();
    }
    clap_mangen::generate_to(command(), &man).unwrap();
    for page in fs::read_dir(&man).unwrap().map(|page| page.unwrap().path()) {
        let text = fs::read_to_string(&page).unwrap();
        let name = page.file_stem().unwrap().to_string_lossy().replacen("blooio-exporter", "", 1);
        let (more, examples) = (if name.is_empty() { SECTIONS } else { "" }, examples(&name));
        let (flags, version) = match text.split_once(".SH VERSION\n") {
            Some((flags, version)) => (flags, format!(".SH VERSION\n{version}")),
            None => (&*text, String::new()),
        };
        let flags = flags.trim_end();
        fs::write(&page, format!("{flags}\n{EXIT_STATUS}{more}{examples}{version}")).unwrap();
    }
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command(), "blooio-exporter", &completions).unwrap();
    }
}

#[test]
fn the_completions_know_the_names_of_the_simulator() {
    for file in ["blooio-exporter.bash", "_blooio-exporter", "blooio-exporter.fish"] {
        let text = fs::read_to_string(in_repository("packaging/completions").join(file)).unwrap();
        for name in ["healthy", "http-503", "wrong-secret"] {
            assert!(text.contains(name), "{file}: {name}");
        }
    }
}

#[test]
fn every_page_of_the_manual_has_an_exit_status_and_examples() {
    for page in fs::read_dir(in_repository("packaging/man")).unwrap().map(|page| page.unwrap().path()) {
        let text = fs::read_to_string(&page).unwrap();
        assert!(text.contains(".SH \"EXIT STATUS\""), "{}", page.display());
        // It has a meaning only with a command below it.
        let is_group = page.ends_with("blooio-exporter-state.1");
        assert_eq!(text.contains(".SH EXAMPLES"), !is_group, "{}", page.display());
    }
}

#[test]
fn manual_and_completions_are_those_of_the_flags() {
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let bless = std::env::var_os("BLESS").is_some();
    for kind in ["man", "completions"] {
        let committed = in_repository("packaging").join(kind);
        let names = |folder: &std::path::Path| {
            let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            names.collect::<std::collections::BTreeSet<_>>()
        };
        let wanted = names(&fresh.path().join(kind));
        for name in &wanted {
            let text = fs::read_to_string(fresh.path().join(kind).join(name)).unwrap();
            let file = committed.join(name);
            if bless {
                fs::write(&file, &text).unwrap();
            }
            let found = fs::read_to_string(&file).unwrap_or_default();
            assert!(found == text, "{} is not what the flags say; run with BLESS=1", file.display());
        }
        assert_eq!(names(&committed), wanted, "packaging/{kind} holds something else");
    }
}
