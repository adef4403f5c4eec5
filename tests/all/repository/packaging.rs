//! What the package carries is generated from the flags: `BLESS=1 cargo test --test all packaging` writes it again.

use std::fs;

use blooio_exporter::config::Cli;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::support::in_repository;

/// What the manual says beside the flags.
const SECTIONS: &str = r#".SH "EXIT STATUS"
.TP
0
Success. Also when the reader of the output is gone.
.TP
1
The program cannot start or go on: a setting, a file, an address or the API; for \fBhealthcheck\fR, the exporter is not ready. One line on standard error says what, where, and what to do.
.TP
2
The command line cannot be parsed: an argument is unknown, missing or without its value.
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

/// The files as they should be, made in a folder of their own.
fn generate(folder: &std::path::Path) {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).unwrap();
    }
    clap_mangen::generate_to(Cli::command(), &man).unwrap();
    let main = man.join("blooio-exporter.1");
    let text = fs::read_to_string(&main).unwrap();
    let (flags, version) = text.split_once(".SH VERSION\n").unwrap();
    fs::write(&main, format!("{flags}{SECTIONS}.SH VERSION\n{version}")).unwrap();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "blooio-exporter", &completions).unwrap();
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
