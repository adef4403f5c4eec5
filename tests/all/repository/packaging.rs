//! What the package carries is generated from the flags: `BLESS=1 cargo test --test all packaging` writes it again.

use std::fs;

use blooio_exporter::config::Cli;
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::support::harness::in_repository;

/// The files as they should be, made in a folder of their own.
fn generate(folder: &std::path::Path) {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    for folder in [&man, &completions] {
        fs::create_dir_all(folder).unwrap();
    }
    clap_mangen::generate_to(Cli::command(), &man).unwrap();
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
